"""The lines of docs/reference/python.md: what `import nlpmtl` exports, from its docstrings."""

from __future__ import annotations

import inspect
from functools import cached_property
from typing import Any

import nlpmtl
from docs.docstrings import prose, signature
from nlpmtl.config import RunConfig
from nlpmtl.deprecation import RenamedAttribute, RenamedMethod

_FILES_OF_EXAMPLES = """\
```toml
# messages.toml
[data.files]
train = "messages/train.jsonl"
validation = "messages/validation.jsonl"
test = "messages/test.jsonl"

[input]
words = "tokens"

[tasks.topic]
kind = "classification"
label = "topic"

[tasks.places]
kind = "labeling"
label = "tags"
labels = ["O", "B-person", "B-place", "I-place"]
```

```toml
# run.toml
output = "runs/messages"

[encoder]
name = "answerdotai/ModernBERT-base"

[datasets.messages]
extends = "messages.toml"

[train]
steps = 4
```

```python
import torch

import nlpmtl

nlpmtl.train("run.toml")
```"""


def python_api() -> list[str]:
    """Return the page without its title."""
    lines = [
        "Everything that `import nlpmtl` exports. Torch is imported on the first use of a name that needs it.",
        "The examples use the model of these files:",
        "",
        _FILES_OF_EXAMPLES,
    ]
    for name in nlpmtl.__all__:
        lines += ["", f"## {name}", "", *_member(name, getattr(nlpmtl, name))]
    return lines


def _member(name: str, value: Any) -> list[str]:
    if value is RunConfig:
        return ["A validated run file. Its fields are the keys of a [run file](run-file.md).", *prose(value)[1:]]
    if not inspect.isclass(value):
        return [*signature(name, value), "", *prose(value)]
    lines = [*([] if issubclass(value, Exception) else [*signature(name, value), ""]), *prose(value)]
    for key, inner in vars(value).items():
        documented = inspect.isroutine(inner) or isinstance(inner, (classmethod, property))
        documented = documented and not isinstance(inner, RenamedAttribute | RenamedMethod)
        if documented and not key.startswith("_") and inspect.getdoc(getattr(value, key)):
            lines += ["", f"### {name}.{key}", "", *_method(key, inner, getattr(value, key))]
    return lines


def _method(name: str, declared: Any, value: Any) -> list[str]:
    if isinstance(declared, property):
        return ["A property.", "", *prose(declared.fget)]
    if isinstance(declared, cached_property):
        return ["A property.", "", *prose(declared.func)]
    return [*signature(name, value), "", *prose(value)]
