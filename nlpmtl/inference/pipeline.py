"""Length-bucketed inference over raw inputs, with results in input order."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedTokenizerBase

from nlpmtl.batched_inference import Inference, NumpyOutputs
from nlpmtl.data import (
    Example,
    Ragged,
    TextInput,
    TextRead,
    TextTable,
    TokenizedSplit,
    check_text_inputs,
    tokenize_text_inputs,
    without_truncation,
)
from nlpmtl.data.tokenization import name_failing_row
from nlpmtl.errors import ConfigError, DataError, NlpmtlError, RunError
from nlpmtl.inference.backend import Backend
from nlpmtl.inference.task_inputs import InputReader, TaskInputs
from nlpmtl.kernels import release_freed_memory
from nlpmtl.strict_json import dumps
from nlpmtl.tasks import ExampleOutputs, OutputOptions, Task, decode_all

Text = str | tuple[str, str] | Mapping[str, Any]
"""A text, a pair of them, or a row: ``{"text": …}``, ``{"text": …, "pair": …}`` or ``{"words": […]}``."""
Table = Any
"""A pandas DataFrame, a `datasets.Dataset`, or an Arrow table: none of them is imported for a type."""
_INPUTS_AT_ONCE = 2048
"""Inputs that are buffered before they are sorted by length."""
_LONG = 100_000
"""Characters of the inputs of a group above which freed memory is returned before more is needed."""
_CHARACTERS_AT_ONCE = 400_000
"""Characters that are buffered at most, which bounds the memory that long texts take."""
_CHECKED_ITEMS = 100
"""Items of a list in a formatted prediction that are checked to be JSON values."""


class Threads:
    """The threads of torch, which do not survive a fork: a computation on several threads would never end there."""

    _process: ClassVar[int | None] = None
    """First process with a model in torch on several threads: this one, or one that it was forked from."""

    @classmethod
    def start(cls) -> None:
        """Record that this process has started threads, if there are several."""
        if cls._process is None and torch.get_num_threads() > 1:
            cls._process = os.getpid()

    @classmethod
    def check(cls) -> None:
        """Check that a computation would end.

        Raises:
            RunError: this process was forked from one that had loaded a model, and uses several threads.
        """
        if cls._process not in (None, os.getpid()) and torch.get_num_threads() > 1:
            raise RunError(
                f"this process was forked from process {cls._process}, which had loaded a model: the threads of torch "
                "did not survive, and a prediction would never end. Call torch.set_num_threads(1) in this process "
                'first, or start processes with multiprocessing.get_context("spawn") and load the model in each'
            )


class InferencePipeline:
    """A model and its tokenizer, ready to predict.

    Args:
        model: the model.
        tokenizer: its tokenizer.
        tokens: maximum number of padded tokens in one forward pass.
    """

    def __init__(self, model: Backend, tokenizer: PreTrainedTokenizerBase, *, tokens: int) -> None:
        # A copy: other users of the predictor's tokenizer may change its truncation and padding meanwhile.
        self.model, self.tokenizer = model, without_truncation(tokenizer)
        types = "token_type_ids" in tokenizer.model_input_names
        if isinstance(model, nn.Module):  # onnxruntime works after a fork too
            Threads.start()
        self._inference = Inference(
            model.predict_logits, pad=tokenizer.pad_token_id, types=types, tokens=tokens, check_finite=True
        )

    def stream(self, inputs: Iterator[Any], *, reader: InputReader, options: OutputOptions) -> Iterator[dict[str, Any]]:
        """Yield the formatted predictions of each input, in order; inputs are read as they are needed.

        Raises:
            DataError: the tokenizer fails for an input.
            RunError: the process was forked, and its computation would not end.
        """
        if isinstance(self.model, nn.Module):
            Threads.check()
        done = 0
        for rows in _read(inputs, reader.read):
            results: list[dict[str, Any]] = [{} for _ in rows]
            groups: dict[tuple[str, ...], list[tuple[int, Example]]] = defaultdict(list)
            for row, task_inputs in enumerate(rows):
                for example, tasks in task_inputs:
                    groups[tasks].append((row, example))
            for tasks, group in groups.items():
                try:
                    predicted = self._predict([example for _, example in group], tasks, options)
                except (KeyboardInterrupt, SystemExit, NlpmtlError):
                    raise
                except BaseException as error:  # a panic of the tokenizer's Rust code is not an Exception
                    failure = self._tokenizer_failure(error, group, tasks, done=done)
                    if failure is None:
                        raise
                    raise failure from error
                for (row, _), predictions in zip(group, predicted, strict=True):
                    results[row].update(predictions)
            yield from (reader.in_order(predictions) for predictions in results)
            done += len(rows)

    def find_truncated(self, inputs: Iterable[Any], *, reader: InputReader) -> list[bool]:
        """Return for each input whether one of its tasks reads only its beginning."""
        return [
            any(self._is_truncated(example, tasks) for example, tasks in row)
            for rows in _read(iter(inputs), reader.read)
            for row in rows
        ]

    def _is_truncated(self, example: Example, names: Sequence[str]) -> bool:
        texts, reads = collect_texts([example], {name: self.model.tasks[name] for name in names})
        tokenized = tokenize_text_inputs(self.tokenizer, texts.inputs, max_length=self.model.config.input_length)
        return any(tokenized.is_cut(row) for rows in reads.values() for row in rows)

    def _tokenizer_failure(
        self, error: BaseException, group: Sequence[tuple[int, Example]], tasks: Sequence[str], *, done: int
    ) -> DataError | None:
        """Return an error that names the input for which the tokenizer fails; None if it fails for none of them."""
        texts = [
            (row, text.texts)
            for row, example in group
            for task in tasks
            for text in _text_inputs(self.model.tasks[task], example)
        ]
        rows, parts = zip(*texts, strict=True)
        return name_failing_row(error, self.tokenizer, parts, place=lambda text: f"input {done + rows[text] + 1}")

    def _predict(
        self, examples: Sequence[Example], names: Sequence[str], options: OutputOptions
    ) -> list[dict[str, Any]]:
        """Return the formatted predictions of some tasks for examples that all of them read."""
        tasks = {name: self.model.tasks[name] for name in names}
        texts, reads = collect_texts(examples, tasks)
        tokenized = tokenize_text_inputs(self.tokenizer, texts.inputs, max_length=self.model.config.input_length)
        sequence_indices: dict[str, Ragged] = {}
        truncated: dict[str, list[bool]] = {}
        for group, rows in reads.items():
            sequence_indices |= dict.fromkeys(group, Ragged.pack(map(tokenized.read, rows), dtype="int64"))
            is_cut = list(map(tokenized.is_cut, rows))
            truncated |= dict.fromkeys(group, is_cut)
        is_long = sum(len(text.text) for text in texts.inputs) > _LONG
        if is_long:
            release_freed_memory()
        split = TokenizedSplit(tokenized.tokens, sequence_indices=sequence_indices)
        outputs: dict[str, dict[int, NumpyOutputs]] = {name: {} for name in tasks}
        rows_of = dict.fromkeys(tasks, np.ones(len(examples), dtype=np.bool_))
        for row, name, values in self._inference.run(split, rows_of=rows_of, consume=_identity):
            outputs[name][row] = values
        results: list[dict[str, Any]] = [{} for _ in examples]
        for name, task in tasks.items():
            task_outputs = outputs.pop(name)
            items = [
                ExampleOutputs(example, tokenized.sequences(sequence_indices[name][row]), task_outputs.pop(row))
                for row, example in enumerate(examples)
            ]
            predictions = decode_all(task, items)
            del items, task_outputs
            if is_long:
                release_freed_memory()
            for row, prediction in enumerate(predictions):
                formatted = task.format(prediction, examples[row], options)
                if row == 0:
                    check_format(task, formatted)
                results[row][name] = _mark(formatted, truncated=truncated[name][row])
            del predictions
        return results


def _text_inputs(task: Task, example: Example) -> list[TextInput]:
    """Return the texts of an example that a task reads; raise RunError if `Task.sequences` did not return texts."""
    texts = task.sequences(example, predict=True)
    try:
        return check_text_inputs(texts)
    except (TypeError, ValueError) as error:
        raise RunError(f"task {task.name!r}: sequences() failed: {error}") from error


def collect_texts(
    examples: Sequence[Example], tasks: Mapping[str, Task]
) -> tuple[TextTable, dict[tuple[str, ...], list[list[TextRead]]]]:
    """Return the texts of examples, and (names of tasks that read the same texts) -> the texts read in each example.

    Args:
        examples: the inputs to predict for.
        tasks: tasks that can read all of them.

    Raises:
        RunError: `Task.sequences` did not return text inputs.
    """
    default = tuple(name for name, task in tasks.items() if task.reads_beginning)
    groups = [default, *((name,) for name in tasks if name not in default)]
    reads: dict[tuple[str, ...], list[list[TextRead]]] = {group: [] for group in groups if group}
    texts = TextTable()
    for example in examples:
        of_groups = texts.add([_text_inputs(tasks[group[0]], example) for group in reads])
        for rows, row in zip(reads.values(), of_groups, strict=True):
            rows.append(row)
    return texts, reads


def _read(values: Iterator[Any], read: Callable[[Any], TaskInputs]) -> Iterator[list[TaskInputs]]:
    """Yield inputs in groups that are predicted together."""
    rows: list[TaskInputs] = []
    budget = _CHARACTERS_AT_ONCE
    for number, value in enumerate(values, 1):
        try:
            row = read(value)
        except ValueError as error:
            raise DataError(f"input {number}: {error}") from None
        except ConfigError as error:
            raise ConfigError(f"{error} (input {number})") from None
        rows.append(row)
        budget -= sum(len(example.text) + len(example.pair or "") for example, _ in row)
        if budget <= 0 or len(rows) == _INPUTS_AT_ONCE:
            yield rows
            rows, budget = [], _CHARACTERS_AT_ONCE
    if rows:
        yield rows


def _identity(task: str, outputs: Sequence[NumpyOutputs], rows: NDArray[np.int64]) -> Sequence[NumpyOutputs]:
    return outputs


def check_format(task: Task, formatted: Any) -> None:
    """Check that a formatted prediction is plain JSON values, which the command line and the server write.

    Of a list, such as the spans of a long text, the first items are checked.

    Raises:
        RunError: `Task.format` returned something else, such as NumPy numbers.
    """
    try:
        dumps(_first_items(formatted))
    except TypeError as error:
        raise RunError(f"task {task.name!r}: format() must return JSON values, such as float(…): {error}") from error


def _first_items(value: Any) -> Any:
    """Return a JSON value with at most the first items of each list."""
    if isinstance(value, Mapping):
        return {key: _first_items(item) for key, item in value.items()}
    return [_first_items(item) for item in value[:_CHECKED_ITEMS]] if isinstance(value, list | tuple) else value


def _mark(formatted: Any, *, truncated: bool) -> Any:
    return {**formatted, "truncated": True} if truncated and isinstance(formatted, Mapping) else formatted
