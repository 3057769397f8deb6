"""What the Hub reads of a model: the front matter of its card, and the files in .eval_results."""

from __future__ import annotations

from collections.abc import Iterator

from huggingface_hub import EvalResult, EvalResultEntry, ModelCard, ModelCardData, eval_result_entries_to_yaml
from huggingface_hub.utils import yaml_dump  # type: ignore[attr-defined]

from nlpmtl.card.card_data import Facts, Source

HERE = 'from_pretrained(".")'
"""How a card loads the model of its own directory."""
_METRICS = {"macro_f1": "f1", "micro_f1": "f1", "span_f1": "f1", "token_accuracy": "accuracy"}
"""The Hub's names of ours, where they differ."""
_LOCAL = "local"
"""What stands for the id of data that are not from the Hub."""


def front_matter(facts: Facts) -> str:
    """The YAML at the top of a card, without the lines that mark it off."""
    results = list(_results(facts))
    types = list(dict.fromkeys(_task_type(facts, task) for task in facts.tasks))
    data = ModelCardData(
        library_name="nlpmtl",
        pipeline_tag=types[0] if len(types) == 1 else None,
        tags=["multi-task", *types],
        base_model=facts.base_model,
        datasets=list(dict.fromkeys(one.hub for one in facts.sources if one.hub)) or None,
        metrics=list(dict.fromkeys(one.metric_type for one in results)) or None,
        model_name=facts.name if results else None,
        eval_results=results or None,
    )
    return data.to_yaml()


def result_files(facts: Facts) -> dict[str, str]:
    """The files of .eval_results by name: for each task that is scored on a whole split of one dataset of the Hub."""
    found = {}
    for task in facts.scores["tasks"] if facts.scores is not None else ():
        entries = list(_entries(facts, task))
        if entries:
            found[f"{task}.yaml"] = yaml_dump(eval_result_entries_to_yaml(entries), sort_keys=False)
    return found


def addressed(card: str, *, repo: str) -> str:
    """A card that names the repository it is in, in place of its directory; one that does not speak of it stays."""
    if HERE not in card:
        return card
    found = ModelCard(card)
    assert isinstance(found.data, ModelCardData)
    if found.data.eval_results:
        found.data.model_name = repo.rpartition("/")[2]
    found.text = found.text.replace(HERE, f'from_pretrained("{repo}")')
    return str(found)


def _results(facts: Facts) -> Iterator[EvalResult]:
    """One a metric. Those of one dataset and sort of task come together, so each says whose it is."""
    for task, metric, value in _values(facts):
        kind, name, config, split = _scored_on(facts, task)
        yield EvalResult(
            task_type=_task_type(facts, task),
            dataset_type=kind,
            dataset_name=name,
            dataset_config=config,
            dataset_split=split,
            metric_type=_metric_type(metric),
            metric_name=f"{task}: {metric}",
            metric_value=value,
        )


def _entries(facts: Facts, task: str) -> Iterator[EvalResultEntry]:
    sources = facts.scored_on(task)
    if len(sources) != 1 or sources[0].hub is None:
        return
    split, only = _split(facts), sources[0]
    if not only.whole(split):
        return
    for name, metric, value in _values(facts):
        if name == task:
            yield EvalResultEntry(
                dataset_id=str(only.hub),
                task_id=only.data.get("subset") or "default",
                value=value,
                notes=f"{metric} on the split {only.their(split)}",
            )


def _values(facts: Facts) -> Iterator[tuple[str, str, float]]:
    """Task, metric and value of all that is defined."""
    for task, values in facts.scores["tasks"].items() if facts.scores is not None else ():
        for metric, value in values.items():
            if metric not in ("score", "rows") and value is not None:
                yield task, metric, value


def _scored_on(facts: Facts, task: str) -> tuple[str, str, str | None, str]:
    """Of the rows that a task is scored on: the id of the data, its name for people, its part, and the split."""
    sources, split = facts.scored_on(task), _split(facts)
    if len(sources) != 1 or sources[0].hub is None:
        names = [one.name for one in sources]
        return _LOCAL, " and ".join(names), "-".join(names), split
    only = sources[0]
    subset = only.data.get("subset")
    title = only.hub if subset is None else f"{only.hub}, {subset}"
    return str(only.hub), f"{title}{_part(only, split)}", subset, only.their(split)


def _part(source: Source, split: str) -> str:
    if source.whole(split):
        return ""
    return f" ({source.rows[split]} rows{' held out of train' if source.held_out else ''})"


def _split(facts: Facts) -> str:
    assert facts.scores is not None, "there are values"
    return str(facts.scores["split"])


def _metric_type(metric: str) -> str:
    return _METRICS.get(metric, metric.removeprefix("evaluate:"))


def _task_type(facts: Facts, task: str) -> str:
    return "token-classification" if facts.tasks[task]["level"] == "token" else "text-classification"
