"""Prediction: a text in, the answers of one task or of all of them out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from nlpmtl.artifact import Backend, BackendName, load_backend
from nlpmtl.data import Encoded, Input, Windows, to_input, tokenize, tokenize_windows
from nlpmtl.errors import ConfigError, DataError, did_you_mean
from nlpmtl.evaluation import Inference
from nlpmtl.tasks import Logits, Prediction, Task

Text = str | tuple[str, str] | Mapping[str, Any]
"""A text, a pair of them, or a row: ``{"text": …}``, ``{"text": …, "pair": …}`` or ``{"words": […]}``."""
_ROWS_AT_ONCE = 256


class Predictor:
    """A model that answers.

        model = Predictor.from_pretrained("runs/demo/model")
        model.predict("A delightful film.", task="sst2")
        model.predict_all(["Ada lives in Turin.", "It rained."])

    One input gives one answer, a list a list, an iterator an iterator that reads ahead by a few hundred inputs.

    Args:
        model: the model, in evaluation mode.
        tokenizer: its tokenizer.
        tokens: most padded wordpieces in one forward.
    """

    def __init__(self, model: Backend, tokenizer: PreTrainedTokenizerBase, *, tokens: int = 4096) -> None:
        self.model, self.tokenizer = model, tokenizer
        types = "token_type_ids" in tokenizer.model_input_names
        self._inference = Inference(model.infer, pad=tokenizer.pad_token_id, types=types, tokens=tokens)

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        backend: BackendName | None = None,
    ) -> Predictor:
        """A predictor from a model directory or a Hub id.

        Args:
            name: a model directory, or a Hub id.
            device: where to compute, such as "cuda"; left out: the CPU.
            dtype: in which precision; left out: single.
            backend: what computes, "torch" or "onnx"; left out: onnxruntime for a directory with a ``model.onnx`` and
                no weights for torch, else torch.

        Raises:
            ConfigError: the backend is unknown, not installed, or lacks that device or precision.
            ModelError: there is no such model, or it is not one of nlpmtl's.
        """
        return cls(*load_backend(str(name), backend=backend, device=device, dtype=dtype))

    @property
    def tasks(self) -> Mapping[str, Task]:
        """The model's tasks by name."""
        return self.model.tasks

    def predict(
        self, inputs: Text | Sequence[Text] | Iterator[Text], *, task: str, all_scores: bool = False
    ) -> Prediction:
        """The answer of one task: for one input one answer, for a list a list, for an iterator an iterator.

        Args:
            inputs: a text, a pair ``(text, pair)``, ``{"words": […]}``, or several.
            task: which task.
            all_scores: add ``"scores"``, the probability of every label.

        Raises:
            ConfigError: there is no such task, or it wants pairs and got a text, or the other way round.
            DataError: an input is none.
        """
        answers = self.predict_all(inputs, tasks=[task], all_scores=all_scores)
        if isinstance(answers, Mapping):
            return answers[task]
        only = (one[task] for one in answers)
        return only if isinstance(inputs, Iterator) else list(only)

    def predict_all(
        self,
        inputs: Text | Sequence[Text] | Iterator[Text],
        *,
        tasks: Sequence[str] | None = None,
        all_scores: bool = False,
    ) -> Any:
        """The answers of several tasks, from one pass of the encoder.

        A text that is longer than the model reads is labelled in overlapping windows; other tasks read its beginning,
        and say so: ``"truncated": True``.

        Args:
            inputs: a text, a pair ``(text, pair)``, ``{"words": […]}``, or several.
            tasks: which tasks; left out: all that can read the input (a pair task cannot read a single text).
            all_scores: add ``"scores"``, the probability of every label.

        Returns:
            ``{task: answer}``, or a list or an iterator of such.

        Raises:
            ConfigError: a named task does not exist, or cannot read an input.
            DataError: an input is none.
        """
        for name in tasks or ():
            if name not in self.tasks:
                raise ConfigError(f"this model has no task {name!r}; {did_you_mean(name, self.tasks)}")
        if isinstance(inputs, str | tuple | Mapping):
            return next(self._stream(iter([inputs]), tasks=tasks, all_scores=all_scores))
        stream = self._stream(iter(inputs), tasks=tasks, all_scores=all_scores)
        return stream if isinstance(inputs, Iterator) else list(stream)

    def _stream(
        self, inputs: Iterator[Text], *, tasks: Sequence[str] | None, all_scores: bool
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
                    for i, found in zip(at, answer([read[i] for i in at], asked, all_scores), strict=True):
                        answers[i] = found
            yield from answers
            done += len(some)

    def _readable(self, *, paired: bool, tasks: Sequence[str] | None) -> list[str]:
        """The tasks to ask: those named, or all that read such inputs."""
        fitting = [name for name, task in self.tasks.items() if (task.input == "pair") is paired]
        for name in tasks or ():
            if name not in fitting:
                wants, got = ("a single text", "a pair") if paired else ("a pair (text, pair)", "a single text")
                raise ConfigError(f"task {name!r} reads {wants}, and was given {got}")
        if not fitting:
            raise ConfigError("no task of this model reads a pair" if paired else "all tasks of this model read pairs")
        return list(tasks) if tasks is not None else fitting

    def _answer_pairs(
        self, inputs: Sequence[Input], asked: Sequence[str], all_scores: bool
    ) -> list[dict[str, Prediction]]:
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
            answers[row][task] = self._present(task, logits, inputs[row], cut=pieces.cut[row], all_scores=all_scores)
        return answers

    def _answer_texts(
        self, inputs: Sequence[Input], asked: Sequence[str], all_scores: bool
    ) -> list[dict[str, Prediction]]:
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
            cut = self.tasks[task].level == "sequence" and bool(windows.pieces.cut[windows.first[text]])
            answers[text][task] = self._present(task, logits, inputs[text], cut=cut, all_scores=all_scores)
        return answers

    def _windows_of(self, asked: Sequence[str], windows: Windows) -> dict[str, NDArray[np.bool_]]:
        """Which windows each task is asked about: all to label words, else the first of each text."""
        every = np.ones(len(windows.text), dtype=np.bool_)
        first = np.zeros(len(windows.text), dtype=np.bool_)
        first[windows.first] = True
        return {task: every if self.tasks[task].level == "token" else first for task in asked}

    def _present(self, task: str, logits: Logits, one: Input, *, cut: bool, all_scores: bool) -> Prediction:
        answer = self.tasks[task].present(logits, text=one.text, words=one.words, all_scores=all_scores)
        return {**answer, "truncated": True} if cut else answer


def _read(value: Text, number: int) -> Input:
    try:
        return to_input(value)
    except ValueError as error:
        raise DataError(f"input {number}: {error}") from None


def _logits(task: str, logits: Logits, row: int) -> Logits:
    """The logits themselves: what they mean may depend on other rows."""
    return logits
