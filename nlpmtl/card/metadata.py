"""Metadata for the Hub: the front matter of a card, and the files in .eval_results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from huggingface_hub import EvalResult, EvalResultEntry, ModelCard, ModelCardData, eval_result_entries_to_yaml
from huggingface_hub.utils import yaml_dump  # type: ignore[attr-defined]

from nlpmtl.card.card_data import CardData, CardDataset
from nlpmtl.metrics import CombinedMetric
from nlpmtl.registry import METRICS

LOAD_FROM_DIRECTORY = 'from_pretrained(".")'
"""The code in a card that loads the model; the id of its repository replaces the directory when it is pushed."""
_METRICS = {"macro_f1": "f1", "micro_f1": "f1", "span_f1": "f1", "squad_f1": "f1", "token_accuracy": "accuracy"}
"""Names of our metrics on the Hub, where they differ."""
_LOCAL = "local"
"""Dataset id of scores on local data, or on several datasets."""
_OTHER = "other"
"""The Hub's name for task types that it does not list."""


def front_matter(card: CardData) -> str:
    """Return the YAML block at the top of a card, without its delimiters."""
    results = list(_results(card))
    pipeline_tags = list(dict.fromkeys(task.pipeline_tag for task in card.tasks.values()))
    data = ModelCardData(
        library_name="nlpmtl",
        pipeline_tag=pipeline_tags[0] if len(pipeline_tags) == 1 else None,
        tags=["multi-task", *(tag for tag in pipeline_tags if tag is not None)],
        base_model=card.base_model,
        datasets=list(dict.fromkeys(dataset.hub_id for dataset in card.datasets if dataset.hub_id)) or None,
        metrics=list(dict.fromkeys(result.metric_type for result in results)) or None,
        model_name=card.name if results else None,
        eval_results=results or None,
    )
    return data.to_yaml()


def eval_result_files(card: CardData) -> dict[str, str]:
    """Return the files of .eval_results by name: one per task evaluated on a complete split of a Hub dataset."""
    files = {}
    for task in card.scores["tasks"] if card.scores is not None else ():
        entries = list(_entries(card, task))
        if entries:
            files[f"{task}.yaml"] = yaml_dump(eval_result_entries_to_yaml(entries), sort_keys=False)
    return files


def with_repo_id(text: str, *, repo: str) -> str:
    """Return the text of a card that loads the model from its repository instead of its directory."""
    if LOAD_FROM_DIRECTORY not in text:
        return text
    card = ModelCard(text)
    assert isinstance(card.data, ModelCardData)
    if card.data.eval_results:
        card.data.model_name = repo.rpartition("/")[2]
    card.text = card.text.replace(LOAD_FROM_DIRECTORY, f'from_pretrained("{repo}")')
    return str(card)


def widget(text: str) -> Any:
    """Return the value of `widget` in the front matter of a card: example inputs, as its owner wrote them.

    Args:
        text: the card.

    Raises:
        ValueError: the front matter cannot be read.
    """
    try:
        return ModelCard(text, ignore_metadata_errors=True).data.to_dict().get("widget")
    except (TypeError, RecursionError, yaml.YAMLError) as error:
        raise ValueError(f"the front matter cannot be read: {error}") from error


def _results(card: CardData) -> Iterator[EvalResult]:
    """Yield one result per metric, named after task and metric, because the Hub groups results by dataset and type."""
    for task, metric, value in _values(card):
        dataset_id, name, subset, split = _scored_on(card, task)
        yield EvalResult(
            task_type=card.tasks[task].pipeline_tag or _OTHER,
            dataset_type=dataset_id,
            dataset_name=name,
            dataset_config=subset,
            dataset_split=split,
            metric_type=_metric_type(metric),
            metric_name=f"{task}: {metric}",
            metric_value=value,
        )


def _entries(card: CardData, task: str) -> Iterator[EvalResultEntry]:
    datasets = card.scored_on(task)
    if len(datasets) != 1 or datasets[0].hub_id is None:
        return
    split, dataset = _split(card), datasets[0]
    if not dataset.is_complete(split):
        return
    for name, metric, value in _values(card):
        if name == task:
            yield EvalResultEntry(
                dataset_id=str(dataset.hub_id),
                task_id=dataset.data_config.get("subset") or "default",
                value=value,
                notes=f"{metric} on the split {dataset.original_split(split)}",
            )


def _values(card: CardData) -> Iterator[tuple[str, str, float]]:
    """Yield task, metric and value of every metric with a value, except a mean of other metrics that have one."""
    for task, values in card.scores["tasks"].items() if card.scores is not None else ():
        for metric, value in values.items():
            if metric not in ("score", "rows") and value is not None and not _has_parts(metric, values):
                yield task, metric, value


def _has_parts(metric: str, values: Mapping[str, Any]) -> bool:
    """Return whether a metric is a mean of other metrics, at least one of which is in `values`.

    The Hub does not know such means.
    """
    type_ = METRICS.get(metric) if metric in METRICS.names() else None
    return type_ is not None and issubclass(type_, CombinedMetric) and any(part.name in values for part in type_.parts)


def _scored_on(card: CardData, task: str) -> tuple[str, str, str | None, str]:
    """Return the id, display name, subset and split of the data on which a task is evaluated."""
    datasets, split = card.scored_on(task), _split(card)
    if len(datasets) != 1 or datasets[0].hub_id is None:
        names = [dataset.name for dataset in datasets]
        return _LOCAL, " and ".join(names), "-".join(names), split
    dataset = datasets[0]
    subset = dataset.data_config.get("subset")
    title = dataset.hub_id if subset is None else f"{dataset.hub_id}, {subset}"
    return str(dataset.hub_id), f"{title}{_part(dataset, split)}", subset, dataset.original_split(split)


def _part(dataset: CardDataset, split: str) -> str:
    if dataset.is_complete(split):
        return ""
    return f" ({dataset.rows[split]} rows{' held out of train' if dataset.held_out else ''})"


def _split(card: CardData) -> str:
    assert card.scores is not None, "callers have values"
    return str(card.scores["split"])


def _metric_type(metric: str) -> str:
    return _METRICS.get(metric, metric.removeprefix("evaluate:"))
