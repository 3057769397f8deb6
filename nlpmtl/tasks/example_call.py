"""The call that predicts an example input, for the README files of models.

Example:
    >>> from nlpmtl.tasks import task_from_config
    >>> def task(kind, input="text"):
    ...     return task_from_config(kind, {"kind": kind, "labels": [], "metrics": None, "input": input})
    >>> print(example_call([task("question_answering", "pair"), task("ranking")]))
    predict_all(("A text.", "Another text."))
    >>> print(example_call([task("ranking")]))
    predict_all({"text": "A text.", "choices": ["A text.", "Another text."]})
    >>> print(example_call([task("translation")]))
    predict_all("A text.", tasks=["translation"])
"""

from __future__ import annotations

from collections.abc import Iterable

from nlpmtl.data import column_type
from nlpmtl.strict_json import dumps
from nlpmtl.tasks.base import Task

_TEXT, _OTHER = "A text.", "Another text."


def example_call(tasks: Iterable[Task]) -> str:
    """Return a call of `Predictor.predict_all` whose input at least one of the tasks reads, the simplest such input.

    A further input that is not a list of texts is a variable with the name of its key.

    Args:
        tasks: tasks of a model, at least one.
    """
    task = min(
        tasks, key=lambda task: (task.only_by_name, len(_required(task)), bool(task.required_text), task.takes_pairs)
    )
    text = f"A text with {task.required_text}." if task.required_text else _TEXT
    named = f", tasks=[{dumps(task.name)}]" if task.only_by_name else ""
    required = _required(task)
    if not required:
        value = f"({dumps(text)}, {dumps(_OTHER)})" if task.takes_pairs else dumps(text)
        return f"predict_all({value}{named})"
    cells = {"text": dumps(text), **({"pair": dumps(_OTHER)} if task.takes_pairs else {})}
    cells |= {key: dumps([_TEXT, _OTHER]) if is_text_list(task.extra_inputs[key]) else key for key in required}
    return f"predict_all({{{', '.join(f'{dumps(key)}: {cell}' for key, cell in cells.items())}}}{named})"


def is_text_list(name: str) -> bool:
    """Return whether a further input is a list of texts, by the name of its column type."""
    schema = column_type(name).json_schema
    return schema.get("type") == "array" and schema.get("items") == {"type": "string"}


def _required(task: Task) -> list[str]:
    return [key for key in task.extra_inputs if key not in task.optional]
