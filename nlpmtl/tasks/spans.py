"""Spans, which may be nested, and relations between them: Efficient GlobalPointer and ZLPR loss (Su et al., 2022)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nlpmtl.data import IGNORED, Example, LabelType, Targets, TaskBatch, TextInput, TokenSequence, sort_names
from nlpmtl.errors import ConfigError, did_you_mean
from nlpmtl.metrics import PredictionType
from nlpmtl.registry import TASKS
from nlpmtl.tasks.base import Task
from nlpmtl.tasks.calibration import fit_detection, sigmoid
from nlpmtl.tasks.classification import upcast
from nlpmtl.tasks.error_analysis import ErrorAnalysis
from nlpmtl.tasks.fields import ProbabilityThreshold, Temperature
from nlpmtl.tasks.outputs import (
    DEFAULT_OUTPUT,
    Confidence,
    ExampleOutputs,
    Logits,
    OutputOptions,
    Prediction,
    label_scores,
    scores_type,
)
from nlpmtl.tasks.relation_decoding import RelationScores, score_relations
from nlpmtl.tasks.reporting import RowError
from nlpmtl.tasks.span_decoding import Candidates, Window, find_candidates, read_windows
from nlpmtl.tasks.span_labels import count_spans, describe_spans, gold_items, sort_items
from nlpmtl.tasks.span_losses import relation_loss, span_loss
from nlpmtl.tasks.span_units import find_units
from nlpmtl.tasks.split_labels import Untrainable

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nlpmtl.heads import HeadContext, Outputs


@TASKS.register("spans")
class SpanExtraction(Task):
    """Labelled spans, which may be nested, and relations between them.

    Each span from one word to another is scored with each label, by Efficient GlobalPointer and the ZLPR loss (Su et
    al., 2022, https://arxiv.org/abs/2208.03054 and https://arxiv.org/abs/2208.02955). In a text that is not split into
    words, spans begin and end at tokens. With a column of `relations`, each pair of spans is scored with each
    relation: in training the gold spans, in prediction the predicted ones. The thresholds are those with the best F1
    score on validation.
    """

    kind = "spans"
    other_names = (
        "span nested_ner nested_entities span_classification span_categorization spancat global_pointer globalpointer "
        "relation_extraction relations joint_entity_and_relation_extraction information_extraction"
    )
    plots = ("precision_recall",)
    windowed = True
    view = "spans"
    columns: ClassVar[Mapping[str, LabelType]] = {"label": "spans", "relations": "relations"}
    optional = frozenset({"relations"})
    inputs = frozenset({"text", "words"})
    prediction_types: ClassVar[tuple[PredictionType, ...]] = ("spans", "relations")
    metrics: ClassVar[tuple[str, ...]] = ("span_f1",)
    fitted = frozenset({"relation_labels"})
    calibrated = frozenset({"temperature", "threshold", "relation_temperature", "relation_threshold"})
    changeable = frozenset({"flat"})

    flat: bool = False
    """Whether predicted spans do not overlap: of spans that do, the one with the highest score is predicted."""
    relation_labels: tuple[str, ...] = ()
    """Labels of relations, sorted."""
    threshold: ProbabilityThreshold = 0.5
    """Spans with a higher probability are predicted."""
    relation_temperature: Temperature = 1.0
    """The scores of relations are divided by it before they become probabilities."""
    relation_threshold: ProbabilityThreshold = 0.5
    """Relations with a higher probability are predicted."""

    @classmethod
    def check_options(cls, options: Any) -> None:
        super().check_options(options)
        if options.relations is None and "relation_f1" in (options.metrics or ()):
            raise ValueError('`metrics`: relation_f1 needs relations: write their column, such as relations = "…"')

    def fit(self, values: Mapping[str, Sequence[Any]]) -> None:
        """Learn the labels of relations; with relations, the default metrics are span_f1 and relation_f1."""
        self.relation_labels = sort_names({label for row in values.get("relations", ()) for _, _, label in row})
        if "relations" in values and not self.relation_labels:
            raise ConfigError(f"task {self.name!r}: no train row has a relation: remove the key `relations`")
        if self.relation_labels and self.listed_metrics is None:
            self.set_metrics(("span_f1", "relation_f1"))

    def continue_from(self, earlier: Any) -> None:
        learned = self.relation_labels
        super().continue_from(earlier)
        if new := [label for label in learned if label not in self.relation_labels]:
            raise ConfigError(
                f"task {self.name!r}: the model to start from does not know the relation {new[0]!r}; "
                f"{did_you_mean(new[0], self.relation_labels)}: give the task another name"
            )

    def find_untrainable(self, values: Mapping[str, Sequence[Any]]) -> Untrainable | None:
        for index, row in enumerate(values["label"]):
            for _, _, label in row:
                if label not in self._ids:
                    return Untrainable(index, f"does not know the label {label!r}; {did_you_mean(label, self.labels)}")
        return None

    def can_predict(self, name: str, *, key: str) -> bool:
        return name in self._ids if key == "label" else not self.relation_labels or name in self.relation_labels

    def build_head(self, context: HeadContext) -> nn.Module:
        from nlpmtl.heads import SpanHead, token_head_config

        dropout = token_head_config(context.config).dropout_out
        return SpanHead(context.width, labels=len(self.labels), relations=len(self.relation_labels), dropout=dropout)

    @property
    def _by_word(self) -> bool:
        return self.input == "words"

    def sequences(self, example: Example, *, predict: bool) -> list[TextInput]:
        """Return the input; a long one is read in overlapping windows in prediction, and truncated otherwise."""
        return [example.text_input(words=self._by_word, stride="half" if predict else None, offsets=True)]

    def targets(self, example: Example, sequences: Sequence[TokenSequence]) -> Targets | None:
        """Return the gold spans and relations by units, and the counts that `target_notes` reports."""
        units = find_units(example, sequences[0], by_word=self._by_word)
        if not len(units.first):
            return None
        entities, relations = gold_items(example)
        places: dict[int, tuple[int, int, int]] = {}
        inexact = cut = 0
        for index, (start, end, label) in enumerate(entities):
            located = units.locate(start, end)
            beyond = example.text[units.end[-1] : end].strip() or example.text[start : units.start[0]].strip()
            if located is None or beyond:
                cut += 1
            elif label in self._ids:
                places[index] = (*located, self._ids[label])
                inexact += int(units.start[located[0]] != start or units.end[located[1]] != end)
        order = {index: place for place, index in enumerate(places)}
        relation_ids = {label: i for i, label in enumerate(self.relation_labels)}
        known = [
            (order[head], order[tail], relation_ids[label])
            for head, tail, label in relations or ()
            if head in order and tail in order and label in relation_ids
        ]
        has_pairs = bool(self.relation_labels) and relations is not None and len(places) > 1
        return Targets(
            count=len(self.labels) + len(self.relation_labels) * has_pairs,
            example={
                "first": units.first,
                "last": units.last,
                "spans": np.array([*places.values()], dtype=np.int64).reshape(-1, 3),
                "relations": np.array(known, dtype=np.int64).reshape(-1, 3),
                "has_pairs": int(has_pairs),
                "gold_spans": len(entities),
                "inexact": inexact,
                "cut": cut,
            },
        )

    def target_notes(self, targets: Mapping[str, NDArray[Any]], *, excluded_rows: int) -> list[str]:
        """Count the spans that cannot be predicted exactly, and the spans and rows that are not trained on."""
        excluded = [f"{excluded_rows:,} rows have no token, and are not trained on"] if excluded_rows else []
        none = np.zeros(0)  # no row has targets
        inexact, cut, spans = (f"{targets.get(name, none).sum():,.0f}" for name in ("inexact", "cut", "gold_spans"))
        unit = "a word" if self._by_word else "a token"
        notes = (
            (inexact, f"begin or end inside {unit} or at a space: they are trained as all of {unit}, without spaces"),
            (cut, "have no token, or are beyond max_length: they are not trained on"),
        )
        return [f"{count} of {spans} spans {note}" for count, note in notes if count != "0"] + excluded

    def loss(self, outputs: Outputs, batch: TaskBatch) -> Tensor:
        targets = {name: _whole(values) for name, values in batch.targets.items()}
        first, last, spans = targets["first"], targets["last"], targets["spans"]
        losses = span_loss(upcast(outputs["spans"]), first, last, spans, labels=len(self.labels))
        if not self.relation_labels:
            return losses
        real = (spans[..., 2] >= 0) & (targets["has_pairs"] > 0).unsqueeze(-1)
        begin, end = (
            places.gather(1, spans[..., i].clamp(min=0)).masked_fill(~real, -1)
            for i, places in enumerate((first, last))
        )
        labels = len(self.relation_labels)
        return losses + relation_loss(upcast(outputs["relations"]), (begin, end), targets["relations"], labels=labels)

    def decode(self, items: Sequence[ExampleOutputs]) -> list[Prediction]:
        predictions = []
        for item in items:
            windows = read_windows(item, by_word=self._by_word)
            spans = self._predict_spans(self._candidates(windows))
            scores = spans.score / self.temperature
            entities = self._name_spans(spans)
            relations = self._predict_relations(windows, spans)
            value = {
                "entities": entities,
                "relations": [relation for relation, _ in relations] if self.relation_labels else None,
            }
            extra = [score for _, score in relations], sigmoid(spans.scores / self.temperature)
            predictions.append(Prediction(value, sigmoid(scores).tolist(), extra=extra))
        return predictions

    def _candidates(self, windows: Sequence[Window]) -> Candidates:
        return find_candidates(windows, labels=len(self.labels), flat=self.flat)

    def _predict_spans(self, candidates: Candidates) -> Candidates:
        """Return the spans above the threshold, in the order of the text."""
        spans = candidates.take(np.flatnonzero(sigmoid(candidates.score / self.temperature) > self.threshold))
        return spans.take(np.lexsort((spans.label, spans.end, spans.start)))

    def _name_spans(self, spans: Candidates) -> list[list[Any]]:
        """Return spans as ``[start, end, label]``."""
        ids = zip(spans.start.tolist(), spans.end.tolist(), spans.label.tolist(), strict=True)
        return [[start, end, self.labels[label]] for start, end, label in ids]

    def _predict_relations(self, windows: Sequence[Window], spans: Candidates) -> list[tuple[list[Any], float]]:
        """Return the relations above the threshold between spans, ``[head, tail, label]``, and their probabilities."""
        if not self.relation_labels or not len(spans.start):
            return []
        found: list[tuple[int, int, int, float]] = []
        for pairs in score_relations(windows, spans, relations=len(self.relation_labels)):
            probabilities = sigmoid(pairs.scores / self.relation_temperature)
            rows, labels = np.nonzero(probabilities > self.relation_threshold)
            columns = pairs.head[rows], pairs.tail[rows], labels, probabilities[rows, labels]
            found += zip(*(column.tolist() for column in columns), strict=True)
        return [([head, tail, self.relation_labels[label]], score) for head, tail, label, score in sorted(found)]

    def gold(self, example: Example) -> Any:
        return sort_items(*gold_items(example))

    def _to_metric_input(self, reads: PredictionType, value: Any, ids: Mapping[str, int]) -> Any:
        entities, relations = value["entities"], value["relations"]
        if reads == "spans" or relations is None:
            return entities if reads == "spans" else None
        return [[entities[head], entities[tail], label] for head, tail, label in relations]

    def _items(self, value: Any) -> tuple[set[Any], set[Any]]:
        """Return spans, and relations by their spans, as metrics compare them: in any order."""
        spans, relations = (self._to_metric_input(reads, value, {}) or () for reads in self.prediction_types)
        return set(map(tuple, spans)), {(tuple(head), tuple(tail), label) for head, tail, label in relations}

    def format(self, prediction: Prediction, example: Example, options: OutputOptions = DEFAULT_OUTPUT) -> Any:
        """Spans, ``[{"entity_group": "person", "score": 0.99, "word": "Ada", "start": 0, "end": 3}, …]``.

        With relations ``{"entities": […], "relations": [{"head": 0, "tail": 1, "label": "lives_in", "score": 0.9}]}``,
        where head and tail are indices into these entities. Offsets are in characters, and ``text[start:end] == word``.
        `all_scores` adds for a span the probability of each label.
        """
        relation_scores, all_scores = prediction.extra
        entities = []
        for (start, end, label), score, row in zip(
            prediction.value["entities"], prediction.score, all_scores, strict=True
        ):
            word = example.text[start:end]
            entities.append({"entity_group": label, "score": score, "word": word, "start": start, "end": end})
            if options.all_scores:
                entities[-1]["scores"] = label_scores(self.labels, row)
        if not self.relation_labels:
            return entities
        relations = [
            {"head": head, "tail": tail, "label": label, "score": score}
            for (head, tail, label), score in zip(prediction.value["relations"], relation_scores, strict=True)
        ]
        return {"entities": entities, "relations": relations}

    def output_type(self, options: OutputOptions = DEFAULT_OUTPUT) -> pa.DataType | None:
        text, number, whole = pa.string(), pa.float64(), pa.int64()
        fields = {"entity_group": text, "score": number, "word": text, "start": whole, "end": whole}
        if options.all_scores:
            fields["scores"] = scores_type(self.labels)
        entities = pa.list_(pa.struct(fields))
        if not self.relation_labels:
            return entities
        relation = pa.struct({"head": whole, "tail": whole, "label": text, "score": number})
        return pa.struct({"entities": entities, "relations": pa.list_(relation)})

    def calibrate(self, items: Sequence[ExampleOutputs], gold: Sequence[Any]) -> None:
        """Fit the temperatures, and the thresholds with the best F1 of spans, then of relations between them."""
        windows = [read_windows(item, by_word=self._by_word) for item in items]
        candidates = [self._candidates(of_item) for of_item in windows]
        scores = np.concatenate([spans.score for spans in candidates])
        known = [self._items(label)[0] for label in gold]
        hits = [
            tuple(span) in of_row
            for spans, of_row in zip(candidates, known, strict=True)
            for span in self._name_spans(spans)
        ]
        fitted = fit_detection(scores, np.array(hits, dtype=np.bool_), gold=sum(len(row["entities"]) for row in gold))
        if fitted is not None:
            self.temperature, self.threshold = fitted
        if self.relation_labels:
            self._calibrate_relations(windows, [self._predict_spans(spans) for spans in candidates], gold)

    def _calibrate_relations(
        self, windows: Sequence[Sequence[Window]], spans: Sequence[Candidates], gold: Sequence[Any]
    ) -> None:
        ids = {label: i for i, label in enumerate(self.relation_labels)}
        scores: list[Logits] = [np.zeros(0)]
        hits, count = [np.zeros(0, dtype=np.bool_)], 0
        for item_windows, predicted, label in zip(windows, spans, gold, strict=True):
            if label["relations"] is None:
                continue
            parts = score_relations(item_windows, predicted, relations=len(ids))
            pairs = RelationScores.join(parts, relations=len(ids))
            places = {tuple(span): i for i, span in enumerate(self._name_spans(predicted))}
            known = [item for item in self._items(label)[1] if {*item[:2]} <= places.keys() and item[2] in ids]
            scores.append(pairs.scores.ravel())
            hits.append(pairs.find([(places[head], places[tail], ids[name]) for head, tail, name in known]).ravel())
            count += len(label["relations"])
        fitted = fit_detection(np.concatenate(scores), np.concatenate(hits), gold=count)
        if fitted is not None:
            self.relation_temperature, self.relation_threshold = fitted

    def confidence(self, prediction: Prediction, gold: Any) -> Confidence:
        """Return the confidence of each predicted span, and of each relation if the row is annotated with relations."""
        scores, (spans, relations) = np.array(prediction.score), self._items(gold)
        right = [tuple(span) in spans for span in prediction.value["entities"]]
        if gold["relations"] is not None and self.relation_labels:
            scores = np.append(scores, prediction.extra[0])
            named = self._to_metric_input("relations", prediction.value, {})
            right += [(tuple(head), tuple(tail), label) in relations for head, tail, label in named]
        return scores, np.array(right, dtype=np.bool_)

    def row_error(self, prediction: Prediction, gold: Any, example: Example) -> RowError | None:
        """Compare the spans, and the relations of a row that was annotated with them."""
        value = prediction.value if gold["relations"] is not None else {**prediction.value, "relations": None}
        if self._items(value) == self._items(gold):
            return None
        return self._error(prediction, gold, *(describe_spans(part, example.text) for part in (gold, value)))

    def error_analysis(self, values: Sequence[Any], gold: Sequence[Any]) -> ErrorAnalysis | None:
        """Return counts of spans by label."""
        predicted, known = ([value["entities"] for value in rows] for rows in (values, gold))
        return count_spans(predicted, known, labels=self.labels)

    def describe_output(self) -> str:
        return f"relations {', '.join(self.relation_labels)}" if self.relation_labels else ""


def _whole(values: Tensor) -> Tensor:
    """Return targets as integers: those of a split without any span are floats."""
    return values.nan_to_num(nan=IGNORED).long() if values.is_floating_point() else values
