"""Prediction: a text in, the answers of one task or of all of them out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from nlpmtl.artifact import load_model
from nlpmtl.data import Encoded, Span, split_words, tokenize
from nlpmtl.errors import ConfigError, did_you_mean
from nlpmtl.evaluation import Inference
from nlpmtl.model import MultiTaskModel
from nlpmtl.tasks import Prediction, Task

Text = str | tuple[str, str]
"""A text, or a pair of them."""


class Predictor:
    """A model that answers.

        model = Predictor.from_pretrained("runs/demo/model")
        model.predict("A delightful film.", task="sst2")
        model.predict_all(["Ada lives in Turin.", "It rained."])

    Args:
        model: the model, in evaluation mode.
        tokenizer: its tokenizer.
        tokens: most padded wordpieces in one forward.
    """

    def __init__(self, model: MultiTaskModel, tokenizer: PreTrainedTokenizerBase, *, tokens: int = 4096) -> None:
        self.model, self.tokenizer = model, tokenizer
        types = "token_type_ids" in tokenizer.model_input_names
        self._inference = Inference(model.infer, pad=tokenizer.pad_token_id, types=types, tokens=tokens)

    @classmethod
    def from_pretrained(cls, name: str | Path) -> Predictor:
        """A predictor from a model directory or a Hub id.

        Raises:
            ModelError: there is no such model, or it is not one of nlpmtl's.
        """
        return cls(*load_model(str(name)))

    @property
    def tasks(self) -> Mapping[str, Task]:
        """The model's tasks by name."""
        return self.model.tasks

    def predict(self, inputs: Text | Sequence[Text], *, task: str) -> Prediction:
        """The answer of one task: for one text one answer, for a list a list.

        Raises:
            ConfigError: there is no such task, or it wants pairs and got a text, or the other way round.
        """
        if isinstance(inputs, str | tuple):
            return self.predict([inputs], task=task)[0]
        return [answers[task] for answers in self.predict_all(inputs, tasks=[task])]

    def predict_all(self, inputs: Text | Sequence[Text], *, tasks: Sequence[str] | None = None) -> Any:
        """The answers of several tasks, from one pass of the encoder.

        Args:
            inputs: a text, a pair, or a list of them.
            tasks: which tasks; left out: all that can read the input (a pair task cannot read a single text).

        Returns:
            ``{task: answer}``, or a list of such.

        Raises:
            ConfigError: a named task does not exist, or cannot read an input.
        """
        if isinstance(inputs, str | tuple):
            return self.predict_all([inputs], tasks=tasks)[0]
        for name in tasks or ():
            if name not in self.tasks:
                raise ConfigError(f"this model has no task {name!r}; {did_you_mean(name, self.tasks)}")
        answers: list[dict[str, Prediction]] = [{} for _ in inputs]
        for paired in (False, True):
            at = [i for i, one in enumerate(inputs) if isinstance(one, tuple) is paired]
            if at:
                found = self._answer([inputs[i] for i in at], paired=paired, tasks=tasks)
                for i, answer in zip(at, found, strict=True):
                    answers[i] = answer
        return answers

    def _answer(
        self, inputs: Sequence[Text], *, paired: bool, tasks: Sequence[str] | None
    ) -> list[dict[str, Prediction]]:
        """Answers for inputs that are all single texts, or all pairs."""
        asked = self._readable(paired=paired, tasks=tasks)
        texts = [one if isinstance(one, str) else one[0] for one in inputs]
        words = [split_words(text) for text in texts]
        encoded = self._encode(inputs, texts=texts, words=words, paired=paired)

        def present(task: str, logits: Any, row: int) -> Prediction:
            return self.tasks[task].present(logits, text=texts[row], words=words[row])

        every = np.ones(len(inputs), dtype=np.bool_)
        answers: list[dict[str, Prediction]] = [{} for _ in inputs]
        for row, task, answer in self._inference.answers(encoded, asked=dict.fromkeys(asked, every), answer=present):
            answers[row][task] = answer
        return answers

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

    def _encode(
        self, inputs: Sequence[Text], *, texts: Sequence[str], words: Sequence[Sequence[Span]], paired: bool
    ) -> Encoded:
        pieces = tokenize(
            self.tokenizer,
            texts,
            pairs=[one[1] for one in inputs] if paired else None,
            words=None if paired else words,
            max_length=self.model.config.input_length,
        )
        return Encoded(pieces.ids, pieces.types, pieces.firsts, labels={}, cut=int(pieces.cut.sum()))
