"""Code that comes with a model."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from tests.faults.harness import Count
from tests.faults.traps.ground import Ground, Trials, copy, doors, edit, grounds, start

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
"""A module that says that it was imported."""

_MAP = {
    "AutoConfig": "evil.Config",
    "AutoModel": "evil.Model",
    "AutoModelForSequenceClassification": "evil.Model",
    "AutoTokenizer": ["evil.Tokenizer", "evil.Tokenizer"],
}


def remote_code(scratch: Path) -> Count:
    """Code that a directory of weights brings along, asked for in every way that a config can ask."""
    count = Count("code inside the directory of an encoder or a model: none is imported")
    trial = Trials(count, scratch / "witness")
    with grounds(scratch) as ground:
        _code_in_encoders(ground, scratch, trial)
        _code_in_models(ground, scratch, trial)
    return count


def _with_code(directory: Path, to: Path, trial: Trials) -> Path:
    copy(directory, to)
    for name in (
        "evil",
        "modeling_evil",
        "configuration_evil",
        "tokenization_evil",
        to.name,
        "custom_generate/generate",
    ):
        (to / name).parent.mkdir(exist_ok=True)
        (to / f"{name}.py").write_text(CODE.format(witness=str(trial.witness)), encoding="utf-8")
    return to


def _code_in_encoders(ground: Ground, scratch: Path, trial: Trials) -> None:
    base = Path(ground.run["encoder"]["name"])
    elsewhere = dict.fromkeys(("AutoConfig", "AutoModel"), f"{base}--evil.Config")
    asked: dict[str, dict[str, dict[str, Any]]] = {
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
    for name, files in asked.items():
        encoder = _with_code(base, scratch / "encoder", trial)
        for file, changes in files.items():
            edit(encoder / file, **changes)
        trial(f"an encoder with {name}", partial(start, ground.short, encoder))


def _code_in_models(ground: Ground, scratch: Path, trial: Trials) -> None:
    found = json.loads((ground.model / "config.json").read_text(encoding="utf-8"))
    task, spec = next(iter(found["tasks"].items()))
    metric = str(scratch / "model" / "evil.py")

    def told(**changes: Any) -> dict[str, Any]:
        return {"tasks": {**found["tasks"], task: {**spec, **changes}}}

    inner = found["encoder_config"]
    asked: dict[str, dict[str, dict[str, Any]]] = {
        "auto_map": {"config.json": {"auto_map": _MAP, "trust_remote_code": True}},
        "auto_map of its encoder": {"config.json": {"encoder_config": {**inner, "auto_map": _MAP}}},
        "an encoder of an unknown type": {
            "config.json": {"encoder_config": {**inner, "auto_map": _MAP, "model_type": "evil"}}
        },
        "auto_map of a tokenizer": {
            "tokenizer_config.json": {"auto_map": _MAP, "tokenizer_class": "Tokenizer", "trust_remote_code": True}
        },
        "kernels": {"config.json": {"attn_implementation": "evil/kernels"}},
        "a metric that is a program": {"config.json": told(metrics=[f"evaluate:{metric}"])},
        "a metric that is a folder": {"config.json": told(metrics=[f"evaluate:{Path(metric).parent}"])},
        "a metric that is a module": {"config.json": told(metrics=["evil.Metric"])},
        "a kind that is a class": {"config.json": told(kind="evil.Model")},
        "a sharing that is a class": {"config.json": {"sharing": {"kind": "evil.Model"}}},
        "plugins": {"config.json": {"plugins": ["evil"]}},
    }
    owner = next(one for one, dataset in ground.run["datasets"].items() if task in dataset["tasks"])
    metered = {**ground.run, "datasets": {owner: ground.run["datasets"][owner]}}
    for name, files in asked.items():
        model = _with_code(ground.model, scratch / "model", trial)
        for file, changes in files.items():
            edit(model / file, **changes)
        for door, enter in doors(model, metered).items():
            trial(f"a model with {name}, {door}", enter)
        if "auto_map" in name or "kernels" in name:
            trial(f"a model with {name}, as an encoder", partial(start, ground.short, model))
