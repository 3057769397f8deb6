"""What the Hub reads of a model: the front matter of its card, and the files in .eval_results."""

from __future__ import annotations

from collections.abc import Iterator

from huggingface_hub import EvalResult, EvalResultEntry, ModelCard, ModelCardData, eval_result_entries_to_yaml
from huggingface_hub.utils import yaml_dump  # type: ignore[attr-defined]

from nlpmtl.card.card_data import CardData, CardDataset

HERE = 'from_pretrained(".")'
"""How a card loads the model of its own directory."""
_METRICS = {"macro_f1": "f1", "micro_f1": "f1", "span_f1": "f1", "token_accuracy": "accuracy"}
"""The Hub's names of ours, where they differ."""
_LOCAL = "local"
"""What stands for the id of data that are not from the Hub."""


def front_matter(card: CardData) -> str:
    """The YAML at the top of a card, without the lines that mark it off."""
    results = list(_results(card))
    types = list(dict.fromkeys(_task_type(card, task) for task in card.tasks))
    data = ModelCardData(
        library_name="nlpmtl",
        pipeline_tag=types[0] if len(types) == 1 else None,
        tags=["multi-task", *types],
        base_model=card.base_model,
        datasets=list(dict.fromkeys(one.hub_id for one in card.datasets if one.hub_id)) or None,
        metrics=list(dict.fromkeys(one.metric_type for one in results)) or None,
        model_name=card.name if results else None,
        eval_results=results or None,
    )
    return data.to_yaml()


def eval_result_files(card: CardData) -> dict[str, str]:
    """The files of .eval_results by name: for each task that is scored on a whole split of one dataset of the Hub."""
    found = {}
    for task in card.scores["tasks"] if card.scores is not None else ():
        entries = list(_entries(card, task))
        if entries:
            found[f"{task}.yaml"] = yaml_dump(eval_result_entries_to_yaml(entries), sort_keys=False)
    return found


def with_repo_id(card: str, *, repo: str) -> str:
    """A card that names the repository it is in, in place of its directory; one that does not speak of it stays."""
    if HERE not in card:
        return card
    found = ModelCard(card)
    assert isinstance(found.data, ModelCardData)
    if found.data.eval_results:
        found.data.model_name = repo.rpartition("/")[2]
    found.text = found.text.replace(HERE, f'from_pretrained("{repo}")')
    return str(found)


def _results(card: CardData) -> Iterator[EvalResult]:
    """One a metric. Those of one dataset and sort of task come together, so each says whose it is."""
    for task, metric, value in _values(card):
        kind, name, config, split = _scored_on(card, task)
        yield EvalResult(
            task_type=_task_type(card, task),
            dataset_type=kind,
            dataset_name=name,
            dataset_config=config,
            dataset_split=split,
            metric_type=_metric_type(metric),
            metric_name=f"{task}: {metric}",
            metric_value=value,
        )


def _entries(card: CardData, task: str) -> Iterator[EvalResultEntry]:
    sources = card.scored_on(task)
    if len(sources) != 1 or sources[0].hub_id is None:
        return
    split, only = _split(card), sources[0]
    if not only.is_complete(split):
        return
    for name, metric, value in _values(card):
        if name == task:
            yield EvalResultEntry(
                dataset_id=str(only.hub_id),
                task_id=only.data_config.get("subset") or "default",
                value=value,
                notes=f"{metric} on the split {only.original_split(split)}",
            )


def _values(card: CardData) -> Iterator[tuple[str, str, float]]:
    """Task, metric and value of all that is defined."""
    for task, values in card.scores["tasks"].items() if card.scores is not None else ():
        for metric, value in values.items():
            if metric not in ("score", "rows") and value is not None:
                yield task, metric, value


def _scored_on(card: CardData, task: str) -> tuple[str, str, str | None, str]:
    """Of the rows that a task is scored on: the id of the data, its name for people, its part, and the split."""
    sources, split = card.scored_on(task), _split(card)
    if len(sources) != 1 or sources[0].hub_id is None:
        names = [one.name for one in sources]
        return _LOCAL, " and ".join(names), "-".join(names), split
    only = sources[0]
    subset = only.data_config.get("subset")
    title = only.hub_id if subset is None else f"{only.hub_id}, {subset}"
    return str(only.hub_id), f"{title}{_part(only, split)}", subset, only.original_split(split)


def _part(source: CardDataset, split: str) -> str:
    if source.is_complete(split):
        return ""
    return f" ({source.rows[split]} rows{' held out of train' if source.held_out else ''})"


def _split(card: CardData) -> str:
    assert card.scores is not None, "there are values"
    return str(card.scores["split"])


def _metric_type(metric: str) -> str:
    return _METRICS.get(metric, metric.removeprefix("evaluate:"))


def _task_type(card: CardData, task: str) -> str:
    return "token-classification" if card.tasks[task]["level"] == "token" else "text-classification"
