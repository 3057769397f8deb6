"""Length-bucketed inference over raw inputs, with results in input order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from nlpmtl.batched_inference import Inference, NumpyOutputs
from nlpmtl.data import without_truncation
from nlpmtl.data.tokenization import naming_failing_row
from nlpmtl.errors import ConfigError, DataError, RunError
from nlpmtl.inference.backend import Backend
from nlpmtl.inference.input_batch import InputBatch, count_characters, text_inputs
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
        self._inference = Inference(
            model.predict_logits, pad=tokenizer.pad_token_id, types=types, tokens=tokens, check_finite=True
        )

    def stream(self, inputs: Iterator[Any], *, reader: InputReader, options: OutputOptions) -> Iterator[dict[str, Any]]:
        """Yield the formatted predictions of each input, in order; inputs are read as they are needed.

        Raises:
            DataError: the tokenizer fails for an input.
            RunError: the process was forked, and its computation would not end.
        """
        done = 0
        for group in _groups(inputs, reader.read, self.model.tasks):
            with naming_failing_row(self.tokenizer, self._located_texts(group, first=done + 1)):
                results = self._predict(group, options)
            yield from (reader.in_task_order(predictions) for predictions in results)
            done += len(group)

    def find_truncated(self, inputs: Iterator[Any], *, reader: InputReader) -> list[bool]:
        """Return for each input whether one of its tasks reads only its beginning."""
        groups = _groups(inputs, reader.read, self.model.tasks)
        return [bool(names) for group in groups for names in self._tokenize(group).truncated]

    def _tokenize(self, inputs: Sequence[TaskInputs]) -> InputBatch:
        return InputBatch.tokenize(
            inputs,
            self.model.tasks,
            tokenizer=self.tokenizer,
            max_length=self.model.config.input_length,
            reads_words=self.model.reads_words,
        )

    def _located_texts(self, inputs: Sequence[TaskInputs], *, first: int) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield the number of the input of each text, counted from `first`, and the text or the pair of texts."""
        for number, task_inputs in enumerate(inputs, first):
            for example, names in task_inputs:
                for name in names:
                    for text in text_inputs(self.model.tasks[name], example):
                        yield f"input {number}", text.texts

    def _predict(self, inputs: Sequence[TaskInputs], options: OutputOptions) -> list[dict[str, Any]]:
        """Return the formatted predictions of the tasks that read each input."""
        results: list[dict[str, Any]] = [{} for _ in inputs]
        tasks = {name: self.model.tasks[name] for row in inputs for _, names in row for name in names}
        if not tasks:
            return results
        batch = self._tokenize(inputs)
        is_long = batch.characters > _LONG
        if is_long:
            release_freed_memory()
        outputs: dict[str, dict[int, NumpyOutputs]] = {name: {} for name in tasks}
        rows_of = {name: np.array([name in examples for examples in batch.examples]) for name in tasks}
        for row, name, values in self._inference.run(batch.split, rows_of=rows_of, consume=_identity):
            outputs[name][row] = values
        for name, task in tasks.items():
            task_outputs, indices = outputs.pop(name), batch.sequence_indices[name]
            rows = np.flatnonzero(rows_of[name]).tolist()
            items = [
                ExampleOutputs(
                    batch.examples[row][name], batch.tokenized.sequences(indices[row]), task_outputs.pop(row)
                )
                for row in rows
            ]
            predictions = decode_all(task, items)
            del items, task_outputs
            if is_long:
                release_freed_memory()
            for row, prediction in zip(rows, predictions, strict=True):
                formatted = task.format(prediction, batch.examples[row][name], options)
                if row == rows[0]:
                    check_format(task, formatted)
                results[row][name] = _mark(formatted, truncated=name in batch.truncated[row])
            del predictions
        return results


def _groups(
    values: Iterator[Any], read: Callable[[Any], TaskInputs], tasks: Mapping[str, Task]
) -> Iterator[list[TaskInputs]]:
    """Yield inputs in groups that are predicted together; `read` is `InputReader.read`."""
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
        budget -= count_characters(row, tasks)
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
