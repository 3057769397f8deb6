"""From inputs to answers: read, tokenised, through the model with others of like length, and given back in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from nlpmtl.artifact import Backend
from nlpmtl.data import Encoded, Input, Windows, to_input, tokenize, tokenize_windows
from nlpmtl.errors import ConfigError, DataError
from nlpmtl.evaluation import Inference
from nlpmtl.tasks import Logits, Prediction, Shown

Text = str | tuple[str, str] | Mapping[str, Any]
"""A text, a pair of them, or a row: ``{"text": …}``, ``{"text": …, "pair": …}`` or ``{"words": […]}``."""
_ROWS_AT_ONCE = 256


class Answering:
    """A model and its tokenizer, ready to answer.

    Args:
        model: the model.
        tokenizer: its tokenizer.
        tokens: most padded wordpieces in one forward.
    """

    def __init__(self, model: Backend, tokenizer: PreTrainedTokenizerBase, *, tokens: int) -> None:
        self.model, self.tokenizer = model, tokenizer
        types = "token_type_ids" in tokenizer.model_input_names
        self._inference = Inference(model.infer, pad=tokenizer.pad_token_id, types=types, tokens=tokens)

    def stream(
        self, inputs: Iterator[Text], *, tasks: Sequence[str] | None, shown: Shown
    ) -> Iterator[dict[str, Prediction]]:
        """Answers in the order of the inputs, read as they are needed."""
        done = 0
        while some := list(islice(inputs, _ROWS_AT_ONCE)):
            read = [_read(one, number) for number, one in enumerate(some, done + 1)]
            answers: list[dict[str, Prediction]] = [{} for _ in read]
            for paired in (False, True):
                at = [i for i, one in enumerate(read) if (one.pair is not None) is paired]
                if at:
                    asked = self._readable(paired=paired, tasks=tasks)
                    answer = self._answer_pairs if paired else self._answer_texts
                    for i, found in zip(at, answer([read[i] for i in at], asked, shown), strict=True):
                        answers[i] = found
            yield from answers
            done += len(some)

    def _readable(self, *, paired: bool, tasks: Sequence[str] | None) -> list[str]:
        """The tasks to ask: those named, or all that read such inputs."""
        fitting = [name for name, task in self.model.tasks.items() if (task.input == "pair") is paired]
        for name in tasks or ():
            if name not in fitting:
                wants, got = ("a single text", "a pair") if paired else ("a pair (text, pair)", "a single text")
                raise ConfigError(f"task {name!r} reads {wants}, and was given {got}")
        if not fitting:
            raise ConfigError("no task of this model reads a pair" if paired else "all tasks of this model read pairs")
        return list(tasks) if tasks is not None else fitting

    def _answer_pairs(self, inputs: Sequence[Input], asked: Sequence[str], shown: Shown) -> list[dict[str, Prediction]]:
        pieces = tokenize(
            self.tokenizer,
            [one.text for one in inputs],
            pairs=[one.pair or "" for one in inputs],
            max_length=self.model.config.input_length,
        )
        encoded = Encoded(pieces.ids, pieces.types, None, labels={}, cut=int(pieces.cut.sum()))
        every = np.ones(len(inputs), dtype=np.bool_)
        answers: list[dict[str, Prediction]] = [dict.fromkeys(asked) for _ in inputs]
        for row, task, logits in self._inference.answers(encoded, asked=dict.fromkeys(asked, every), answer=_logits):
            answers[row][task] = self._present(task, logits, inputs[row], cut=pieces.cut[row], shown=shown)
        return answers

    def _answer_texts(self, inputs: Sequence[Input], asked: Sequence[str], shown: Shown) -> list[dict[str, Prediction]]:
        windows = tokenize_windows(
            self.tokenizer,
            [one.text for one in inputs],
            words=[one.words for one in inputs],
            max_length=self.model.config.input_length,
        )
        encoded = Encoded(windows.pieces.ids, None, windows.pieces.firsts, labels={}, cut=0)
        found: dict[tuple[int, str], dict[int, Logits]] = {}
        for window, task, logits in self._inference.answers(
            encoded, asked=self._windows_of(asked, windows), answer=_logits
        ):
            found.setdefault((int(windows.text[window]), task), {})[window] = logits
        answers: list[dict[str, Prediction]] = [dict.fromkeys(asked) for _ in inputs]
        for (text, task), parts in found.items():
            logits = windows.join(text, [parts[window] for window in sorted(parts)])
            cut = self.model.tasks[task].level == "sequence" and bool(windows.pieces.cut[windows.first[text]])
            answers[text][task] = self._present(task, logits, inputs[text], cut=cut, shown=shown)
        return answers

    def _windows_of(self, asked: Sequence[str], windows: Windows) -> dict[str, NDArray[np.bool_]]:
        """Which windows each task is asked about: all to label words, else the first of each text."""
        every = np.ones(len(windows.text), dtype=np.bool_)
        first = np.zeros(len(windows.text), dtype=np.bool_)
        first[windows.first] = True
        return {task: every if self.model.tasks[task].level == "token" else first for task in asked}

    def _present(self, task: str, logits: Logits, one: Input, *, cut: bool, shown: Shown) -> Prediction:
        answer = self.model.tasks[task].present(logits, text=one.text, words=one.words, shown=shown)
        return {**answer, "truncated": True} if cut else answer


def _read(value: Text, number: int) -> Input:
    try:
        return to_input(value)
    except ValueError as error:
        raise DataError(f"input {number}: {error}") from None


def _logits(task: str, logits: Logits, row: int) -> Logits:
    """The logits themselves: what they mean may depend on other rows."""
    return logits
