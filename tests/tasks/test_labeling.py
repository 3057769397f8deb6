"""Sequence labeling: Viterbi decoding, spans and loss."""

from __future__ import annotations

import itertools
import math
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from torch.nn import functional

from nlpmtl.data import IGNORED, Ragged, TagLabels, join_words, tokenize
from nlpmtl.errors import ConfigError
from nlpmtl.metrics import spans
from nlpmtl.tasks import Labeling, OutputOptions
from nlpmtl.tasks.viterbi import bio_predecessors, log_softmax, viterbi_decode_bio
from tests.slow import slow_except
from tests.tasks.kinds import batch_of, formatted, ids_of, loss, score
from tests.tiny_tokenizers import TOKENIZERS

SLOW = settings(deadline=None, max_examples=40)
TAGS = ("I-p", "O", "B-q", "B-p", "I-q")
TASK: dict[str, Any] = {"name": "t", "labels": TAGS, "metrics": None, "input": "words"}
LABEL_SETS = [("O",), ("I-p", "B-p", "O"), ("O", "B-p", "B-q", "I-q"), TAGS, ("B-p", "I-p", "I-q", "B-q", "O")]
FINITE = st.floats(-50, 50) | st.sampled_from([0.0, 1.0, -1.0, 1e5, -1e5])
ANY = st.floats(width=64) | st.sampled_from([0.0, math.inf, -math.inf, math.nan, 1.7e308, -1.7e308])


def is_valid(tags: list[str]) -> bool:
    return all(tag[0] != "I" or before[1:] == tag[1:] for before, tag in itertools.pairwise(["O", *tags]))


@cache
def valid_sequences(labels: tuple[str, ...], words: int) -> list[tuple[int, ...]]:
    every = itertools.product(range(len(labels)), repeat=words)
    return [sequence for sequence in every if is_valid([labels[i] for i in sequence])]


def scores_of(
    elements: st.SearchStrategy[float], *, max_words: int
) -> st.SearchStrategy[tuple[Any, NDArray[np.float64]]]:
    def grid(labels: tuple[str, ...]) -> st.SearchStrategy[tuple[Any, NDArray[np.float64]]]:
        rows = st.integers(0, max_words).flatmap(lambda n: arrays(np.float64, (n, len(labels)), elements=elements))
        return st.tuples(st.just(labels), rows)

    return st.sampled_from(LABEL_SETS).flatmap(grid)


class TestDecode:
    @SLOW
    @given(scores_of(ANY, max_words=12))
    def test_decoded_sequences_are_valid(self, problem: tuple[tuple[str, ...], NDArray[np.float64]]) -> None:
        labels, scores = problem
        for dtype in (np.float64, np.float32):
            with np.errstate(over="ignore"):
                tags = viterbi_decode_bio(scores.astype(dtype), bio_predecessors(labels, task="t"))
            assert len(tags) == len(scores)
            assert is_valid([labels[i] for i in tags])

    @SLOW
    @given(scores_of(FINITE | st.just(-math.inf), max_words=5))
    def test_decoding_finds_the_best_valid_sequence(self, problem: tuple[tuple[str, ...], NDArray[np.float64]]) -> None:
        labels, scores = problem

        def value(tags: Any) -> float:
            return sum((float(scores[word, tag]) for word, tag in enumerate(tags)), 0.0)

        best = max(map(value, valid_sequences(labels, len(scores))))
        decoded = value(viterbi_decode_bio(scores, bio_predecessors(labels, task="t")))
        assert decoded == best  # sums in the same order have the same rounding

    @pytest.mark.parametrize("labels", [tag_set for tag_set in LABEL_SETS if "I-p" in tag_set])
    def test_inside_tags_without_a_begin_tag_may_start_a_span(self, labels: tuple[str, ...]) -> None:
        scores = np.zeros((3, len(labels)))
        scores[:, labels.index("I-p")] = [9, 9, 0]
        tags = [labels[i] for i in viterbi_decode_bio(scores, bio_predecessors(labels, task="t"))]
        assert tags[:2] == ["B-p", "I-p"]

    def test_labels_without_valid_starts_still_decode(self) -> None:
        labels = ("I-p", "B-p", "O")
        never = [5.0, -math.inf, -math.inf]
        tags = viterbi_decode_bio(np.array([never, never]), bio_predecessors(labels, task="t"))
        assert is_valid([labels[i] for i in tags])

    def test_decoding_does_not_modify_the_scores(self) -> None:
        scores = np.array([[math.nan, math.inf, -math.inf]])
        before = scores.copy()
        viterbi_decode_bio(scores, bio_predecessors(("O", "B-p", "I-p"), task="t"))
        assert np.array_equal(scores, before, equal_nan=True)


class TestBioPredecessors:
    def test_by_hand(self) -> None:
        assert bio_predecessors(TAGS, task="t").tolist() == [3, -1, -1, -1, 2]
        assert bio_predecessors(("O", "B-a-b", "I-a-b"), task="t").tolist() == [-1, -1, 1]

    @pytest.mark.parametrize(
        ("labels", "message"),
        [
            (("O", "NN"), "task 't': 'NN' is not a BIO tag.*plain"),
            (("O", "B-"), "'B-' is not a BIO tag"),
            (("O", "b-x"), "'b-x' is not a BIO tag"),
            (("O", "E-x"), "'E-x' is not a BIO tag"),
            (("O", ""), "'' is not a BIO tag"),
            (("O", "B-x", "I-y"), "'I-y' has no 'B-y'"),
            (("B-x", "I-x"), "needs the tag 'O'"),
        ],
    )
    def test_invalid_bio_tag_sets(self, labels: tuple[str, ...], message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            bio_predecessors(labels, task="t")


@st.composite
def tagged(draw: st.DrawFn, words: int, *, free: set[int]) -> list[str]:
    """Spans over words as BIO tags; words in `free` have no span."""
    tags: list[str] = []
    for word in range(words):
        before = tags[-1] if tags else "O"
        goes_on = [f"I{before[1:]}"] if before != "O" else []
        tags.append("O" if word in free else draw(st.sampled_from(["O", "B-p", "B-q", *goes_on])))
    return tags


def one_hot(tags: list[str], *, first_tokens: list[int], sequence_length: int) -> NDArray[np.float32]:
    """Labels to targets of tokens, and back from logits of words to spans."""
    ids = Ragged.pack([[TAGS.index(tag) for tag in tags]])
    flags = np.ones(1, dtype=np.bool_)
    labels = TagLabels(TAGS, len(TAGS), flags, np.array([len(tags)]), ids)
    target = labels.tensor([0], first_tokens=Ragged.pack([first_tokens]), sequence_length=sequence_length)[0]
    pieces = torch.zeros(sequence_length, len(TAGS))
    placed = target != IGNORED
    pieces[placed] = 12.0 * functional.one_hot(target[placed], len(TAGS)).float()
    logits: NDArray[np.float32] = pieces.numpy()[np.array(first_tokens, dtype=np.int64)]
    logits[np.array(first_tokens) < 0] = np.nan
    return logits


WORD = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), min_size=1, max_size=4)
WORDS = st.lists(st.sampled_from(["", "\u200b", "Turin", "a"]) | WORD, min_size=1, max_size=8)


class TestRoundTrip:
    @pytest.mark.parametrize("name", slow_except(sorted(TOKENIZERS), "metaspace", "byte-level, spaces", "token"))
    @SLOW
    @given(data=st.data(), words=WORDS, max_length=st.sampled_from([4, 9, 400]))
    def test_spans_round_trip(self, name: str, data: st.DataObject, words: list[str], max_length: int) -> None:
        text, offsets = join_words(words)
        pieces = tokenize(TOKENIZERS[name](), [text], words=[offsets], max_length=max_length)
        assert pieces.first_tokens is not None
        first_tokens = pieces.first_tokens[0].tolist()
        unplaced = {word for word, first in enumerate(first_tokens) if first < 0}
        shared = len(set(first_tokens) - {-1}) < len(first_tokens) - len(unplaced)
        assume(not shared)  # two words of one token have one label
        cut = next((word for word in range(len(words)) if set(range(word, len(words))) <= unplaced), len(words))
        gold = data.draw(tagged(len(words), free={word for word in unplaced if word < cut}))
        expected = ["O" if word in unplaced else tag for word, tag in enumerate(gold)]

        task = Labeling(**TASK)
        logits = one_hot(gold, first_tokens=first_tokens, sequence_length=len(pieces.ids[0]))
        assert [TAGS[i] for i in ids_of(task, logits)] == expected
        predicted = formatted(task, logits, text=text, words=offsets)
        assert [(span["entity_group"], span["start"], span["end"]) for span in predicted] == [
            (kind, offsets[first][0], offsets[end - 1][1]) for kind, first, end in spans(expected)
        ]
        for span, (_, first, end) in zip(predicted, spans(expected), strict=True):
            assert text[span["start"] : span["end"]] == span["word"] == " ".join(words[first:end])
            assert span["score"] > 0.99

    @SLOW
    @given(arrays(np.float32, (6, len(TAGS)), elements=st.floats(-9, 9, width=32)), st.sets(st.integers(0, 5)))
    def test_a_word_without_a_token_ends_a_span(self, logits: NDArray[np.float32], unplaced: set[int]) -> None:
        logits = logits.copy()
        logits[list(unplaced)] = np.nan
        tags = [TAGS[i] for i in ids_of(Labeling(**TASK), logits)]
        assert is_valid(tags)
        assert all(tags[word] == "O" for word in unplaced)


class TestFormat:
    def test_spans(self) -> None:
        text, offsets = join_words(["Ada", "Lovelace", "saw", "Turin"])
        scores = np.log(np.array([[0.1, 0.1, 0.1, 0.6, 0.1], [0.8, 0.05, 0.05, 0.05, 0.05], [0.1, 0.6, 0.1, 0.1, 0.1]]))
        logits = np.concatenate([scores, np.full((1, 5), np.nan)])
        assert formatted(Labeling(**TASK), logits, text=text, words=offsets) == [
            {"entity_group": "p", "score": pytest.approx(0.7), "word": "Ada Lovelace", "start": 0, "end": 12}
        ]

    def test_predictions_per_word(self) -> None:
        text, offsets = join_words(["Ada", "Lovelace", "saw", "Turin"])
        scores = np.log(np.array([[0.1, 0.1, 0.1, 0.6, 0.1], [0.8, 0.05, 0.05, 0.05, 0.05], [0.1, 0.6, 0.1, 0.1, 0.1]]))
        logits = np.concatenate([scores, np.full((1, 5), np.nan)])
        single = formatted(Labeling(**TASK), logits, text=text, words=offsets, options=OutputOptions(True, "none"))
        assert [(span["entity"], span["word"], span["start"]) for span in single] == [
            ("B-p", "Ada", 0),
            ("I-p", "Lovelace", 4),
        ]
        for span in single:
            assert set(span["scores"]) == set(TAGS)
            assert span["scores"][span["entity"]] == span["score"]

    def test_plain_tags_are_per_word_and_none_without_a_token(self) -> None:
        task = Labeling(**{**TASK, "labels": ["N", "V"]}, scheme="plain")
        logits = np.array([[2.0, 0.0], [np.nan, np.nan], [0.0, 2.0]])
        assert ids_of(task, logits) == [0, -1, 1]
        confidence = pytest.approx(1 / (1 + math.exp(-2)))
        assert formatted(task, logits, text="a b c", words=[(0, 1), (2, 3), (4, 5)]) == [
            {"entity": "N", "score": confidence, "word": "a", "start": 0, "end": 1},
            {"entity": "V", "score": confidence, "word": "c", "start": 4, "end": 5},
        ]
        scores = score(task, predicted=[[0, -1, 1]], gold=[[0, 0, 1]], names=["N", "V"])
        assert scores["token_accuracy"] == pytest.approx(2 / 3)

    @pytest.mark.parametrize("scheme", ["bio", "plain"])
    def test_texts_without_words_or_tokens_have_no_spans(self, scheme: Any) -> None:
        task = Labeling(**TASK, scheme=scheme)
        empty = np.zeros((0, len(TAGS)), dtype=np.float32)
        assert ids_of(task, empty) == []
        assert formatted(task, empty, text="", words=[]) == []
        none = np.full((2, len(TAGS)), np.nan, dtype=np.float32)
        assert formatted(task, none, text="a b", words=[(0, 1), (2, 3)]) == []

    def test_default_metrics_follow_the_scheme(self) -> None:
        assert Labeling(**TASK).metrics == ("span_f1",)
        assert Labeling(**TASK, scheme="plain").metrics == ("token_accuracy",)

    def test_an_unknown_tag_counts_as_a_missed_span(self) -> None:
        scores = score(Labeling(**TASK), predicted=[[3, 0, 1]], gold=[[3, 0, 5]], names=[*TAGS, "B-new"])
        assert scores["span_f1"] == pytest.approx(2 * 1 / (1 + 2))


class TestLoss:
    def test_the_loss_equals_torch_over_words_with_a_token(self) -> None:
        task = Labeling(**TASK)
        logits, labels, _ = batch_of(task)
        expected = functional.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), reduction="sum", ignore_index=IGNORED
        )
        assert float(loss(task, logits, labels)) == pytest.approx(float(expected), rel=1e-6)

    def test_weights_and_smoothing_equal_torch(self) -> None:
        task = Labeling(**TASK, class_weights={"O": 0.2}, label_smoothing=0.1)
        logits, labels, _ = batch_of(task)
        expected = functional.cross_entropy(
            logits.flatten(0, 1),
            labels.flatten(),
            weight=torch.tensor([1, 0.2, 1, 1, 1]),
            label_smoothing=0.1,
            reduction="sum",
        )
        assert float(loss(task, logits, labels)) == pytest.approx(float(expected), rel=1e-6)

    def test_balanced_weights_use_all_words_of_train(self) -> None:
        task = Labeling(**{**TASK, "labels": ["O", "B-p"]}, class_weights="balanced")
        task.fit({"label": [["O", "O", "O"], ["O", "B-p"]]})
        logits, labels = torch.randn(1, 3, 2), torch.tensor([[IGNORED, 0, 1]])
        expected = functional.cross_entropy(
            logits[0, 1:], labels[0, 1:], weight=torch.tensor([5 / 8, 5 / 2]), reduction="sum"
        )
        assert float(loss(task, logits, labels)) == pytest.approx(float(expected), rel=1e-5)


@SLOW
@given(arrays(np.float64, (3, 4), elements=st.floats(-1e6, 1e6)))
def test_log_softmax_equals_torch(logits: NDArray[np.float64]) -> None:
    expected = torch.from_numpy(logits).log_softmax(-1).numpy()
    assert log_softmax(logits) == pytest.approx(expected, abs=1e-9)
