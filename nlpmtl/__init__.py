"""Multi-task fine-tuning in NLP: one pretrained encoder, many heads.

    import nlpmtl

    result = nlpmtl.train("quickstart", output="runs/quickstart")
    result.predictor.predict_all("Ada lives in Turin.")

Importing nlpmtl does not import torch: names that need it are imported on first access.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nlpmtl.environment import check_environment, check_hub_environment
from nlpmtl.errors import ConfigError, DataError, ModelError, NlpmtlError, RunError, StoppedError

if TYPE_CHECKING:
    from nlpmtl.affinity import Relations, relate
    from nlpmtl.comparison import CompareResult, compare
    from nlpmtl.config import RunConfig
    from nlpmtl.evaluate_saved import evaluate
    from nlpmtl.file_prediction import PredictedFiles, predict_files
    from nlpmtl.inference.predictor import Predictor
    from nlpmtl.model import MultiTaskConfig, MultiTaskModel
    from nlpmtl.run import iter_train, train
    from nlpmtl.train_result import TrainResult

__version__ = "0.2.0.dev0"

__all__ = [
    "CompareResult",
    "ConfigError",
    "DataError",
    "ModelError",
    "MultiTaskConfig",
    "MultiTaskModel",
    "NlpmtlError",
    "PredictedFiles",
    "Predictor",
    "Relations",
    "RunConfig",
    "RunError",
    "StoppedError",
    "TrainResult",
    "compare",
    "evaluate",
    "iter_train",
    "predict_files",
    "relate",
    "train",
]

_LAZY = {
    "CompareResult": "nlpmtl.comparison",
    "MultiTaskConfig": "nlpmtl.model",
    "MultiTaskModel": "nlpmtl.model",
    "PredictedFiles": "nlpmtl.file_prediction",
    "Predictor": "nlpmtl.inference.predictor",
    "Relations": "nlpmtl.affinity",
    "RunConfig": "nlpmtl.run_config",  # which imports the kinds that a config may name
    "TrainResult": "nlpmtl.train_result",
    "compare": "nlpmtl.comparison",
    "evaluate": "nlpmtl.evaluate_saved",
    "predict_files": "nlpmtl.file_prediction",
    "iter_train": "nlpmtl.run",
    "relate": "nlpmtl.affinity",
    "train": "nlpmtl.run",
}
_TRAINS = {"compare", "iter_train", "relate", "train"}
"""Names whose modules import Accelerate, which parses environment variables."""


def __getattr__(name: str) -> Any:
    if name in _TRAINS:
        check_environment()
    if name in _LAZY:
        check_hub_environment()
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*(name for name in globals() if name.startswith("__")), *__all__]
