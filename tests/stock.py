"""What stock pipelines answer where there is no nlpmtl. Run as a script, this is the process that cannot import it:

python -I tests/stock.py ASKED.json FOUND.json
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Asked:
    """A directory, the inputs for it, one by one, and the options that `pipeline()` is called with."""

    directory: str
    pipeline: str
    inputs: Sequence[Any]
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """For each input the pipeline's answer, and its model's logits, ``[outputs]`` or ``[time, outputs]``."""

    answers: list[Any]
    logits: list[Any]
    model: str
    """The name of the class."""


def ask_stock(requests: Sequence[Asked], scratch: Path) -> list[Found]:
    """What one process without nlpmtl answers to all of it."""
    given, written = scratch / "asked.json", scratch / "found.json"
    given.write_text(json.dumps([asdict(item) for item in requests]), encoding="utf-8")
    command = [sys.executable, "-I", __file__, str(given), str(written)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [Found(**item) for item in json.loads(written.read_text(encoding="utf-8"))]


def _main() -> None:
    sys.modules["nlpmtl"] = None  # type: ignore[assignment]
    from transformers import pipeline
    from transformers.utils import logging

    logging.disable_progress_bar()
    results = []
    for request in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
        logits: list[Any] = []
        pipe: Any = pipeline(request["pipeline"], model=request["directory"], device="cpu")
        pipe.model.register_forward_hook(lambda module, args, output, to=logits: to.append(output.logits[0].tolist()))
        answers = [pipe(given, **request["options"]) for given in request["inputs"]]
        results.append(asdict(Found(answers, logits, type(pipe.model).__name__)))
    Path(sys.argv[2]).write_text(json.dumps(results, default=float), encoding="utf-8")


if __name__ == "__main__":
    _main()
