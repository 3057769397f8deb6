"""What a task is to transformers: which pipeline, which config, what its last layer has to be. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from nlpmtl.tasks import Labeling, Multilabel, Regression, Task

_PROBLEMS = {
    "classification": "single_label_classification",
    "sentiment": "single_label_classification",
    "multilabel": "multi_label_classification",
    "regression": "regression",
    "labeling": None,
}
_BEST = (
    "Valid sequences: nlpmtl answers with the best one in which I-x follows only B-x or I-x. The pipeline takes the "
    'best tag of each token, or of each word\'s first one with `aggregation_strategy="first"`.'
)
_WORDS = "Words: nlpmtl tags each by its first token; the pipeline tags every token."
_SPLITTING = (
    "Word splitting: nlpmtl splits raw text into words as the training data was split (`word_splitting` in its "
    "config.json), and reads them with single spaces between. Give the pipeline such text."
)
_WINDOWS = (
    "Long texts: nlpmtl labels them whole, in overlapping windows; the pipeline cuts them off, unless given a `stride`."
)
_POLARITY = (
    "The polarity: the sum of score times place over the labels, their places running evenly from -1 to 1 in order."
)
_THRESHOLDS = (
    "Thresholds: a label is an answer where its score is above the threshold that config.json gives it under "
    "`thresholds`. They are not folded in, because that would change the scores."
)


@dataclass(frozen=True)
class HFTaskSpec:
    """A task as a stock model answers it: logits · factor + shift.

    Args:
        pipeline: the pipeline that runs it.
        problem: the config's `problem_type`.
        labels: the names of its logits.
        factor: what our logits are multiplied by, 1 / temperature or the targets' standard deviation …
        shift: … and what is added, the targets' mean.
        folded: a sentence for each change of the last layer.
        left: a sentence for each thing that nlpmtl does with the logits, and the pipeline does not.
        extra: what else the config says.
    """

    pipeline: Literal["text-classification", "token-classification"]
    problem: str | None
    labels: tuple[str, ...]
    factor: float
    shift: float
    folded: tuple[str, ...]
    left: tuple[str, ...]
    extra: dict[str, Any] = field(default_factory=dict)

    def config(self) -> dict[str, Any]:
        """What the stock model's config says of the task."""
        return {
            "id2label": dict(enumerate(self.labels)),
            "label2id": {label: i for i, label in enumerate(self.labels)},
            "problem_type": self.problem,
            **self.extra,
        }


def hf_task_spec(task: Task) -> HFTaskSpec | None:
    """What a task is to transformers; None for a kind that it does not know."""
    if task.kind not in _PROBLEMS:
        return None
    factor, shift, folded = _folded_scale(task)
    return HFTaskSpec(
        pipeline="token-classification" if task.windowed else "text-classification",
        problem=_PROBLEMS[task.kind],
        labels=task.labels or (task.name,),
        factor=factor,
        shift=shift,
        folded=folded,
        left=_not_exported(task),
        extra={"thresholds": _thresholds(task)} if isinstance(task, Multilabel) else {},
    )


def _folded_scale(task: Task) -> tuple[float, float, tuple[str, ...]]:
    if isinstance(task, Regression):
        mean, std = task.target["mean"], task.target["std"]
        said = (
            f"The scale of the data: its output times {std:.6g}, plus {mean:.6g}, so that `score` is the number itself."
        )
        return std, mean, () if (mean, std) == (0.0, 1.0) else (said,)
    if task.temperature == 1.0:
        return 1.0, 0.0, ()
    return 1 / task.temperature, 0.0, (f"The temperature: logits are divided by {task.temperature:.6g}.",)


def _thresholds(task: Multilabel) -> dict[str, float]:
    return dict(zip(task.labels, task.thresholds, strict=True))


def _not_exported(task: Task) -> tuple[str, ...]:
    if isinstance(task, Labeling):
        split = (_SPLITTING,) if task.splitting.joins else ()
        return (_BEST if task.scheme == "bio" else _WORDS, *split, _WINDOWS)
    if task.kind == "sentiment":
        return (_POLARITY,)
    return (_THRESHOLDS,) if isinstance(task, Multilabel) else ()


def write_task_card(task: Task, *, answer: HFTaskSpec, length: int) -> str:
    """A README for the directory of a stock model.

    Args:
        task: the task.
        answer: what it is to transformers.
        length: the longest input in tokens.
    """
    labels = ", ".join(f"`{label}`" for label in answer.labels) if task.labels else "none: `score` is a number"
    lines = [
        "---",
        "library_name: transformers",
        f"pipeline_tag: {answer.pipeline}",
        "tags:",
        "- nlpmtl",
        "---",
        "",
        f"# {task.name}",
        "",
        f"The task `{task.name}` of a multi-task model that nlpmtl trained, as a stock transformers model.",
        "",
        f"- Kind: {task.kind}",
        f"- Input: {'a pair of texts' if task.takes_pairs else 'a text'}, of {length} tokens at most",
        f"- Labels: {labels}",
        "",
        "```python",
        "from transformers import pipeline",
        "",
        f'pipe = pipeline("{answer.pipeline}", model="this-directory-or-repository")',
        f"pipe({_arguments(task)})",
        "```",
        "",
        "## Folded into the last layer",
        "",
        *(f"- {one}" for one in answer.folded or ("Nothing.",)),
        "",
        "## Not in this model",
        "",
        *(f"- {one}" for one in answer.left or ("Nothing: the pipeline answers as nlpmtl does.",)),
        "",
    ]
    return "\n".join(lines)


def _arguments(task: Task) -> str:
    text = '{"text": "A text.", "text_pair": "Another."}' if task.takes_pairs else '"A text."'
    if isinstance(task, Labeling):
        return text if task.scheme == "plain" else f'{text}, aggregation_strategy="first"'
    return f"{text}, truncation=True" + (", top_k=None" if task.kind == "multilabel" else "")
