"""Code inside the directory of a model or encoder."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from tests.faults.attacks.targets import (
    ExecutionCheck,
    TrainedRuns,
    copy,
    edit,
    load_encoder_only,
    model_actions,
    trained_runs,
)
from tests.faults.harness import FaultCount

CODE = """
from pathlib import Path
Path({witness!r}).touch()
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast
import datasets
import evaluate
class Config(BertConfig): model_type = "evil"
class Model(BertModel): config_class = Config
class Tokenizer(PreTrainedTokenizerFast): pass
class Metric(evaluate.Metric):
    def _info(self):
        value = datasets.Value("int64")
        features = datasets.Features({{"predictions": value, "references": value}})
        return evaluate.MetricInfo(description="", citation="", features=features)
    def _compute(self, predictions, references): return {{"evil": 0.0}}
"""
"""A module that creates the witness file when it is imported."""

_MAP = {
    "AutoConfig": "evil.Config",
    "AutoModel": "evil.Model",
    "AutoModelForSequenceClassification": "evil.Model",
    "AutoTokenizer": ["evil.Tokenizer", "evil.Tokenizer"],
}


def remote_code(scratch: Path) -> FaultCount:
    """Refer to code in the directory from every config key that could import it."""
    count = FaultCount("code inside the directory of an encoder or a model: none is imported")
    check = ExecutionCheck(count, scratch / "witness")
    with trained_runs(scratch) as runs:
        _code_in_encoders(runs, scratch, check)
        _code_in_models(runs, scratch, check)
    return count


def _with_code(directory: Path, target: Path, check: ExecutionCheck) -> Path:
    copy(directory, target)
    for name in (
        "evil",
        "modeling_evil",
        "configuration_evil",
        "tokenization_evil",
        target.name,
        "custom_generate/generate",
    ):
        (target / name).parent.mkdir(exist_ok=True)
        (target / f"{name}.py").write_text(CODE.format(witness=str(check.witness)), encoding="utf-8")
    return target


def _code_in_encoders(runs: TrainedRuns, scratch: Path, check: ExecutionCheck) -> None:
    base = Path(runs.run["encoder"]["name"])
    elsewhere = dict.fromkeys(("AutoConfig", "AutoModel"), f"{base}--evil.Config")
    cases: dict[str, dict[str, dict[str, Any]]] = {
        "auto_map": {"config.json": {"auto_map": _MAP}},
        "auto_map and trust": {"config.json": {"auto_map": _MAP, "trust_remote_code": True}},
        "auto_map of an unknown type": {"config.json": {"auto_map": _MAP, "model_type": "evil"}},
        "auto_map of another directory": {"config.json": {"auto_map": elsewhere, "model_type": "evil"}},
        "no type": {"config.json": {"auto_map": _MAP, "model_type": None, "architectures": ["Model"]}},
        "auto_map of a tokenizer": {
            "tokenizer_config.json": {"auto_map": _MAP, "tokenizer_class": "Tokenizer", "trust_remote_code": True}
        },
        "auto_map of a tokenizer, as a list": {
            "tokenizer_config.json": {"auto_map": _MAP["AutoTokenizer"], "tokenizer_class": "Tokenizer"}
        },
        "a tokenizer's class": {"tokenizer_config.json": {"tokenizer_class": "evil.Tokenizer"}},
        "a tokenizer's class in config.json": {"config.json": {"tokenizer_class": "evil.Tokenizer"}},
        "kernels": {"config.json": {"attn_implementation": "evil/kernels", "_attn_implementation": "evil/kernels"}},
        "quantisation": {"config.json": {"quantization_config": {"quant_method": "evil", "modules": "evil.Model"}}},
        "plugins": {"config.json": {"plugins": ["evil"], "custom_pipelines": {"x": {"impl": "evil.Model"}}}},
    }  # fmt: skip
    for name, files in cases.items():
        encoder = _with_code(base, scratch / "encoder", check)
        for file, changes in files.items():
            edit(encoder / file, **changes)
        check(f"an encoder with {name}", partial(load_encoder_only, runs.short, encoder))


def _code_in_models(runs: TrainedRuns, scratch: Path, check: ExecutionCheck) -> None:
    config = json.loads((runs.model / "config.json").read_text(encoding="utf-8"))
    task, spec = next(iter(config["tasks"].items()))
    metric = str(scratch / "model" / "evil.py")

    def with_task(**changes: Any) -> dict[str, Any]:
        return {"tasks": {**config["tasks"], task: {**spec, **changes}}}

    inner = config["encoder_config"]
    cases: dict[str, dict[str, dict[str, Any]]] = {
        "auto_map": {"config.json": {"auto_map": _MAP, "trust_remote_code": True}},
        "auto_map of its encoder": {"config.json": {"encoder_config": {**inner, "auto_map": _MAP}}},
        "an encoder of an unknown type": {
            "config.json": {"encoder_config": {**inner, "auto_map": _MAP, "model_type": "evil"}}
        },
        "auto_map of a tokenizer": {
            "tokenizer_config.json": {"auto_map": _MAP, "tokenizer_class": "Tokenizer", "trust_remote_code": True}
        },
        "kernels": {"config.json": {"attn_implementation": "evil/kernels"}},
        "a metric that is a program": {"config.json": with_task(metrics=[f"evaluate:{metric}"])},
        "a metric that is a folder": {"config.json": with_task(metrics=[f"evaluate:{Path(metric).parent}"])},
        "a metric that is a module": {"config.json": with_task(metrics=["evil.Metric"])},
        "a kind that is a class": {"config.json": with_task(kind="evil.Model")},
        "a sharing that is a class": {"config.json": {"sharing": {"kind": "evil.Model"}}},
        "plugins": {"config.json": {"plugins": ["evil"]}},
    }
    datasets = {key: dataset for key, dataset in runs.run["datasets"].items() if task in dataset["tasks"]}
    run_of_task = {**runs.run, "datasets": datasets}
    for name, files in cases.items():
        model = _with_code(runs.model, scratch / "model", check)
        for file, changes in files.items():
            edit(model / file, **changes)
        for action, load in model_actions(model, run_of_task).items():
            check(f"a model with {name}, {action}", load)
        if "auto_map" in name or "kernels" in name:
            check(f"a model with {name}, as an encoder", partial(load_encoder_only, runs.short, model))
