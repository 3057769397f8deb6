"""From inputs to answers: read, tokenised, through the model with others of like length, and given back in order."""

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

from nlpmtl.data import Encoded, Input, Windows, tokenize, tokenize_windows, without_truncation
from nlpmtl.data.tokenizer import find_failing_text
from nlpmtl.errors import ConfigError, DataError, NlpmtlError, RunError
from nlpmtl.evaluation import Inference
from nlpmtl.inference.backend import Backend
from nlpmtl.inference.task_inputs import InputReader, TaskInputs
from nlpmtl.model import with_finite_logits
from nlpmtl.tasks import Logits, OutputOptions, Prediction

Text = str | tuple[str, str] | Mapping[str, Any]
"""A text, a pair of them, or a row: ``{"text": …}``, ``{"text": …, "pair": …}`` or ``{"words": […]}``."""
Table = Any
"""A pandas DataFrame, a `datasets.Dataset`, or an Arrow table: none of them is imported for a type."""
_INPUTS_AT_ONCE = 2048
"""Among so many enough are of one length to fill a forward with hardly any padding."""
_CHARACTERS_AT_ONCE = 400_000
"""Long texts come fewer at a time: memory is bounded, whatever their number and length."""


class Threads:
    """The threads of torch, which a process loses when it is forked: what it computes with several waits for ever."""

    _process: ClassVar[int | None] = None
    """The first process that had a model in torch on several threads: this one, or one that it was forked from."""

    @classmethod
    def start(cls) -> None:
        """Note that this process has started them, if there are several."""
        if cls._process is None and torch.get_num_threads() > 1:
            cls._process = os.getpid()

    @classmethod
    def check(cls) -> None:
        """Raise an error where a computation would not end.

        Raises:
            RunError: this process was forked from one that had loaded a model, and computes with several threads.
        """
        if cls._process not in (None, os.getpid()) and torch.get_num_threads() > 1:
            raise RunError(
                f"this process was forked from process {cls._process}, which had loaded a model: the threads of torch "
                "did not survive, and a prediction would never end. Call torch.set_num_threads(1) in this process "
                'first, or start processes with multiprocessing.get_context("spawn") and load the model in each'
            )


class InferencePipeline:
    """A model and its tokenizer, ready to answer.

    Args:
        model: the model.
        tokenizer: its tokenizer.
        tokens: most padded tokens in one forward.
    """

    def __init__(self, model: Backend, tokenizer: PreTrainedTokenizerBase, *, tokens: int) -> None:
        # A copy of its own: whoever calls the predictor's tokenizer meanwhile sets how that one truncates and pads.
        self.model, self.tokenizer = model, without_truncation(tokenizer)
        types = "token_type_ids" in tokenizer.model_input_names
        if isinstance(model, nn.Module):  # onnxruntime predicts after a fork too
            Threads.start()
        self._inference = Inference(
            with_finite_logits(model.predict_logits), pad=tokenizer.pad_token_id, types=types, tokens=tokens
        )

    def stream(
        self, inputs: Iterator[Any], *, reader: InputReader, shown: OutputOptions
    ) -> Iterator[dict[str, Prediction]]:
        """Answers in the order of the inputs, read as they are needed.

        Raises:
            RunError: the process was forked, and its computation would not end.
        """
        if isinstance(self.model, nn.Module):
            Threads.check()
        done = 0
        for rows in _read(inputs, reader.read):
            answers: list[dict[str, Prediction]] = [{} for _ in rows]
            groups: dict[tuple[str, ...], list[tuple[int, Input]]] = defaultdict(list)
            for row, found in enumerate(rows):
                for one, tasks in found:
                    groups[tasks].append((row, one))
            for asked, group in groups.items():
                labels_words = any(self.model.tasks[task].level == "token" for task in asked)
                answer = self._answer_words if labels_words else self._answer_texts
                try:
                    predicted = answer([one for _, one in group], asked, shown)
                except (KeyboardInterrupt, SystemExit, NlpmtlError):
                    raise
                except BaseException as error:  # a panic of the tokenizer's Rust code is not an Exception
                    self._name_input(error, group, done=done)
                    raise
                for (row, _), predictions in zip(group, predicted, strict=True):
                    answers[row].update(predictions)
            yield from (reader.in_order(answer) for answer in answers)
            done += len(rows)

    def _name_input(self, error: BaseException, group: Sequence[tuple[int, Input]], *, done: int) -> None:
        """Add to an error a note that names the input for which the tokenizer fails, if it is the tokenizer."""
        failing = find_failing_text(
            self.tokenizer,
            [(one.encoded_text,) if one.pair is None else (one.encoded_text, one.pair) for _, one in group],
        )
        if failing is not None:
            error.add_note(f"input {done + group[failing][0] + 1}: the model's tokenizer fails for this text")

    def _answer_texts(
        self, inputs: Sequence[Input], asked: Sequence[str], shown: OutputOptions
    ) -> list[dict[str, Prediction]]:
        """Tasks that read a text, or a pair of them, as a whole: from its beginning."""
        pieces = tokenize(
            self.tokenizer,
            [one.encoded_text for one in inputs],
            pairs=[one.pair or "" for one in inputs] if inputs[0].pair is not None else None,
            max_length=self.model.config.input_length,
        )
        encoded = Encoded(pieces.ids, pieces.types, None, labels={}, cut=int(pieces.cut.sum()))
        every = np.ones(len(inputs), dtype=np.bool_)
        answers: list[dict[str, Prediction]] = [dict.fromkeys(asked) for _ in inputs]

        def present(task: str, logits: Sequence[Logits], rows: NDArray[np.int64]) -> list[Prediction]:
            return self.model.tasks[task].present_rows(logits, inputs=[inputs[row] for row in rows], shown=shown)

        for row, task, one in self._inference.answers(encoded, asked=dict.fromkeys(asked, every), answer=present):
            answers[row][task] = _mark(one, cut=pieces.cut[row])
        return answers

    def _answer_words(
        self, inputs: Sequence[Input], asked: Sequence[str], shown: OutputOptions
    ) -> list[dict[str, Prediction]]:
        """Tasks that label the words of a text, in as many windows as it needs, and others along with them."""
        windows = tokenize_windows(
            self.tokenizer,
            [one.encoded_text for one in inputs],
            words=(one.encoded[1] for one in inputs),
            max_length=self.model.config.input_length,
        )
        encoded = Encoded(windows.pieces.ids, None, windows.pieces.first_tokens, labels={}, cut=0)
        found = {task: self._no_logits(task, inputs) for task in asked}
        for window, task, logits in self._inference.answers(
            encoded, asked=self._windows_of(asked, windows), answer=_logits
        ):
            text = windows.text[window]
            if self.model.tasks[task].level == "token":
                found[task][text][windows.words_of(window)] = logits
            else:
                found[task][text] = logits
        answers: list[dict[str, Prediction]] = [{} for _ in inputs]
        cut = windows.pieces.cut[windows.first]
        for task in asked:
            one = self.model.tasks[task]
            presented = one.present_rows(found[task], inputs=inputs, shown=shown)
            for answer, prediction, was_cut in zip(answers, presented, cut, strict=True):
                answer[task] = _mark(prediction, cut=was_cut and one.level == "sequence")
        return answers

    def _no_logits(self, task: str, inputs: Sequence[Input]) -> list[Logits]:
        """For each text the logits of its words, ``[words, outputs]``, all NaN still; empty for whole texts."""
        one = self.model.tasks[task]
        if one.level == "sequence":
            return [np.empty(0, dtype=np.float32) for _ in inputs]
        return [np.full((len(read.words), one.outputs), np.nan, dtype=np.float32) for read in inputs]

    def _windows_of(self, asked: Sequence[str], windows: Windows) -> dict[str, NDArray[np.bool_]]:
        """Which windows each task is asked about: to label words those that have any, else the first of each text."""
        assert windows.pieces.first_tokens is not None, "windows are of words"
        labelling = windows.pieces.first_tokens.lengths > 0
        first = np.zeros(len(windows.text), dtype=np.bool_)
        first[windows.first] = True
        return {task: labelling if self.model.tasks[task].level == "token" else first for task in asked}


def _read(values: Iterator[Any], read: Callable[[Any], TaskInputs]) -> Iterator[list[TaskInputs]]:
    """Inputs, as many at once as are answered together."""
    rows: list[TaskInputs] = []
    room = _CHARACTERS_AT_ONCE
    for number, value in enumerate(values, 1):
        try:
            row = read(value)
        except ValueError as error:
            raise DataError(f"input {number}: {error}") from None
        except ConfigError as error:
            raise ConfigError(f"{error} (input {number})") from None
        rows.append(row)
        room -= sum(len(one.encoded_text) + len(one.pair or "") for one, _ in row)
        if room <= 0 or len(rows) == _INPUTS_AT_ONCE:
            yield rows
            rows, room = [], _CHARACTERS_AT_ONCE
    if rows:
        yield rows


def _logits(task: str, logits: Sequence[Logits], rows: NDArray[np.int64]) -> Sequence[Logits]:
    """The logits themselves: what they mean may depend on other rows."""
    return logits


def _mark(prediction: Prediction, *, cut: bool) -> Prediction:
    return {**prediction, "truncated": True} if cut else prediction
