"""Predictions of `transformers.pipeline()` in a process without nlpmtl, which runs this file as a script:

python -I tests/transformers_pipelines.py REQUESTS.json RESULTS.json
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
class PipelineRequest:
    """A model directory, inputs that are predicted separately, and options of `pipeline()`."""

    directory: str
    pipeline: str
    inputs: Sequence[Any]
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PipelineResult:
    """Predictions of the pipeline, and logits of its model for each input, ``[outputs]`` or ``[tokens, outputs]``."""

    predictions: list[Any]
    logits: list[Any]
    model: str
    """Name of the class of the model."""


def run_pipelines(requests: Sequence[PipelineRequest], scratch: Path) -> list[PipelineResult]:
    """Return the results of all requests from one process without nlpmtl."""
    request_file, result_file = scratch / "requests.json", scratch / "results.json"
    request_file.write_text(json.dumps([asdict(item) for item in requests]), encoding="utf-8")
    command = [sys.executable, "-I", __file__, str(request_file), str(result_file)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return [PipelineResult(**item) for item in json.loads(result_file.read_text(encoding="utf-8"))]


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
        predictions = [pipe(text, **request["options"]) for text in request["inputs"]]
        results.append(asdict(PipelineResult(predictions, logits, type(pipe.model).__name__)))
    Path(sys.argv[2]).write_text(json.dumps(results, default=float), encoding="utf-8")


if __name__ == "__main__":
    _main()
