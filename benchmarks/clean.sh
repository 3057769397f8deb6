# To be sourced with a Python that has `build` as $1: builds the wheel and the sdist, and installs the wheel in a clean
# environment elsewhere. Sets root (the checkout), work (a directory that is removed at the end), bin (the environment's).
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
