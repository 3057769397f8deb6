"""Token classification: spans by BIO, IOB1 or BIOES tags, or plain tags such as parts of speech."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from nlpmtl.data import IGNORED, Input, Labels, LabelType, Scheme, Span, TagLabels
from nlpmtl.errors import ConfigError
from nlpmtl.metrics import Shape as PredictionType
from nlpmtl.metrics import spans
from nlpmtl.registry import TASKS
from nlpmtl.tasks.base import Confidence, Logits, Prediction, Task, named, softmax
from nlpmtl.tasks.calibration import fit_temperature
from nlpmtl.tasks.error_analysis import ErrorAnalysis
from nlpmtl.tasks.losses import class_weights, entropy, upcast
from nlpmtl.tasks.options import DEFAULT_OUTPUT, ClassWeights, LabelOptions, OutputOptions
from nlpmtl.tasks.stock_model import StockModel, fold_temperature
from nlpmtl.tasks.viterbi import bio_predecessors, log_softmax, viterbi_decode_batch

_VALID_SEQUENCES = (
    "Valid sequences: nlpmtl answers with the best one in which I-x follows only B-x or I-x. The pipeline takes the "
    'best tag of each token, or of each word\'s first one with `aggregation_strategy="first"`.'
)
_FIRST_TOKENS = "Words: nlpmtl tags each by its first token; the pipeline tags every token."
_SPLITTING = (
    "Word splitting: nlpmtl splits raw text into words as the training data was split (`word_splitting` in its "
    "config.json), and reads them with single spaces between. Give the pipeline such text."
)
_WINDOWS = (
    "Long texts: nlpmtl labels them whole, in overlapping windows; the pipeline cuts them off, unless given a `stride`."
)

NO_TAG = -1
"""What a plain scheme answers for a word that no token stands for: never right."""


class LabelingOptions(LabelOptions):
    """Options of `Labeling`."""

    scheme: Scheme = "bio"
    """How the tags of the data mark spans of words.

    "bio" (IOB2): a span begins with B-x and goes on with I-x. "iob1" (the original CoNLL files): with I-x, and B-x only
    where it follows directly on another span of type x. "bioes": B-x, I-x, E-x for the last word, S-x for a single
    word; also BILOU and BMES. "plain": tags such as parts of speech, independent of each other.

    All but "plain" are converted when the data are read: the model has and predicts the tags of "bio".
    """

    def resolved(self, spell: Callable[[str], str]) -> dict[str, Any]:
        scheme: Scheme = "plain" if self.scheme == "plain" else "bio"
        return {**super().resolved(spell), "scheme": scheme}


@TASKS.register("labeling", LabelingOptions)
class Labeling(Task):
    """A tag for each word, by cross-entropy at the word's first token.

    Under `bio` the answer is the most probable *valid* sequence (Viterbi): I-x follows only B-x or I-x. A word without
    a token, or past the encoder's limit, is O under `bio`, and wrong under `plain`.

    Args:
        scheme: "bio" or "plain", see `LabelingOptions`.
        class_weights: see `LabelOptions`.
        label_smoothing: the share of the target's mass that is spread over all tags.
        task: what every `Task` takes.
    """

    kind = "labeling"
    pipeline_tag = "token-classification"
    plots = ("confusion_matrix",)
    windowed = True
    columns: ClassVar[Mapping[str, LabelType]] = {"label": "tags"}
    prediction_types = ("tags",)
    level = "token"
    inputs = frozenset({"words"})
    metrics = ("span_f1",)
    _identity_fields = (*Task._identity_fields, "scheme")

    def __init__(
        self,
        *,
        scheme: Literal["bio", "plain"] = "bio",
        class_weights: ClassWeights | None = None,
        label_smoothing: float = 0.0,
        **task: Any,
    ) -> None:
        if scheme not in ("bio", "plain"):  # from a saved model
            raise ConfigError(f'task {task["name"]!r}: `scheme` is "bio" or "plain", found {scheme!r}')
        self.scheme, self.class_weights, self.label_smoothing = scheme, class_weights, label_smoothing
        if scheme == "plain":
            self.metrics = ("token_accuracy",)
        super().__init__(**task)
        self._before = bio_predecessors(self.labels, task=self.name) if scheme == "bio" else None
        self._weights = self._weigh(None)

    @property
    def outside(self) -> str | None:
        return "O" if self.scheme == "bio" else None

    def fit(self, labels: Iterable[Labels]) -> None:
        ids = np.concatenate([one.ids.values for one in labels if isinstance(one, TagLabels)])
        self._weights = self._weigh(np.bincount(ids, minlength=len(self.labels)).tolist())

    def _weigh(self, counts: Sequence[int] | None) -> Tensor | None:
        return class_weights(self.class_weights, task=self.name, labels=self.labels, counts=counts)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        placed = labels != IGNORED
        logits = upcast(logits[placed])
        weight = None if self._weights is None else self._weights.to(logits)
        return functional.cross_entropy(
            logits, labels[placed], weight=weight, label_smoothing=self.label_smoothing, reduction="sum"
        )

    def uncertainty(self, logits: Tensor, labels: Tensor) -> Tensor:
        return entropy(logits[labels != IGNORED]).sum()

    def choose(self, logits: Logits) -> Any:
        return self._tags([logits])[0]

    def choose_rows(self, logits: Sequence[Logits]) -> list[Any]:
        return self._tags(logits)

    def _tags(self, logits: Sequence[Logits]) -> list[list[int]]:
        """The tags of the words of several rows."""
        words, ends = np.concatenate(logits), np.cumsum([len(one) for one in logits])
        placed = ~np.isnan(words[:, 0])
        if self._before is None:
            tags = np.full(len(words), NO_TAG)
            tags[placed] = words[placed].argmax(axis=-1)
        else:  # a word that has no token is sure to be O, so no span reaches over it
            sure = np.full(words.shape[1], -np.inf)
            sure[self.labels.index("O")] = 0.0
            tags = viterbi_decode_batch(np.where(placed[:, None], log_softmax(words), sure), self._before, ends)
        return _cut(tags.tolist(), ends)

    def _to_metric_input(self, reads: PredictionType, value: Any, names: Sequence[str]) -> Any:
        tags = [names[tag] if tag != NO_TAG else "" for tag in value]
        if self.scheme == "bio":  # a tag of another split that is none, such as MISC, is a span that nobody finds
            tags = [tag if tag == "O" or tag[:2] in ("B-", "I-") else f"B-{tag}" for tag in tags]
        return tags

    def compare(self, *, predicted: Sequence[Any], gold: Sequence[Any], names: Sequence[str]) -> ErrorAnalysis:
        """Words by their tags; under `bio` by their entities, B- and I- together."""
        if self.scheme == "bio":
            names = [name[2:] if name[:2] in ("B-", "I-") else name for name in names]
        return super().compare(predicted=predicted, gold=gold, names=names)

    def present(
        self, logits: Logits, *, text: str, words: Sequence[Span], shown: OutputOptions = DEFAULT_OUTPUT
    ) -> Prediction:
        """Spans, ``[{"entity_group": "person", "score": 0.99, "word": "Ada", "start": 0, "end": 3}, …]``.

        Without aggregation one entry a word that is not O, and under `plain` one a word, with its tag as ``"entity"``
        in place of ``"entity_group"``. A span's score is the mean of its words' probabilities; ``text[start:end] ==
        word``. Of all scores a span has those of ``"O"`` and of each entity, B- and I- together; a word those of all
        tags.
        """
        tags = self.choose(logits)
        sure, chosen = self._sure(logits, tags)
        return self._show(tags, chosen, sure, text=text, words=words, shown=shown)

    def present_rows(
        self, logits: Sequence[Logits], *, inputs: Sequence[Input], shown: OutputOptions = DEFAULT_OUTPUT
    ) -> list[Prediction]:
        tags, ends = self.choose_rows(logits), np.cumsum([len(one) for one in logits])
        sure, chosen = self._sure(np.concatenate(logits), [tag for row in tags for tag in row])
        rows = zip(tags, _cut(chosen, ends), _cut(sure, ends), inputs, strict=True)
        return [self._show(*one, text=read.text, words=read.words, shown=shown) for *one, read in rows]

    def _sure(self, logits: Logits, tags: Sequence[int]) -> tuple[Logits, list[float]]:
        """Of words the probabilities of all tags, ``[words, labels]``, and of the chosen ones."""
        sure = softmax(np.nan_to_num(logits) / self.temperature)
        return sure, sure[np.arange(len(sure)), np.array(tags, dtype=np.int64)].tolist()

    def _show(
        self,
        tags: list[int],
        chosen: list[float],
        sure: Logits,
        *,
        text: str,
        words: Sequence[Span],
        shown: OutputOptions,
    ) -> Prediction:
        """The answer for one row, of its words' tags and what `_sure` says of them."""
        alone = self.scheme == "plain" or shown.aggregation == "none"
        key = "entity" if alone else "entity_group"
        answers = []
        for name, first, end in self._found(tags, alone=alone):
            start, stop = words[first][0], words[end - 1][1]
            score = sum(chosen[first:end]) / (end - first)
            answer: dict[str, Any] = {key: name, "score": score, "word": text[start:stop], "start": start, "end": stop}
            if shown.all_scores:
                answer["scores"] = self._scores(sure[first:end], alone=alone)
            answers.append(answer)
        return answers

    def _found(self, tags: list[int], *, alone: bool) -> Iterable[tuple[str, int, int]]:
        """What a row's words are: (tag or entity, first word, end), of single words or of spans."""
        if not alone:
            return spans([self.labels[tag] for tag in tags])
        nothing = NO_TAG if self.scheme == "plain" else self.labels.index("O")
        return ((self.labels[tag], i, i + 1) for i, tag in enumerate(tags) if tag != nothing)

    def _scores(self, sure: Logits, *, alone: bool) -> dict[str, float]:
        """The probabilities of a span's words, ``[words, labels]``, as those of its entities, or of a word's tags."""
        scores: dict[str, float] = {}
        for label, value in named(self.labels, sure.mean(axis=0)).items():
            name = label if alone or label == "O" else label[2:]
            scores[name] = scores.get(name, 0.0) + value
        return scores

    def calibrate(self, logits: Sequence[Logits], gold: Sequence[Any]) -> None:
        of_words, tags, _ = self._words(logits, gold)
        known = tags < len(self.labels)
        if not known.any():
            return
        self.temperature = fit_temperature(of_words[known], tags[known])

    def confidence(self, logits: Sequence[Logits], gold: Sequence[Any]) -> Confidence:
        """Every word that has a token is an answer."""
        of_words, tags, chosen = self._words(logits, gold)
        sure = softmax(of_words / self.temperature)
        return sure[np.arange(len(chosen)), chosen], chosen == tags

    def _words(
        self, logits: Sequence[Logits], gold: Sequence[Any]
    ) -> tuple[Logits, NDArray[np.int64], NDArray[np.int64]]:
        """Of all words with a token: their logits, the right tags, and the chosen ones."""
        placed = [~np.isnan(one[:, 0]) for one in logits]
        chosen = [np.array(self.choose(one), dtype=np.int64)[at] for one, at in zip(logits, placed, strict=True)]
        right = [np.array(one, dtype=np.int64)[at] for one, at in zip(gold, placed, strict=True)]
        of_words = [one[at] for one, at in zip(logits, placed, strict=True)]
        return np.concatenate(of_words), np.concatenate(right), np.concatenate(chosen)

    def stock_model(self) -> StockModel | None:
        bio = self.scheme == "bio"
        splitting = (_SPLITTING,) if self.splitting.joins else ()
        return StockModel(
            None,
            omitted=(_VALID_SEQUENCES if bio else _FIRST_TOKENS, *splitting, _WINDOWS),
            arguments={"aggregation_strategy": "first"} if bio else {},
            **fold_temperature(self.temperature),
        )

    def to_config(self) -> dict[str, Any]:
        return {**super().to_config(), "scheme": self.scheme}


def _cut(items: Any, ends: NDArray[np.int64]) -> list[Any]:
    """What belongs to each row, of what belongs to all."""
    return [items[start:end] for start, end in pairwise([0, *ends.tolist()])]
