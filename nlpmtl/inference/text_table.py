"""The texts that tasks read of inputs to predict for, each tokenized once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain

from nlpmtl.data import Example, Ragged, TextInput, TokenizedInputs
from nlpmtl.tasks import Task

_Key = tuple[str, str | None, int | str | None, bool]
"""Text, pair and stride of a text input, and whether its words are read."""
_Read = tuple[int, bool]
"""Index of a text input, and whether only its beginning is read."""


class TextTable:
    """The different text inputs of examples, and which of them each task reads.

    A text that is truncated for one task and cut into windows for another is tokenized once: its first window is the
    truncated text.

    Args:
        examples: the inputs to predict for.
        tasks: tasks that can read all of them.
    """

    def __init__(self, examples: Sequence[Example], tasks: Mapping[str, Task]) -> None:
        self.inputs: list[TextInput] = []
        """The text inputs."""
        default = [name for name, task in tasks.items() if type(task).sequences is Task.sequences]
        groups = [default, *([name] for name in tasks if name not in default)]
        self._reads: list[tuple[list[str], list[list[_Read]]]] = [(group, []) for group in groups if group]
        for example in examples:
            texts = [tasks[names[0]].sequences(example, predict=True) for names, _ in self._reads]
            indices: dict[_Key, int] = {}
            for text in chain.from_iterable(texts):
                if not _is_truncated_text(text):
                    self._add(text, indices)
            for (_, reads), group_texts in zip(self._reads, texts, strict=True):
                reads.append([(self._find(text, indices), text.stride is None) for text in group_texts])

    def _find(self, text: TextInput, indices: dict[_Key, int]) -> int:
        """Return the index of a text input of an example, which is added if it is new."""
        if _is_truncated_text(text):
            for (known, pair, _, _), index in indices.items():
                if known == text.text and pair is None:
                    return index
        return self._add(text, indices)

    def _add(self, text: TextInput, indices: dict[_Key, int]) -> int:
        key = text.text, text.pair, text.stride, text.words is not None
        if key not in indices:
            indices[key] = len(self.inputs)
            self.inputs.append(text)
        index = indices[key]
        if text.offsets:
            self.inputs[index] = replace(self.inputs[index], offsets=True)
        return index

    def places(self, tokenized: TokenizedInputs) -> dict[str, Ragged]:
        """Return for each task and example the indices of the token sequences that it reads."""
        starts, ends = tokenized.first[:-1].tolist(), tokenized.first[1:].tolist()
        places: dict[str, Ragged] = {}
        for names, reads in self._reads:
            sequences = [
                [i for text, first in row for i in range(starts[text], starts[text] + 1 if first else ends[text])]
                for row in reads
            ]
            places |= dict.fromkeys(names, Ragged.pack(sequences, dtype="int64"))
        return places

    def truncated(self, tokenized: TokenizedInputs) -> dict[str, list[bool]]:
        """Return for each task and example whether only the beginning of one of its texts is read."""
        cut = tokenized.pieces.cut[tokenized.first[:-1]].tolist()
        truncated: dict[str, list[bool]] = {}
        for names, reads in self._reads:
            flags = [any(beginning and cut[text] for text, beginning in row) for row in reads]
            truncated |= dict.fromkeys(names, flags)
        return truncated


def _is_truncated_text(text: TextInput) -> bool:
    """Return whether it is the beginning of a single text, without positions of words or tokens."""
    return text.pair is None and text.stride is None and text.words is None and not text.offsets
