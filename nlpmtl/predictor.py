"""Prediction: a text in, the answers of one task or of all of them out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedTokenizerBase

from nlpmtl.artifact import export_task, fetch, load_model, push
from nlpmtl.data import Encoded, Input, Windows, to_input, tokenize, tokenize_windows
from nlpmtl.errors import ConfigError, DataError, ModelError, did_you_mean
from nlpmtl.evaluation import Inference
from nlpmtl.model import MultiTaskModel
from nlpmtl.tasks import Aggregation, Logits, Prediction, Shown, Task

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

    def __init__(self, model: MultiTaskModel, tokenizer: PreTrainedTokenizerBase, *, tokens: int = 4096) -> None:
        self.model, self.tokenizer = model, tokenizer
        self._directory: Path | None = None
        types = "token_type_ids" in tokenizer.model_input_names
        self._inference = Inference(model.infer, pad=tokenizer.pad_token_id, types=types, tokens=tokens)

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        revision: str | None = None,
        token: str | None = None,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> Predictor:
        """A predictor from a model directory or a Hub id.

        Args:
            name: a model directory, or a Hub id.
            revision: a commit, tag or branch of the Hub's model; left out: its main branch.
            token: to read a private or gated one; left out: that of `hf auth login`, or HF_TOKEN.
            device: where to compute, such as "cuda"; left out: the CPU.
            dtype: in which precision; left out: single.

        Raises:
            ConfigError: a directory has no revisions; a token that cannot be one.
            ModelError: there is no such model, it may not be read, or it is not one of nlpmtl's.
        """
        directory = fetch(name, revision=revision, token=token)
        model, tokenizer = load_model(str(directory))
        module: nn.Module = model  # whose `to` has types
        if device is not None or dtype is not None:
            module.to(device=device, dtype=dtype)
        predictor = cls(model, tokenizer)
        predictor._directory = directory
        return predictor

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        revision: str | None = None,
        message: str | None = None,
        create_pr: bool = False,
        token: str | None = None,
    ) -> str:
        """Send the model to the Hub, in one commit: others see the whole of it, or nothing.

        It is the directory which this predictor was loaded from, as it is now, with its card and its scores. One that
        was made of a model and a tokenizer sends those two, without a card.

        Args:
            repo_id: where to, as ``"name/model"``; it is made if it is not there.
            private: whether it is private; left out: as it is, or as the owner's settings have it.
            revision: a branch, which is made if it is not there; left out: ``"main"``.
            message: of the commit.
            create_pr: propose it as a pull request to a repository that is there.
            token: one that may write; left out: that of `hf auth login`, or HF_TOKEN.

        Returns:
            The page of the commit, or of the pull request.

        Raises:
            ConfigError: an argument cannot be, there is no token, or HF_HUB_OFFLINE is set. Nothing was sent.
            ModelError: the directory holds no whole model, or the Hub refused or failed: the branch is as it was.
        """
        with TemporaryDirectory() as scratch:
            if self._directory is None:
                self.model.save_pretrained(scratch)
                self.tokenizer.save_pretrained(scratch)
            return push(
                self._directory or scratch,
                repo_id,
                private=private,
                revision=revision,
                message=message,
                create_pr=create_pr,
                token=token,
            )

    @property
    def tasks(self) -> Mapping[str, Task]:
        """The model's tasks by name."""
        return self.model.tasks

    def predict(
        self,
        inputs: Text | Sequence[Text] | Iterator[Text],
        *,
        task: str,
        all_scores: bool = False,
        aggregation_strategy: Aggregation = "first",
    ) -> Prediction:
        """The answer of one task: for one input one answer, for a list a list, for an iterator an iterator.

        Args:
            inputs: a text, a pair ``(text, pair)``, ``{"words": […]}``, or several.
            task: which task.
            all_scores: add ``"scores"``, the probability of every label.
            aggregation_strategy: see `predict_all`.

        Raises:
            ConfigError: there is no such task or strategy, or it wants pairs and got a text, or the other way round.
            DataError: an input is none.
        """
        answers = self.predict_all(
            inputs, tasks=[task], all_scores=all_scores, aggregation_strategy=aggregation_strategy
        )
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
        aggregation_strategy: Aggregation = "first",
    ) -> Any:
        """The answers of several tasks, from one pass of the encoder.

        A text that is longer than the model reads is labelled in overlapping windows; other tasks read its beginning,
        and say so: ``"truncated": True``.

        Args:
            inputs: a text, a pair ``(text, pair)``, ``{"words": […]}``, or several.
            tasks: which tasks; left out: all that can read the input (a pair task cannot read a single text).
            all_scores: add ``"scores"``, the probability of every label.
            aggregation_strategy: for words with BIO tags, as `pipeline()` names it: "first" joins them to spans, "none"
                answers every tagged word by itself.

        Returns:
            ``{task: answer}``, or a list or an iterator of such.

        Raises:
            ConfigError: a named task or the strategy does not exist, or the task cannot read an input.
            DataError: an input is none.
        """
        self._check(tasks or ())
        if aggregation_strategy not in get_args(Aggregation):
            raise ConfigError(
                f'aggregation_strategy: "first" or "none", found {aggregation_strategy!r}. A word is answered at its '
                "first wordpiece, as it was trained: others have learned nothing that could be averaged"
            )
        shown = Shown(all_scores=all_scores, aggregation=aggregation_strategy)
        if isinstance(inputs, str | tuple | Mapping):
            return next(self._stream(iter([inputs]), tasks=tasks, shown=shown))
        stream = self._stream(iter(inputs), tasks=tasks, shown=shown)
        return stream if isinstance(inputs, Iterator) else list(stream)

    def export(
        self, directory: str | Path, *, to: str = "transformers", task: str | Sequence[str] | None = None
    ) -> float:
        """Write the model for use without nlpmtl.

        Args:
            directory: where to; it must not exist, or be empty.
            to: ``"transformers"``, a stock model of one task for `transformers.pipeline`, or ``"onnx"``.
            task: which task, or several for ONNX; left out: all that the model has.

        Returns:
            The largest difference between a logit of the written model and of this one, as a fraction of the largest
            logit of the task (of 1, where that is less).

        Raises:
            ConfigError: there is no such task, it has to be one and is not, or the directory holds something.
            ModelError: the model cannot be written so.
        """
        tasks = [task] if isinstance(task, str) else list(task or self.tasks)
        self._check(tasks)
        if not isinstance(self.model, MultiTaskModel):
            raise ModelError("this is an exported model already: export from the directory that it was made of")
        if to == "onnx":
            from nlpmtl.artifact.onnx import export_onnx

            return export_onnx(self.model, self.tokenizer, directory=Path(directory), tasks=tasks)
        if to != "transformers":
            raise ConfigError(f"a model is exported to transformers or to onnx, not to {to!r}")
        if len(tasks) != 1:
            raise ConfigError(f"a stock transformers model has one task: choose one of {', '.join(tasks)}")
        return export_task(self.model, self.tokenizer, task=tasks[0], directory=Path(directory))

    def _check(self, tasks: Sequence[str]) -> None:
        for name in tasks:
            if name not in self.tasks:
                raise ConfigError(f"this model has no task {name!r}; {did_you_mean(name, self.tasks)}")

    def _stream(
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
        fitting = [name for name, task in self.tasks.items() if (task.input == "pair") is paired]
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
            cut = self.tasks[task].level == "sequence" and bool(windows.pieces.cut[windows.first[text]])
            answers[text][task] = self._present(task, logits, inputs[text], cut=cut, shown=shown)
        return answers

    def _windows_of(self, asked: Sequence[str], windows: Windows) -> dict[str, NDArray[np.bool_]]:
        """Which windows each task is asked about: all to label words, else the first of each text."""
        every = np.ones(len(windows.text), dtype=np.bool_)
        first = np.zeros(len(windows.text), dtype=np.bool_)
        first[windows.first] = True
        return {task: every if self.tasks[task].level == "token" else first for task in asked}

    def _present(self, task: str, logits: Logits, one: Input, *, cut: bool, shown: Shown) -> Prediction:
        answer = self.tasks[task].present(logits, text=one.text, words=one.words, shown=shown)
        return {**answer, "truncated": True} if cut else answer


def _read(value: Text, number: int) -> Input:
    try:
        return to_input(value)
    except ValueError as error:
        raise DataError(f"input {number}: {error}") from None


def _logits(task: str, logits: Logits, row: int) -> Logits:
    """The logits themselves: what they mean may depend on other rows."""
    return logits
