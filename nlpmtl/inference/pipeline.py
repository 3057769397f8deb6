"""Length-bucketed inference over raw inputs, with results in input order."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedTokenizerBase

from nlpmtl.data import (
    Example,
    Input,
    TokenizedSplit,
    TokenSequence,
    Windows,
    tokenize,
    tokenize_windows,
    without_truncation,
)
from nlpmtl.data.tokenizer import find_failing_text
from nlpmtl.errors import ConfigError, DataError, NlpmtlError, RunError
from nlpmtl.evaluation import Inference, Outputs
from nlpmtl.inference.backend import Backend
from nlpmtl.inference.task_inputs import InputReader, TaskInputs
from nlpmtl.model import with_finite_logits
from nlpmtl.tasks import ExampleOutputs, OutputOptions

Text = str | tuple[str, str] | Mapping[str, Any]
"""A text, a pair of them, or a row: ``{"text": …}``, ``{"text": …, "pair": …}`` or ``{"words": […]}``."""
Table = Any
"""A pandas DataFrame, a `datasets.Dataset`, or an Arrow table: none of them is imported for a type."""
_INPUTS_AT_ONCE = 2048
"""Inputs that are buffered before they are sorted by length."""
_CHARACTERS_AT_ONCE = 400_000
"""Characters that are buffered at most, which bounds the memory that long texts take."""


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
            with_finite_logits(model.predict_logits), pad=tokenizer.pad_token_id, types=types, tokens=tokens
        )

    def stream(self, inputs: Iterator[Any], *, reader: InputReader, options: OutputOptions) -> Iterator[dict[str, Any]]:
        """Yield the formatted predictions of each input, in order; inputs are read as they are needed.

        Raises:
            RunError: the process was forked, and its computation would not end.
        """
        if isinstance(self.model, nn.Module):
            Threads.check()
        done = 0
        for rows in _read(inputs, reader.read):
            results: list[dict[str, Any]] = [{} for _ in rows]
            groups: dict[tuple[str, ...], list[tuple[int, Input]]] = defaultdict(list)
            for row, task_inputs in enumerate(rows):
                for read, tasks in task_inputs:
                    groups[tasks].append((row, read))
            for tasks, group in groups.items():
                try:
                    predicted = self._predict([read for _, read in group], tasks, options)
                except (KeyboardInterrupt, SystemExit, NlpmtlError):
                    raise
                except BaseException as error:  # a panic of the tokenizer's Rust code is not an Exception
                    self._name_input(error, group, done=done)
                    raise
                for (row, _), predictions in zip(group, predicted, strict=True):
                    results[row].update(predictions)
            yield from (reader.in_order(predictions) for predictions in results)
            done += len(rows)

    def _name_input(self, error: BaseException, group: Sequence[tuple[int, Input]], *, done: int) -> None:
        """If the tokenizer failed, add a note to the error that names the input."""
        failing = find_failing_text(
            self.tokenizer,
            [(read.encoded_text,) if read.pair is None else (read.encoded_text, read.pair) for _, read in group],
        )
        if failing is not None:
            error.add_note(f"input {done + group[failing][0] + 1}: the model's tokenizer fails for this text")

    def _predict(self, inputs: Sequence[Input], names: Sequence[str], options: OutputOptions) -> list[dict[str, Any]]:
        """Return the formatted predictions of some tasks for inputs that all of them read."""
        tasks = {name: self.model.tasks[name] for name in names}
        windows = self._tokenize(inputs, windowed=any(task.windowed for task in tasks.values()))
        pieces, first = windows.pieces, np.zeros(len(windows.text), dtype=np.bool_)
        first[windows.first] = True
        has_words = first if pieces.first_tokens is None else first | (pieces.first_tokens.lengths > 0)
        rows_of = {name: has_words if task.windowed else first for name, task in tasks.items()}
        encoded = TokenizedSplit(pieces.ids, pieces.types, pieces.first_tokens)
        outputs: dict[str, dict[int, Outputs]] = {name: {} for name in tasks}
        for row, name, values in self._inference.run(encoded, rows_of=rows_of, consume=_identity):
            outputs[name][row] = values
        sequences = _to_sequences(windows)
        cut = pieces.cut[windows.first].tolist()
        results: list[dict[str, Any]] = [{} for _ in inputs]
        for name, task in tasks.items():
            items = _to_items(inputs, windows, sequences, outputs.pop(name))
            predictions = task.decode(items)
            for result, prediction, item, truncated in zip(results, predictions, items, cut, strict=True):
                formatted = task.format(prediction, item.example, options)
                result[name] = _mark(formatted, truncated=truncated and not task.windowed)
        return results

    def _tokenize(self, inputs: Sequence[Input], *, windowed: bool) -> Windows:
        """Return the tokens of inputs: in windows, or of each input its beginning."""
        texts, max_length = [read.encoded_text for read in inputs], self.model.config.input_length
        if windowed:
            words = (read.encoded[1] for read in inputs)
            return tokenize_windows(self.tokenizer, texts, words=words, max_length=max_length)
        pairs = [read.pair or "" for read in inputs] if inputs[0].pair is not None else None
        pieces = tokenize(self.tokenizer, texts, pairs=pairs, max_length=max_length)
        rows = np.arange(len(inputs))
        return Windows(pieces, rows, rows, np.zeros(0, dtype=np.int64))


def _to_sequences(windows: Windows) -> list[TokenSequence]:
    """Return the token sequence of each window."""
    ids, first_tokens = windows.pieces.ids, windows.pieces.first_tokens
    if first_tokens is None:
        return [TokenSequence(ids[row]) for row in range(len(windows.text))]
    return [TokenSequence(ids[row], first_tokens[row], windows.words_of(row)) for row in range(len(windows.text))]


def _to_items(
    inputs: Sequence[Input], windows: Windows, sequences: Sequence[TokenSequence], outputs: Mapping[int, Outputs]
) -> list[ExampleOutputs]:
    """Return the outputs of each input, whose windows follow each other."""
    items = []
    for read, start, end in zip(inputs, windows.first, [*windows.first[1:], len(windows.text)], strict=True):
        rows = [row for row in range(start, end) if row in outputs]
        arrays = {name: [outputs[row][name] for row in rows] for name in outputs[rows[0]]}
        items.append(ExampleOutputs(Example(read), [sequences[row] for row in rows], arrays))
    return items


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
        budget -= sum(len(read_input.encoded_text) + len(read_input.pair or "") for read_input, _ in row)
        if budget <= 0 or len(rows) == _INPUTS_AT_ONCE:
            yield rows
            rows, budget = [], _CHARACTERS_AT_ONCE
    if rows:
        yield rows


def _identity(task: str, outputs: Sequence[Outputs], rows: NDArray[np.int64]) -> Sequence[Outputs]:
    return outputs


def _mark(formatted: Any, *, truncated: bool) -> Any:
    return {**formatted, "truncated": True} if truncated and isinstance(formatted, Mapping) else formatted
