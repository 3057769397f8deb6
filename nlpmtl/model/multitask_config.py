"""Config of a multi-task model, a `PretrainedConfig`: its encoder, its tasks and its sharing scheme."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, get_args

from transformers import AutoConfig, PretrainedConfig

from nlpmtl.config import Pooling
from nlpmtl.errors import ModelError, quote
from nlpmtl.format_version import FORMAT_KEY, FORMAT_VERSION, check_format_version
from nlpmtl.saved_config import OWN_TYPE
from nlpmtl.strict_json import dumps

_HUB_ID = re.compile(r"[\w.-]*\w[\w.-]*(/[\w.-]*\w[\w.-]*)?")


class MultiTaskConfig(PretrainedConfig):
    """Config of a multi-task model, ``config.json``.

    Args:
        encoder_config: config of the encoder.
        tasks: each task by name, as `Task.to_config` describes it; default: none.
        sharing: options of the sharing scheme; default: ``{"kind": "hard"}``.
        input_length: maximum input length in tokens.
        pooling: pooling of the heads for sequences whose task has none of its own; None: that of the architecture.
        kwargs: further keys of a transformers config.

    Raises:
        ModelError: a newer version of nlpmtl wrote the file, or the pooling is unknown.

    Example:
        config = nlpmtl.MultiTaskConfig.from_pretrained("runs/messages/model")
        print(config.input_length, config.sharing["kind"], config.tasks["topic"]["labels"])
    """

    model_type = OWN_TYPE
    sub_configs = {"encoder_config": AutoConfig}  # noqa: RUF012 - as in transformers

    def __init__(
        self,
        *,
        encoder_config: PretrainedConfig | dict[str, Any] | None = None,
        tasks: Mapping[str, dict[str, Any]] | None = None,
        sharing: dict[str, Any] | None = None,
        input_length: int = 128,
        pooling: Pooling | None = None,
        **kwargs: Any,
    ) -> None:
        check_format_version(kwargs, where="config.json", error=ModelError)
        if pooling is not None and pooling not in get_args(Pooling):
            known, value = ", ".join(get_args(Pooling)), quote(pooling, limit=80)
            raise ModelError(f"config.json: pooling: one of {known} was expected, found {value}")
        super().__init__(**kwargs)  # first, because it resets the attention implementation of nested configs
        if isinstance(encoder_config, dict):
            encoder_config = AutoConfig.for_model(**encoder_config)
        self.encoder_config = encoder_config
        self.tasks, self.sharing = dict(tasks or {}), sharing or {"kind": "hard"}
        self.input_length, self.pooling = input_length, pooling

    def to_json_string(self, use_diff: bool = True) -> str:
        """Return the config as JSON, with the tasks in their order, as in predictions, and without local paths."""
        config = drop_local_names(json.loads(super().to_json_string(use_diff)))
        if config.get("pooling") is None:  # as in models of earlier versions
            config.pop("pooling", None)
        return dumps({**config, FORMAT_KEY: FORMAT_VERSION, "tasks": self.tasks}, indent=2) + "\n"


def drop_local_names(config: dict[str, Any]) -> dict[str, Any]:
    """Return a config without the directories from which it and nested configs were loaded; Hub ids are kept."""
    kept: dict[str, Any] = {}
    for key, value in config.items():
        if key in ("_name_or_path", "name_or_path") and not (isinstance(value, str) and _HUB_ID.fullmatch(value)):
            continue
        kept[key] = drop_local_names(value) if isinstance(value, dict) else value
    return kept
