"""A small trained model as an ONNX graph."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Exported:
    """An ONNX export.

    Args:
        directory: directory of the graph.
        source: the model directory that was exported.
        max_logit_difference: the reported largest difference of the graph's logits from PyTorch's.
    """

    directory: Path
    source: Path
    max_logit_difference: float
