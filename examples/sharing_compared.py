"""Compare three sharing schemes: how much of the encoder the tasks share, what it costs and how well it scores.

    python examples/sharing_compared.py

Each scheme trains the same three tasks on the support-desk corpus for one epoch. That is too short for a conclusion:
train for longer and with several seeds, and compare with single-task models by `nlpmtl compare`.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import nlpmtl

OUTPUT = Path("runs/examples/sharing")
SCHEMES = {
    "hard": {"kind": "hard"},  # one encoder for all tasks
    "layers": {"kind": "layers", "shared": 4},  # 4 of 6 layers are shared; each task has its own copy of the last 2
    "lora": {"kind": "lora"},  # one encoder with low-rank adapters, one set for all tasks and one for each task
}


def main(**overrides: Any) -> None:
    """Train with each scheme and print a table.

    Args:
        overrides: config keys to change, as `nlpmtl.train` takes them: ``**{"train.epochs": 8}``.
    """
    shutil.rmtree(OUTPUT, ignore_errors=True)  # train() refuses a directory that already contains a run
    print(f"{'sharing':10} {'parameters':>12} {'seconds':>8} {'mean score':>11}")
    for name, sharing in SCHEMES.items():
        start = time.perf_counter()
        result = nlpmtl.train(
            "quickstart", output=OUTPUT / name, sharing=sharing, **{"train.epochs": 1, "seed": 17, **overrides}
        )
        seconds = time.perf_counter() - start
        parameters = nlpmtl.MultiTaskModel.from_pretrained(result.model_dir).num_parameters()
        assert result.scores is not None, "the corpus has a validation split"
        print(f"{name:10} {parameters:12,} {seconds:8.1f} {result.scores.mean:11.3f}")


if __name__ == "__main__":
    main()
