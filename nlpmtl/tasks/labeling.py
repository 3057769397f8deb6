"""Token classification: spans by BIO, IOB1 or BIOES tags, or plain tags such as parts of speech; optionally a CRF."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import PrivateAttr

from nlpmtl.data import IGNORED, Example, LabelType, Scheme, TaskBatch, TextInput
from nlpmtl.deprecation import reject_options_of
from nlpmtl.errors import ConfigError
from nlpmtl.metrics import PredictionType, spans
from nlpmtl.registry import TASKS
from nlpmtl.tasks.calibration import fit_temperature
from nlpmtl.tasks.classification import entropy, upcast
from nlpmtl.tasks.crf import crf_loss, marginal_probabilities
from nlpmtl.tasks.crf_fields import CrfFields
from nlpmtl.tasks.error_analysis import NO_PREDICTION, ErrorAnalysis, count_errors
from nlpmtl.tasks.outputs import (
    DEFAULT_OUTPUT,
    Confidence,
    ExampleOutputs,
    Logits,
    OutputOptions,
    Prediction,
    label_scores,
    scores_type,
    softmax,
)
from nlpmtl.tasks.reporting import ItemProbabilities, RowError
from nlpmtl.tasks.stock_model import StockModel, fold_temperature
from nlpmtl.tasks.viterbi import bio_predecessors, bio_transitions, log_softmax, viterbi_decode_batch

if TYPE_CHECKING:
    from torch import Tensor

    from nlpmtl.heads import Outputs

_VALID_SEQUENCES = (
    "Valid sequences: nlpmtl predicts the best sequence in which I-x follows only B-x or I-x. The pipeline takes the "
    'best tag of each token, or of the first token of each word with `aggregation_strategy="first"`.'
)
_FIRST_TOKENS = "Words: nlpmtl tags each by its first token; the pipeline tags every token."
_SPLITTING = (
    "Word splitting: nlpmtl splits raw text into words as the training data was split (`word_splitting` in its "
    "config.json), and reads them joined by single spaces. Give the pipeline such text."
)
_WINDOWS = (
    "Long texts: nlpmtl reads them to the end, in overlapping windows; the pipeline truncates them without a `stride`."
)

NO_TAG = -1
"""Id of the missing tag of a word without a token, under the scheme "plain"."""


class WordScores(NamedTuple):
    """Scores of the words of a row.

    Args:
        tags: id of the tag of each word, ``[words]``.
        probabilities: ``[words, labels]``.
        has_token: whether the word has a token, ``[words]``.
    """

    tags: NDArray[np.int64]
    probabilities: Logits
    has_token: NDArray[np.bool_]


@TASKS.register("labeling")
class Labeling(CrfFields):
    """Token classification: a tag for each word, by cross-entropy at the word's first token.

    With `scheme = "bio"` the most probable *valid* sequence is predicted (Viterbi), in which I-x follows only B-x or
    I-x. A word without a token, or beyond the maximum input length, is predicted as O with `bio`, and is scored as an
    error with `plain`.
    """

    kind = "labeling"
    other_names = (
        "ner named_entity_recognition token_classification tokenclassification pos pos_tagging part_of_speech "
        "tagging tagger sequence_labeling sequence_labelling sequence_tagging labelling chunking bio entities "
        "slot_filling token_labeling token_classifier sequence_labeler"
    )
    pipeline_tag = "token-classification"
    plots = ("confusion_matrix",)
    windowed = True
    view = "spans"
    vectorised = True  # for training and evaluation `sequences` returns the words of the row, truncated
    columns: ClassVar[Mapping[str, LabelType]] = {"label": "tags"}
    prediction_types = ("tags",)
    inputs = frozenset({"words"})
    metrics: ClassVar[tuple[str, ...]] = ("span_f1",)

    scheme: Scheme = "bio"
    """Tagging scheme of the data.

    "bio" (IOB2): a span begins with B-x and continues with I-x. "iob1" (the original CoNLL files): a span begins with
    I-x, or with B-x directly after another span of type x. "bioes": B-x, I-x, E-x for the last word, S-x for a single
    word; also BILOU and BMES. "plain": tags without spans, such as parts of speech.

    All schemes but "plain" are converted to "bio" when the data are read.
    """

    _before: Any = PrivateAttr(None)

    def check_fields(self) -> None:
        if self.scheme not in ("bio", "plain"):  # from a saved model
            raise ConfigError(f'task {self.name!r}: `scheme` is "bio" or "plain", found {self.scheme!r}')
        if self.scheme == "plain" and self.listed_metrics is None:
            self.set_metrics(["token_accuracy"])
        super().check_fields()
        self._before = bio_predecessors(self.labels, task=self.name) if self.scheme == "bio" else None

    @classmethod
    def resolve(cls, options: Mapping[str, Any], spell: Callable[[str], str]) -> dict[str, Any]:
        scheme = "plain" if options["scheme"] == "plain" else "bio"
        return {**super().resolve(options, spell), "scheme": scheme}

    @property
    def outputs(self) -> int:
        return len(self.labels)

    @property
    def outside(self) -> str | None:
        return "O" if self.scheme == "bio" else None

    def sequences(self, example: Example, *, predict: bool) -> list[TextInput]:
        """Return the words; a long text is read in overlapping windows in prediction, and truncated otherwise."""
        return [example.text_input(words=True, stride="half" if predict else None)]

    def loss(self, outputs: Outputs, batch: TaskBatch) -> Tensor:
        tags = batch.targets["label"]
        if self.crf:
            return crf_loss(upcast(outputs["logits"]), outputs["transitions"], tags)
        places = (tags != IGNORED).nonzero(as_tuple=True)
        logits = upcast(outputs["logits"][places])
        weight = self.label_weights(logits)
        losses = self.loss_function.single_label(
            logits, tags[places], weight=weight, label_smoothing=self.label_smoothing
        )
        return losses.new_zeros(tags.shape).index_put(places, losses).sum(dim=1)

    def uncertainty(self, outputs: Outputs, batch: TaskBatch) -> Tensor:
        tags = batch.targets["label"]
        if self.crf:
            marginals = marginal_probabilities(upcast(outputs["logits"]), outputs["transitions"], tags)
            return entropy(marginals.clamp(min=1e-30).log()).sum()
        return entropy(outputs["logits"][tags != IGNORED]).sum()

    def decode(self, items: Sequence[ExampleOutputs]) -> list[Prediction]:
        if not items:
            return []
        words, has_token, ends = self._read_words(items)
        if self.crf:
            tags, words = self._decode_crf(items, words, has_token, ends)
        else:
            tags = self._best_tags(words, has_token, ends)
        probabilities = softmax(np.nan_to_num(words) / self.temperature)
        scores = probabilities[np.arange(len(words)), tags].tolist()
        names = [self.labels[tag] if tag != NO_TAG else None for tag in tags.tolist()]
        return [
            Prediction(names[a:b], scores[a:b], extra=WordScores(tags[a:b], probabilities[a:b], has_token[a:b]))
            for a, b in pairwise([0, *ends.tolist()])
        ]

    def _read_words(self, items: Sequence[ExampleOutputs]) -> tuple[Logits, NDArray[np.bool_], NDArray[np.int64]]:
        """Return the logits of the words of all rows, whether they have a token, and the end of each row."""
        rows = [item.at_words() for item in items]
        words = np.concatenate(rows)
        return words, ~np.isnan(words[:, 0]), np.cumsum([len(row) for row in rows])

    def _decode_crf(
        self, items: Sequence[ExampleOutputs], logits: Logits, has_token: NDArray[np.bool_], ends: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], Logits]:
        """Return the tags of words, where those without a token are O if there are spans, and log-probabilities."""
        allowed = None if self._before is None else bio_transitions(self._before)
        missing = NO_TAG if allowed is None else self.labels.index("O")
        return self.decode_chain(items, logits, has_token=has_token, ends=ends, allowed=allowed, missing=missing)

    def _best_tags(self, logits: Logits, has_token: NDArray[np.bool_], ends: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the tag of each word of several rows, which end at `ends`."""
        if self._before is None:
            tags = np.full(len(logits), NO_TAG)
            tags[has_token] = logits[has_token].argmax(axis=-1)
            return tags
        outside = np.full(logits.shape[1], -np.inf)  # a word without a token is O, so that no span reaches over it
        outside[self.labels.index("O")] = 0.0
        return viterbi_decode_batch(np.where(has_token[:, None], log_softmax(logits), outside), self._before, ends)

    def _to_metric_input(self, reads: PredictionType, value: Any, ids: Mapping[str, int]) -> Any:
        tags = ["" if tag is None else tag for tag in value]
        if self.scheme == "bio":  # a tag of another split that is not BIO, such as MISC, is a span that nobody predicts
            tags = [tag if tag == "O" or tag[:2] in ("B-", "I-") else f"B-{tag}" for tag in tags]
        return tags

    def error_analysis(self, values: Sequence[Any], gold: Sequence[Any]) -> ErrorAnalysis | None:
        """Return counts of words by tag; under `bio` by entity, B- and I- together."""
        values, gold = self.scored_items(values, gold)
        names = list(self._label_names(gold))
        if self.scheme == "bio":
            entity = {name: name[2:] if name[:2] in ("B-", "I-") else name for name in names}
            values, gold = ([[entity[tag] for tag in row] for row in rows] for rows in (values, gold))
            names = list(dict.fromkeys(entity.values()))
        return count_errors(self.plots[0], values, gold, names=names)

    def format(self, prediction: Prediction, example: Example, options: OutputOptions = DEFAULT_OUTPUT) -> Any:
        """Spans, ``[{"entity_group": "person", "score": 0.99, "word": "Ada", "start": 0, "end": 3}, …]``.

        Without aggregation, the list has one item per word that is not O; with `plain`, one per word. An item has its
        tag as ``"entity"`` instead of ``"entity_group"``. The score of a span is the mean probability of its words, and
        ``text[start:end] == word``. `all_scores` adds for a span the probability of ``"O"`` and of each entity type (B-
        and I- together), and for a word that of each tag.
        """
        by_word = self.scheme == "plain" or options.aggregation == "none"
        key, text, words = "entity" if by_word else "entity_group", example.text, example.words
        results = []
        for name, first, end in self._spans(prediction.value, by_word=by_word):
            start, stop = words[first][0], words[end - 1][1]
            score = sum(prediction.score[first:end]) / (end - first)
            result: dict[str, Any] = {key: name, "score": score, "word": text[start:stop], "start": start, "end": stop}
            if options.all_scores:
                result["scores"] = self._all_scores(prediction.extra.probabilities[first:end], by_word=by_word)
            results.append(result)
        return results

    def output_type(self, options: OutputOptions = DEFAULT_OUTPUT) -> pa.DataType | None:
        by_word = self.scheme == "plain" or options.aggregation == "none"
        key = "entity" if by_word else "entity_group"
        fields = {key: pa.string(), "score": pa.float64(), "word": pa.string(), "start": pa.int64(), "end": pa.int64()}
        if options.all_scores:
            names = (label if by_word or label == "O" else label[2:] for label in self.labels)
            fields["scores"] = scores_type(dict.fromkeys(names))
        return pa.list_(pa.struct(fields))

    def _spans(self, tags: Sequence[str | None], *, by_word: bool) -> Iterable[tuple[str, int, int]]:
        """Return (tag or entity, first word, end) of single words, or of spans."""
        if not by_word:
            return spans([tag or "O" for tag in tags])
        nothing = None if self.scheme == "plain" else "O"
        return ((tag, i, i + 1) for i, tag in enumerate(tags) if tag is not None and tag != nothing)

    def _all_scores(self, probabilities: Logits, *, by_word: bool) -> dict[str, float]:
        """Return the mean probabilities of words, ``[words, labels]``, by entity, or by tag."""
        scores: dict[str, float] = {}
        for label, value in label_scores(self.labels, probabilities.mean(axis=0)).items():
            name = label if by_word or label == "O" else label[2:]
            scores[name] = scores.get(name, 0.0) + value
        return scores

    def calibrate(self, items: Sequence[ExampleOutputs], gold: Sequence[Any]) -> None:
        words, has_token, ends = self._read_words(items)
        if self.crf:
            words = self._decode_crf(items, words, has_token, ends)[1]
        tags = np.array([self._ids.get(tag, NO_TAG) for row in gold for tag in row], dtype=np.int64)
        known = has_token & (tags != NO_TAG)
        if known.any():
            self.temperature = fit_temperature(words[known], tags[known])

    def confidence(self, prediction: Prediction, gold: Any) -> Confidence:
        """Return confidences by word: of words that have a token and a gold tag."""
        tags, probabilities, has_token = prediction.extra
        right = np.array([value == tag for value, tag in zip(prediction.value, gold, strict=True)], dtype=np.bool_)
        kept = has_token if not self.is_partial else has_token & [tag is not None for tag in gold]
        return probabilities[np.arange(len(tags)), tags][kept], right[kept]

    def row_error(self, prediction: Prediction, gold: Any, example: Example) -> RowError | None:
        """Return an error with the spans of a row or, for the scheme `plain`, with its wrong words."""
        if self.is_partial:  # a missing gold tag is the predicted one
            gold = [label or tag for tag, label in zip(prediction.value, gold, strict=True)]
        wrong = [i for i, (tag, label) in enumerate(zip(prediction.value, gold, strict=True)) if tag != label]
        if not wrong:
            return None
        gold_text, predicted_text = (self._describe(tags, wrong, example) for tags in (gold, prediction.value))
        return self._error(prediction, gold, gold_text, predicted_text)

    def _describe(self, tags: Sequence[str | None], wrong: Sequence[int], example: Example) -> str:
        """Return the spans of a row, or its wrong words, as ``Ada/person, Turin/place``."""
        if self.scheme == "bio":
            parts = self._spans(tags, by_word=False)
        else:
            parts = ((tags[i] or NO_PREDICTION, i, i + 1) for i in wrong)
        text, words = example.text, example.words
        return ", ".join(f"{text[words[a][0] : words[b - 1][1]]}/{name}" for name, a, b in parts) or "(none)"

    def item_probabilities(self, predictions: Sequence[Prediction], gold: Sequence[Any]) -> list[ItemProbabilities]:
        """Return probabilities by word: of words that have a token and a known tag."""
        rows = np.repeat(np.arange(len(gold)), [len(tags) for tags in gold])
        tags = np.array([self._ids.get(tag, NO_TAG) for row in gold for tag in row], dtype=np.int64)
        scores = [prediction.extra for prediction in predictions]
        known = (tags != NO_TAG) & np.concatenate([score.has_token for score in scores])
        probabilities = np.concatenate([score.probabilities for score in scores])
        return [ItemProbabilities(rows[known], tags[known], probabilities[known])]

    def baselines(
        self, train: Sequence[Any], gold: Sequence[Any], rng: np.random.Generator
    ) -> Mapping[str, Sequence[Any]]:
        """Predict a tag for each word: the most frequent one of train, or one drawn from those of train."""
        tags = [tag for row in train for tag in row if tag is not None]
        majority = Counter(tags).most_common(1)[0][0]
        drawn = [rng.integers(len(tags), size=len(row)).tolist() for row in gold]
        return {
            "majority": [[majority] * len(row) for row in gold],
            "random": [[tags[i] for i in row] for row in drawn],
        }

    def stock_model(self) -> StockModel | None:
        if self.crf:
            return None
        bio = self.scheme == "bio"
        splitting = (_SPLITTING,) if self.splitting.joins else ()
        return StockModel(
            None,
            omitted=(_VALID_SEQUENCES if bio else _FIRST_TOKENS, *splitting, _WINDOWS),
            arguments={"aggregation_strategy": "first"} if bio else {},
            auto_class="AutoModelForTokenClassification",
            **fold_temperature(self.temperature),
        )


__getattr__ = reject_options_of(__name__, "Labeling")
