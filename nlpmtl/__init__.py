"""Multi-task fine-tuning in NLP: one pretrained encoder, many heads.

    import nlpmtl

    result = nlpmtl.train("quickstart", output="runs/quickstart")
    model = nlpmtl.Predictor.from_pretrained(result.model_dir)
    model.predict_all("Ada lives in Turin.")

Importing this loads no torch: what needs it is loaded when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nlpmtl.errors import ConfigError, DataError, ModelError, NlpmtlError, RunError, StoppedError

if TYPE_CHECKING:
    from nlpmtl.comparing import CompareResult, compare
    from nlpmtl.config import RunConfig
    from nlpmtl.model import MultiTaskConfig, MultiTaskModel
    from nlpmtl.predictor import Predictor
    from nlpmtl.relating import Relations, relate
    from nlpmtl.run import TrainResult, evaluate, train

__version__ = "0.1.0"

__all__ = [
    "CompareResult",
    "ConfigError",
    "DataError",
    "ModelError",
    "MultiTaskConfig",
    "MultiTaskModel",
    "NlpmtlError",
    "Predictor",
    "Relations",
    "RunConfig",
    "RunError",
    "StoppedError",
    "TrainResult",
    "compare",
    "evaluate",
    "relate",
    "train",
]

_LAZY = {
    "CompareResult": "nlpmtl.comparing",
    "MultiTaskConfig": "nlpmtl.model",
    "MultiTaskModel": "nlpmtl.model",
    "Predictor": "nlpmtl.predictor",
    "Relations": "nlpmtl.relating",
    "RunConfig": "nlpmtl.config",
    "TrainResult": "nlpmtl.run",
    "compare": "nlpmtl.comparing",
    "evaluate": "nlpmtl.run",
    "relate": "nlpmtl.relating",
    "train": "nlpmtl.run",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
