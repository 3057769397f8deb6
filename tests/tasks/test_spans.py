"""Spans and relations: targets, decoding against enumeration, windows, calibration and predictions."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nlpmtl.data import Example, TokenSequence, to_input
from nlpmtl.errors import ConfigError
from nlpmtl.tasks import (
    ExampleOutputs,
    LabelCounts,
    OutputOptions,
    Prediction,
    SpanExtraction,
    build_task,
    task_from_config,
)
from nlpmtl.tasks.calibration import sigmoid
from nlpmtl.tasks.relation_decoding import RelationScores, score_relations
from nlpmtl.tasks.span_decoding import find_candidates, read_windows
from nlpmtl.tasks.span_units import find_units

LABELS, TYPES, SIZE = ("a", "b"), ("r", "s"), 4


def make_task(**values: Any) -> SpanExtraction:
    return SpanExtraction(**{"name": "t", "labels": LABELS, "input": "text", **values})


def sequence(count: int, *, start: int = 0) -> TokenSequence:
    """Return the tokens of one character and a space each, from a token on, between special tokens."""
    offsets = [[-1, -1], *([2 * i, 2 * i + 1] for i in range(start, start + count)), [-1, -1]]
    return TokenSequence(np.arange(count + 2), offsets=np.array(offsets, dtype=np.int32))


def make_item(count: int, *, seed: int = 0, relations: int = 0) -> ExampleOutputs:
    source = np.random.default_rng(seed)
    text = " ".join("abcdefghijklmnopqrstuvwxyz"[:count])
    outputs = {"spans": [source.normal(size=(count + 2, 2 * SIZE + 2 * len(LABELS))).astype(np.float32)]}
    if relations:
        outputs["relations"] = [source.normal(size=(count + 2, 4 * relations * (SIZE + 1))).astype(np.float32)]
    return ExampleOutputs(Example(to_input(text)), [sequence(count)], outputs)


def span_scores(outputs: NDArray[Any], count: int) -> dict[tuple[int, int, str], float]:
    """Return the score of each span of the text of `make_item`, from the layout of the output."""
    values = outputs.astype(np.float64)[1 : count + 1]
    query, key, first, last = np.split(values, [SIZE, 2 * SIZE, 2 * SIZE + len(LABELS)], axis=1)
    return {
        (2 * i, 2 * j + 1, name): float(query[i] @ key[j] + first[i, label] + last[j, label])
        for i, j in itertools.combinations_with_replacement(range(count), 2)
        for label, name in enumerate(LABELS)
    }


@pytest.mark.parametrize("seed", range(5))
def test_all_spans_above_the_threshold_are_predicted(seed: int) -> None:
    item = make_item(9, seed=seed)
    scores = span_scores(item.outputs["spans"][0], 9)
    best = sorted(scores, key=lambda span: -scores[span])[:32]  # the maximum for a short text
    threshold = float(sigmoid(np.array([(scores[best[4]] + scores[best[5]]) / 2]))[0])
    (prediction,) = make_task(threshold=threshold).decode([item])
    assert prediction.value == {"entities": sorted(map(list, best[:5])), "relations": None}
    expected = [scores[tuple(span)] for span in prediction.value["entities"]]
    assert prediction.score == pytest.approx(sigmoid(np.array(expected)).tolist())
    (every,) = make_task(threshold=-1.0).decode([item])
    assert every.value["entities"] == sorted(map(list, best))


@pytest.mark.parametrize("seed", range(5))
def test_flat_predictions_do_not_overlap_and_keep_the_best(seed: int) -> None:
    item = make_item(9, seed=seed)
    scores = span_scores(item.outputs["spans"][0], 9)
    kept: list[tuple[int, int, str]] = []
    for span in sorted(scores, key=lambda span: -scores[span]):
        if scores[span] > 0 and all(span[1] <= other[0] or other[1] <= span[0] for other in kept):
            kept.append(span)
    (prediction,) = make_task(flat=True).decode([item])
    assert prediction.value["entities"] == sorted(map(list, kept))
    (nested,) = make_task().decode([item])
    assert len(nested.value["entities"]) > len(kept) > 1


def test_a_flat_span_is_predicted_however_many_better_ones_overlap_each_other() -> None:
    item = make_item(26)
    outputs = np.zeros_like(item.outputs["spans"][0])
    outputs[:, 2 * SIZE :] = -9.0
    outputs[1:13, 2 * SIZE :] = 5.0  # 156 spans of the first 12 tokens, and at most 52 spans are predicted
    outputs[26, 2 * SIZE :] = [1.0, 0.0, 1.0, 0.0]  # the last token
    whole = ExampleOutputs(item.example, item.sequences, {"spans": [outputs]})
    expected = [[2 * i, 2 * i + 1, "a"] for i in [*range(12), 25]]
    for source in (whole, windows_of(whole, 16, 5)):
        (prediction,) = make_task(flat=True).decode([source])
        assert prediction.value["entities"] == expected


@pytest.mark.parametrize("count", [1, 2, 30])
def test_each_word_may_have_several_labels(count: int) -> None:
    item = make_item(min(count, 26))
    outputs = np.zeros_like(item.outputs["spans"][0])
    outputs[:, 2 * SIZE :] = -9.0
    count = len(outputs) - 2
    outputs[1 : count + 1, 2 * SIZE :] = 9.0  # a span from any word to any later one, with each label
    (prediction,) = make_task().decode([ExampleOutputs(item.example, item.sequences, {"spans": [outputs]})])
    every = [[2 * i, 2 * j + 1, name] for i in range(count) for j in range(i, count) for name in LABELS]
    assert len(prediction.value["entities"]) == min(len(every), max(2 * count, 32))
    assert all(span in every for span in prediction.value["entities"])


def test_words_are_predicted_as_characters_of_the_text() -> None:
    item = make_item(3)
    words = Example(to_input({"words": ["a", "b", "c"]}))
    (prediction,) = make_task(input="words").decode([ExampleOutputs(words, item.sequences, item.outputs)])
    assert prediction.value == make_task().decode([item])[0].value


def windows_of(item: ExampleOutputs, size: int, step: int) -> ExampleOutputs:
    """Return the item in windows whose outputs are those of the whole text at the same tokens."""
    count = len(item.sequences[0].ids) - 2
    starts = [*range(0, count - size, step), count - size]
    return ExampleOutputs(
        item.example,
        [sequence(size, start=start) for start in starts],
        {
            name: [np.concatenate([v[0][:1], v[0][1 + start : 1 + start + size], v[0][-1:]]) for start in starts]
            for name, v in item.outputs.items()
        },
    )


def test_spans_and_relations_of_windows_are_those_of_the_whole_text() -> None:
    item = make_item(24, seed=3, relations=len(TYPES))
    task = make_task(relation_labels=TYPES, threshold=0.99, relation_threshold=0.7)
    windowed = windows_of(item, 12, 6)
    whole, parts = task.decode([item, windowed])
    assert len(windowed.sequences) == 3
    short = [span for span in whole.value["entities"] if span[1] - span[0] <= 11]
    assert [span for span in parts.value["entities"] if span[1] - span[0] <= 11] == short
    assert len(short) > 5
    spans = task._candidates(read_windows(item, by_word=False))
    whole_pairs, of_windows = (
        RelationScores.join(score_relations(read_windows(i, by_word=False), spans, relations=2), relations=2)
        for i in (item, windowed)
    )
    count = len(spans.start)
    assert len(whole_pairs.head) == count * (count - 1)
    scores = np.zeros((count, count, 2))
    scores[whole_pairs.head, whole_pairs.tail] = whole_pairs.scores
    near = np.zeros((count, count), dtype=bool)
    near[of_windows.head, of_windows.tail] = True
    assert near.sum() == len(of_windows.head)
    assert np.allclose(of_windows.scores, scores[of_windows.head, of_windows.tail])
    low = np.minimum.outer(spans.start, spans.start)
    high = np.maximum.outer(spans.end, spans.end)
    assert near[(high - low <= 11) & ~np.eye(count, dtype=bool)].all()
    assert not near[high - low > 24].any()


def test_a_span_is_scored_where_it_is_farthest_from_an_end() -> None:
    item = windows_of(make_item(24, seed=5), 12, 6)
    changed = {"spans": [array + number for number, array in enumerate(item.outputs["spans"])]}
    windows = read_windows(ExampleOutputs(item.example, item.sequences, changed), by_word=False)
    found = find_candidates(windows, labels=2, flat=False)
    assert len({*zip(found.start.tolist(), found.end.tolist(), found.label.tolist(), strict=True)}) == len(found.start)
    for start, end, label, score in zip(found.start, found.end, found.label, found.score, strict=True):
        margins = [int(window.margins(start, end)) for window in windows]
        outputs = changed["spans"][int(np.argmax(margins))]
        first = int(start) // 2 - (0, 6, 12)[int(np.argmax(margins))]
        last = first + (int(end) - int(start)) // 2
        query, key = outputs[1 + first].astype(np.float64), outputs[1 + last].astype(np.float64)
        expected = query[:SIZE] @ key[SIZE : 2 * SIZE] + query[2 * SIZE + label] + key[2 * SIZE + 2 + label]
        assert score == pytest.approx(expected)


def test_windows_of_a_tokenizer_that_truncates_on_the_left_are_read_from_the_end() -> None:
    item = make_item(24, seed=5, relations=len(TYPES))
    item = windows_of(item, 8, 3)
    outputs = {name: [array + i for i, array in enumerate(arrays)] for name, arrays in item.outputs.items()}
    item = ExampleOutputs(item.example, item.sequences, outputs)
    backwards = {name: arrays[::-1] for name, arrays in outputs.items()}
    reversed_item = ExampleOutputs(item.example, item.sequences[::-1], backwards)
    expected, prediction = make_task(relation_labels=TYPES).decode([item, reversed_item])
    assert prediction.value == expected.value
    assert len(expected.value["entities"]) > 20


def test_relations_against_enumeration() -> None:
    item = make_item(6, seed=1, relations=len(TYPES))
    task = make_task(relation_labels=TYPES, threshold=0.9)
    (prediction,) = task.decode([item])
    entities = prediction.value["entities"]
    assert len(entities) > 2
    outputs = item.outputs["relations"][0].astype(np.float64)
    vectors = outputs[:, : 4 * 2 * SIZE].reshape(-1, 4, 2, SIZE)
    terms = outputs[:, 4 * 2 * SIZE :].reshape(-1, 4, 2)
    expected = []
    for (i, head), (j, tail) in itertools.permutations(enumerate(entities), 2):
        (a, b), (c, d) = ((1 + span[0] // 2, 1 + (span[1] - 1) // 2) for span in (head, tail))
        for label, name in enumerate(TYPES):
            score = (vectors[a, 0, label] + vectors[b, 1, label]) @ (vectors[c, 2, label] + vectors[d, 3, label])
            score += terms[a, 0, label] + terms[b, 1, label] + terms[c, 2, label] + terms[d, 3, label]
            if score > 0:
                expected.append((i, j, name, sigmoid(np.array(score))))
    assert prediction.value["relations"] == [[head, tail, name] for head, tail, name, _ in sorted(expected)]
    assert prediction.extra[0] == pytest.approx([score for *_, score in sorted(expected)])
    formatted = task.format(prediction, item.example, OutputOptions(all_scores=True))
    assert formatted["relations"][0].keys() == {"head", "tail", "label", "score"}
    for span in formatted["entities"]:
        assert item.example.text[span["start"] : span["end"]] == span["word"]
        assert span["scores"][span["entity_group"]] == span["score"]


def test_no_token_no_span() -> None:
    outputs = {"spans": [np.zeros((2, 12), np.float32)], "relations": [np.zeros((2, 40), np.float32)]}
    item = ExampleOutputs(Example(to_input("")), [TokenSequence(np.arange(2))], outputs)
    (prediction,) = make_task(relation_labels=TYPES, threshold=-1.0).decode([item])
    assert make_task(relation_labels=TYPES).format(prediction, item.example) == {"entities": [], "relations": []}


def test_thresholds_with_the_best_f1_and_temperatures() -> None:
    items = [make_item(9, seed=seed, relations=len(TYPES)) for seed in range(8)]
    task = make_task(relation_labels=TYPES, threshold=0.95, relation_threshold=0.9)
    gold = [prediction.value for prediction in task.decode(items)]
    assert sum(len(value["relations"]) for value in gold) > 10
    gold[-1] = {**gold[-1], "relations": None}
    calibrated = make_task(relation_labels=TYPES)
    calibrated.calibrate(items, gold)
    assert calibrated.temperature != 1.0
    values = [prediction.value for prediction in calibrated.decode(items)]
    calibrated.set_metrics(["span_f1", "relation_f1"])
    assert calibrated.score(values, gold) == {"span_f1": 1.0, "relation_f1": 1.0, "score": 1.0}
    saved = task_from_config("t", calibrated.to_config())
    assert [prediction.value for prediction in saved.decode(items)] == values
    unchanged = make_task()
    unchanged.calibrate(items, [{"entities": [], "relations": None}] * 8)
    assert (unchanged.temperature, unchanged.threshold) == (1.0, 0.5)


def targets_of(text: Any, spans: list[Any], relations: list[Any] | None = None, **values: Any) -> Any:
    task = make_task(**values)
    example = Example(to_input(text), labels={"label": spans, **({"relations": relations} if relations else {})})
    offsets = [[-1, -1], [0, 2], [3, 5], [6, 7], [7, 9], [-1, -1]]  # ab cd e##fg
    return task.targets(example, [TokenSequence(np.arange(6), offsets=np.array(offsets))])


def test_targets_by_unit() -> None:
    targets = targets_of("ab cd efg", [[0, 5, "a"], [3, 9, "b"], [6, 7, "a"]])
    assert targets.count == 2
    assert targets.example["first"].tolist() == targets.example["last"].tolist() == [1, 2, 3, 4]
    assert targets.example["spans"].tolist() == [[0, 1, 0], [1, 3, 1], [2, 2, 0]]
    assert targets.example["inexact"] == targets.example["cut"] == 0
    words = targets_of({"words": ["ab", "cd", "efg"]}, [[0, 2, "a"], [2, 3, "b"]], input="words")
    assert words.example["first"].tolist() == [1, 2, 3]
    assert words.example["last"].tolist() == [1, 2, 4]
    assert words.example["spans"].tolist() == [[0, 1, 0], [2, 2, 1]]


def test_spans_inside_a_token_and_beyond_the_last_one_are_counted() -> None:
    targets = targets_of("ab cd efg hi", [[1, 5, "a"], [2, 5, "b"], [6, 12, "a"], [9, 10, "a"], [10, 12, "b"]])
    assert targets.example["spans"].tolist() == [[0, 1, 0], [1, 1, 1]]
    assert targets.example["inexact"] == 2
    assert targets.example["cut"] == 3
    assert targets.example["gold_spans"] == 5
    numbers = {name: np.array([value] * 2) for name, value in targets.example.items() if np.ndim(value) == 0}
    first, second = make_task().target_notes(numbers, excluded_rows=0)
    assert first.startswith("4 of 10 spans begin or end inside a token or at a space")
    assert second.startswith("6 of 10 spans have no token, or are beyond max_length")
    none = {name: np.zeros(2) for name in numbers}
    assert make_task().target_notes(none, excluded_rows=0) == []


def test_relations_of_known_spans_only() -> None:
    spans = [[0, 2, "a"], [3, 5, "unknown"], [6, 9, "b"], [0, 2, "a"]]
    relations = [[2, 0, "s"], [0, 1, "r"], [3, 2, "r"], [0, 2, "r"], [0, 2, "unknown"]]
    targets = targets_of("ab cd efg", spans, relations, relation_labels=TYPES)
    assert targets.example["spans"].tolist() == [[0, 0, 0], [2, 3, 1]]
    assert targets.example["relations"].tolist() == [[0, 1, 0], [1, 0, 1]]
    assert (targets.count, targets.example["has_pairs"]) == (4, 1)
    assert targets_of("ab cd efg", spans[:2], [], relation_labels=TYPES).count == 2
    assert targets_of("ab cd efg", spans, None, relation_labels=TYPES).example["has_pairs"] == 0
    assert targets_of("", []) is not None
    task = make_task()
    assert task.targets(Example(to_input(""), labels={"label": []}), [TokenSequence(np.arange(2))]) is None


def test_gold_of_words_is_in_characters_and_names_relations_by_sorted_spans() -> None:
    labels = {"label": [[3, 4, "b"], [0, 1, "a"], [3, 4, "b"]], "relations": [[1, 2, "r"], [1, 0, "r"]]}
    example = Example(to_input({"words": ["Ada", "lives", "in", "Turin"]}), labels=labels)
    gold = make_task(input="words").gold(example)
    assert gold == {"entities": [[0, 3, "a"], [13, 18, "b"]], "relations": [[0, 1, "r"]]}
    assert make_task().gold(Example(to_input("Ada"), labels={"label": []})) == {"entities": [], "relations": None}


def test_wrong_rows_and_counts() -> None:
    item = make_item(6, seed=1, relations=len(TYPES))
    task = make_task(relation_labels=TYPES, threshold=0.9)
    (prediction,) = task.decode([item])
    value = prediction.value
    assert task.row_error(prediction, value, item.example) is None
    assert task.row_error(prediction, {**value, "relations": None}, item.example) is None
    error = task.row_error(prediction, {"entities": value["entities"][1:], "relations": []}, item.example)
    assert error is not None
    start, end, label = value["entities"][0]
    assert error.predicted.startswith(f"{item.example.text[start:end]}/{label}, ")
    assert f"; {item.example.text[start:end]} " in error.predicted
    confidences, right = task.confidence(prediction, value)
    assert right.all()
    assert len(right) == len(confidences) == len(value["entities"]) + len(value["relations"])
    counts = task.error_analysis([value], [{"entities": [*value["entities"][1:], [0, 1, "new"]], "relations": None}])
    assert isinstance(counts, LabelCounts)
    assert counts.labels == ("a", "b", "new")
    assert counts.true_positives.sum() == len(value["entities"]) - 1
    assert (counts.false_negatives.tolist()[2], counts.false_positives.sum()) == (1, 1)


@pytest.mark.parametrize("labels", [("name", "place"), ("place", "name")])
def test_a_perfect_prediction_is_no_wrong_row_whatever_the_order_of_the_labels(labels: tuple[str, str]) -> None:
    """Predicted spans of equal characters are ordered by the id of their label, gold ones by its name."""
    item = make_item(2, relations=1)
    outputs = {name: np.zeros_like(arrays[0]) for name, arrays in item.outputs.items()}
    outputs["spans"][:, 2 * SIZE :] = -9.0
    outputs["spans"][1, 2 * SIZE :] = 9.0  # the first token has both labels
    outputs["relations"][:, 4 * SIZE] = 9.0
    item = ExampleOutputs(item.example, item.sequences, {name: [array] for name, array in outputs.items()})
    task = make_task(labels=labels, relation_labels=("r",))
    task.set_metrics(["span_f1", "relation_f1"])
    (prediction,) = task.decode([item])
    spans = {"label": [[0, 1, "name"], [0, 1, "place"]], "relations": [[0, 1, "r"], [1, 0, "r"]]}
    gold = task.gold(Example(item.example.input, labels=spans))
    assert task.score([prediction.value], [gold])["score"] == 1.0
    assert task.row_error(prediction, gold, item.example) is None
    assert task.confidence(prediction, gold)[1].tolist() == [True] * 4
    assert task.row_error(prediction, {"entities": gold["entities"][1:], "relations": []}, item.example)
    one_way = {**gold, "relations": [[0, 1, "r"]]}
    head, tail = (prediction.value["entities"].index(span) for span in gold["entities"])
    for relation, is_right in (([head, tail, "r"], True), ([tail, head, "r"], False)):
        value = {**prediction.value, "relations": [relation]}
        error = task.row_error(Prediction(value, prediction.score, extra=([0.9], None)), one_way, item.example)
        assert (error is None) == is_right


def test_labels_of_relations_are_learned_and_continued() -> None:
    task = make_task()
    task.fit({"label": [[]], "relations": [[[0, 1, "s"]], [[0, 1, "r"]]]})
    assert task.relation_labels == TYPES
    assert task.metrics == ("span_f1", "relation_f1")
    assert make_task().metrics == ("span_f1",)
    listed = make_task(metrics=["span_f1"])
    listed.fit({"label": [[]], "relations": [[[0, 1, "s"]]]})
    assert listed.metrics == ("span_f1",)
    with pytest.raises(ConfigError, match="no train row has a relation: remove the key `relations`"):
        make_task().fit({"label": [[]], "relations": [[], []]})
    listed.continue_from(task)
    assert listed.relation_labels == TYPES
    new = make_task()
    new.fit({"label": [[]], "relations": [[[0, 1, "q"]]]})
    with pytest.raises(ConfigError, match="does not know the relation 'q'"):
        new.continue_from(task)
    assert make_task().find_untrainable({"label": [[[0, 1, "a"]]]}) is None
    wrong = make_task().find_untrainable({"label": [[], [[0, 1, "c"]]]})
    assert wrong is not None
    assert (wrong.index, wrong.reason[:27]) == (1, "does not know the label 'c'")


def test_relation_f1_needs_relations() -> None:
    options: Any = SpanExtraction.options_model()
    with pytest.raises(ValueError, match="relation_f1 needs relations: write their column"):
        options(kind="spans", label="x", metrics=("relation_f1",))
    task = build_task(options(kind="spans", label="x", relations="y", flat=True), name="t", labels=LABELS, input="text")
    assert isinstance(task, SpanExtraction)
    assert task.flat


def test_units_are_found_in_the_text_that_is_encoded() -> None:
    """The output has the offsets of `find_units`, which the other tests rely on."""
    item = make_item(4)
    assert find_units(item.example, item.sequences[0], by_word=False).start.tolist() == [0, 2, 4, 6]
