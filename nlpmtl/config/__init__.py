"""Configs of runs and datasets: models, loading, overrides and JSON Schemas.

    raw = read_run("run.toml", overrides={"train.lr": 3e-5})
    run = parse_run(raw, where="run.toml")
    run.train.lr                                                     # 3e-05

Kinds (task types, samplers, …) are looked up in the registries, so their modules must have been imported before.
"""

from __future__ import annotations

from nlpmtl.config.dataset import NAME, DataConfig, DatasetConfig, LabelledOptions, Name, TaskOptions
from nlpmtl.config.dataset_texts import TextsConfig
from nlpmtl.config.inputs import ColumnNames, InputConfig, flatten_columns
from nlpmtl.config.load import plugins_of, read_dataset, read_run, read_top_level_key, source_name
from nlpmtl.config.names import LabelName, Pooling
from nlpmtl.config.optimizer import AdamWOptions, OptimizerOptions, SgdOptions
from nlpmtl.config.parse import check_count, check_flag, parse_data, parse_dataset, parse_run
from nlpmtl.config.paths import check_new_directory, check_output, check_writable, find_directory
from nlpmtl.config.renamed_keys import replace_old_keys, replace_old_overrides
from nlpmtl.config.resolve_paths import plain_config, resolve_path
from nlpmtl.config.run import EncoderConfig, EvalConfig, RunConfig, TrainConfig
from nlpmtl.config.run_files import builtin_configs, find_run_file
from nlpmtl.config.schedule import ScheduleOptions, parse_schedule
from nlpmtl.config.schema import schemas
from nlpmtl.config.sharing import SharingOptions
from nlpmtl.config.toml import flatten, parse_override, read_toml

__all__ = [
    "NAME",
    "AdamWOptions",
    "ColumnNames",
    "DataConfig",
    "DatasetConfig",
    "EncoderConfig",
    "EvalConfig",
    "InputConfig",
    "LabelName",
    "LabelledOptions",
    "Name",
    "OptimizerOptions",
    "Pooling",
    "RunConfig",
    "ScheduleOptions",
    "SgdOptions",
    "SharingOptions",
    "TaskOptions",
    "TextsConfig",
    "TrainConfig",
    "builtin_configs",
    "check_count",
    "check_flag",
    "check_new_directory",
    "check_output",
    "check_writable",
    "find_directory",
    "find_run_file",
    "flatten",
    "flatten_columns",
    "parse_data",
    "parse_dataset",
    "parse_override",
    "parse_run",
    "parse_schedule",
    "plain_config",
    "plugins_of",
    "read_dataset",
    "read_run",
    "read_toml",
    "read_top_level_key",
    "replace_old_keys",
    "replace_old_overrides",
    "resolve_path",
    "schemas",
    "source_name",
]
