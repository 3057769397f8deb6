"""Inputs to predict for as token sequences: those that each task reads, and those that the encoder computes.

Tasks may split a text into words in different ways. Their token sequences then differ only in which tokens the words
begin at, so the encoder computes them once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from nlpmtl.data import (
    Example,
    Ragged,
    TextInput,
    TextRead,
    TextTable,
    TokenizedInputs,
    TokenizedSplit,
    Tokens,
    check_text_inputs,
    tokenize_text_inputs,
)
from nlpmtl.errors import RunError
from nlpmtl.inference.task_inputs import TaskInputs
from nlpmtl.tasks import Task


class TaskTexts(NamedTuple):
    """The texts of an input that some tasks read.

    Args:
        tasks: names of the tasks.
        reads: the texts that each of them reads.
        has_words: whether they read the words of a text.
    """

    tasks: tuple[str, ...]
    reads: list[TextRead]
    has_words: bool


@dataclass(frozen=True)
class InputBatch:
    """Tokenized inputs.

    Args:
        tokenized: the token sequences.
        examples: for each input, task = the example that it reads; without the tasks that do not read the input.
        sequence_indices: task = indices of the sequences that it reads of each input.
        truncated: for each input the names of the tasks that read only the beginning of a text.
        split: the sequences that the encoder computes.
        characters: number of characters of all texts.
    """

    tokenized: TokenizedInputs
    examples: Sequence[Mapping[str, Example]]
    sequence_indices: Mapping[str, Ragged]
    truncated: Sequence[set[str]]
    split: TokenizedSplit
    characters: int

    @classmethod
    def tokenize(
        cls,
        inputs: Sequence[TaskInputs],
        tasks: Mapping[str, Task],
        *,
        tokenizer: PreTrainedTokenizerBase,
        max_length: int,
        reads_words: Callable[[str], bool],
    ) -> InputBatch:
        """Tokenize inputs.

        Args:
            inputs: the inputs, of which a task reads at least one.
            tasks: the tasks by name.
            tokenizer: a fast tokenizer.
            max_length: maximum number of tokens of a sequence.
            reads_words: whether the head of a task reads the positions of words.

        Raises:
            RunError: `Task.sequences` did not return text inputs.
        """
        texts, reads = collect_texts(inputs, tasks)
        tokenized = tokenize_text_inputs(tokenizer, texts.inputs, max_length=max_length)
        examples = [{name: example for example, names in row for name in names} for row in inputs]
        indices: dict[str, list[list[int]]] = {name: [[] for _ in inputs] for row in examples for name in row}
        truncated: list[set[str]] = [set() for _ in inputs]
        same = np.arange(len(tokenized.tokens.ids))
        for row, groups in enumerate(reads):
            read = [tokenized.read(group.reads) for group in groups]
            for (names, group_reads, _), sequences in zip(groups, read, strict=True):
                for name in names:
                    indices[name][row] = sequences
                if tokenized.is_cut(group_reads):
                    truncated[row].update(names)
            if len({index for sequences in read for index in sequences}) > 1:
                by_words = [group.has_words and any(map(reads_words, group.tasks)) for group in groups]
                _merge_equal(tokenized.tokens, zip(read, by_words, strict=True), same=same)
        ragged = {name: Ragged.pack(rows, dtype="int64") for name, rows in indices.items()}
        encoded = {name: Ragged(same[rows.values], rows.bounds) for name, rows in ragged.items()}
        split = TokenizedSplit(tokenized.tokens, sequence_indices=encoded)
        characters = sum(len(text.text) for text in texts.inputs)
        return cls(tokenized, examples, ragged, truncated, split, characters)


def _merge_equal(tokens: Tokens, reads: Iterable[tuple[Sequence[int], bool]], *, same: NDArray[np.int64]) -> None:
    """Write to ``same`` for each sequence of an input the first one that has its tokens.

    A sequence of a head that reads words is only merged into one with the same words.

    Args:
        tokens: the sequences.
        reads: the sequences that tasks read, and whether their heads read words.
        same: index of the sequence that is computed in place of each sequence.
    """
    first: dict[tuple[bytes, ...], int] = {}
    with_words: set[int] = set()
    for sequences, by_words in sorted(reads, key=lambda read: not read[1]):
        for index in sequences:
            key = _bytes(tokens.ids, index), _bytes(tokens.types, index)
            if by_words:
                with_words.add(index)
                same[index] = first.setdefault((*key, _bytes(tokens.first_tokens, index)), index)
                first.setdefault(key, int(same[index]))
            elif index not in with_words:
                same[index] = first.setdefault(key, index)


def _bytes(values: Ragged | None, index: int) -> bytes:
    return b"" if values is None else values[index].tobytes()


def text_inputs(task: Task, example: Example) -> list[TextInput]:
    """Return the texts of an example that a task reads; raise RunError if `Task.sequences` did not return texts."""
    texts = task.sequences(example, predict=True)
    try:
        return check_text_inputs(texts)
    except (TypeError, ValueError) as error:
        raise RunError(f"task {task.name!r}: sequences() failed: {error}") from error


def count_characters(row: TaskInputs, tasks: Mapping[str, Task]) -> int:
    """Return the number of characters that tasks read of an input.

    Several tasks read a text together; a task that reads it with each of several choices reads it once per choice.
    """
    count = 0
    for example, names in row:
        texts = max((text_inputs(tasks[name], example) for name in names), key=len)
        single = len(example.text) + len(example.pair or "")
        count += single if len(texts) == 1 else sum(len(part) for text in texts for part in text.texts)
    return count


def collect_texts(inputs: Sequence[TaskInputs], tasks: Mapping[str, Task]) -> tuple[TextTable, list[list[TaskTexts]]]:
    """Return the distinct texts of inputs, and those that the tasks read of each input.

    Args:
        inputs: the inputs to predict for.
        tasks: the tasks by name.

    Raises:
        RunError: `Task.sequences` did not return text inputs.
    """
    texts = TextTable()
    reads: list[list[TaskTexts]] = []
    for row in inputs:
        groups: list[tuple[str, ...]] = []
        read: list[list[TextInput]] = []
        for example, names in row:
            beginning = tuple(name for name in names if tasks[name].reads_beginning)
            groups_of_example = [beginning, *((name,) for name in names if name not in beginning)]
            for group in filter(None, groups_of_example):
                groups.append(group)
                read.append(text_inputs(tasks[group[0]], example))
        has_words = [any(text.words is not None for text in of_group) for of_group in read]
        reads.append([TaskTexts(*parts) for parts in zip(groups, texts.add(read), has_words, strict=True)])
    return texts, reads
