"""Evaluate a saved model on a split of labelled data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from nlpmtl.batched_inference import Inference, max_batch_tokens
from nlpmtl.config import check_writable, flatten
from nlpmtl.data_checks import check_datasets, check_not_input
from nlpmtl.errors import ConfigError, DataError
from nlpmtl.evaluation import Scores
from nlpmtl.evaluation import evaluate as evaluate_tasks
from nlpmtl.hub import fetch
from nlpmtl.inference.backend import Precision, load_backend
from nlpmtl.inference.device import check_device
from nlpmtl.model import MultiTaskModel, RowLosses
from nlpmtl.plugins import import_plugins
from nlpmtl.prediction_analysis import PredictionAnalysis, write_errors
from nlpmtl.run_config import load_datasets
from nlpmtl.task_datasets import load_split
from nlpmtl.training import global_state_restored


def evaluate(
    model: str | Path,
    data: str | Path | Mapping[str, Any],
    *,
    split: str = "validation",
    revision: str | None = None,
    device: str | torch.device = "auto",
    dtype: torch.dtype | Precision | None = None,
    plugins: Sequence[str] = (),
    errors: str | Path | None = None,
    **overrides: Any,
) -> Scores:
    """Evaluate a saved model on a split of a run's datasets, or of one dataset file.

    Args:
        model: a model directory, the directory of a run (for its model), or a Hub id.
        data: a run file, the name of a built-in one, or a dataset file; or a dict of either, whose files may be
            Datasets, DataFrames or lists of dicts.
        split: name of the split.
        revision: commit, tag or branch of a model on the Hub; default: its main branch.
        device: device, as for `Predictor.from_pretrained`; default: a GPU if there is one.
        dtype: precision, as for `Predictor.from_pretrained`; default: "fp32".
        plugins: modules that register task types and metrics of the model; those of a run file are imported too.
        errors: CSV file to write all wrong rows to, with text, gold label, prediction and confidence.
        overrides: config keys of a run, as for `train`; they are refused for a dataset.

    Returns:
        The scores. ``scores["topic"]`` has the value of each metric of a task, None where it is undefined, its
        ``"score"``, and the number of rows that were scored, ``"rows"``; ``scores.mean`` is the mean of the tasks'
        scores.

    Raises:
        ConfigError: an argument or the config is invalid, or the model has no such task or the data no such split.
        DataError: a row or a file is invalid, or no row has a label for a task of the model.
        ModelError: the model cannot be loaded.

    Example:
        scores = nlpmtl.evaluate("runs/messages/model", "messages.toml", split="test")
        print(scores.mean, scores["topic"]["accuracy"], scores["topic"]["rows"])
    """
    if not isinstance(split, str):
        raise ConfigError(f"split: the name of a split was expected, found {split!r}")
    check_device(device, dtype=dtype)
    import_plugins(plugins)
    errors_file = None if errors is None else check_writable(errors, key="errors", file=True)
    with global_state_restored():
        return _evaluate(
            model,
            data,
            split=split,
            revision=revision,
            device=device,
            dtype=dtype,
            errors=errors_file,
            overrides=flatten(overrides),
        )


def _evaluate(
    model: str | Path,
    data: str | Path | Mapping[str, Any],
    *,
    split: str,
    revision: str | None,
    device: str | torch.device,
    dtype: torch.dtype | Precision | None,
    errors: Path | None,
    overrides: Mapping[str, Any],
) -> Scores:
    datasets = load_datasets(data, overrides=overrides)
    if errors is not None:
        check_not_input(errors, key="errors", config=data, datasets=datasets)
    check_datasets(datasets, splits=[split], tasks=False)
    directory = fetch(model, revision=revision)
    loaded, tokenizer = load_backend(str(directory), backend="torch", device=device, dtype=dtype)
    assert isinstance(loaded, MultiTaskModel), "the backend is torch"
    evaluated = load_split(
        datasets, tasks=loaded.tasks, tokenizer=tokenizer, max_length=loaded.config.input_length, split=split
    )
    batches: dict[str, Any] = {
        "pad": tokenizer.pad_token_id,
        "types": "token_type_ids" in tokenizer.model_input_names,
        "tokens": max_batch_tokens(loaded.device),
    }
    analysis = PredictionAnalysis()
    scores = evaluate_tasks(
        Inference(loaded.predict_logits, check_finite=True, **batches),
        tasks=evaluated.tasks,
        datasets=evaluated.splits[split],
        losses=RowLosses(loaded, evaluated.tasks, **batches).run,
        observe=None if errors is None else analysis,
    )
    if not scores.tasks:
        problem = f"no row of the split {split!r} has a label for a task of this model"
        raise DataError("\n".join([problem, *evaluated.notes]))
    written = () if errors is None else (write_errors(errors, analysis, tasks=evaluated.tasks),)
    return replace(scores, notes=(*evaluated.notes, *written))
