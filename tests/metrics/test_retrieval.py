"""Recall at 10, by hand and by brute force."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nlpmtl.metrics import RecallAt10


def pairs(count: int, *, noise: float, seed: int = 0) -> tuple[list[Any], list[str]]:
    source = np.random.default_rng(seed)
    texts = source.normal(size=(count, 8))
    positives = texts + noise * source.normal(size=texts.shape)
    texts, positives = (values / np.linalg.norm(values, axis=1, keepdims=True) for values in (texts, positives))
    values = [[text.tolist(), pair.tolist()] for text, pair in zip(texts, positives, strict=True)]
    return values, [f"pair {i}" for i in range(count)]


@pytest.mark.parametrize("noise", [0.1, 1.0, 3.0])
def test_pairs_by_brute_force(noise: float) -> None:
    values, gold = pairs(60, noise=noise)
    found = 0
    for i, (text, _) in enumerate(values):
        ranked = sorted(range(60), key=lambda j: -float(np.dot(text, values[j][1])))
        found += i in ranked[:10]
    assert RecallAt10().value(values, gold) == pytest.approx(found / 60)


def test_a_text_that_is_the_pair_of_several_rows_is_in_the_corpus_once() -> None:
    values, gold = pairs(40, noise=3.0)
    many = [[values[0][0], values[1][1]]] * 30  # the pair of row 1 is the nearest of nothing, 30 times
    recall = RecallAt10().value([*values, *many], [*gold, *["pair 1"] * 30])
    alone = RecallAt10().value(values, gold)
    assert recall is not None
    assert alone is not None
    assert recall * 70 - alone * 40 in (pytest.approx(0, abs=1e-6), pytest.approx(30, abs=1e-6))


def test_classes_by_brute_force() -> None:
    source = np.random.default_rng(1)
    vectors, classes = source.normal(size=(80, 4)), source.integers(12, size=80).astype(str).tolist()
    classes[0] = "only here"
    found = counted = 0
    for i in range(80):
        ranked = sorted((j for j in range(80) if j != i), key=lambda j: -float(np.dot(vectors[i], vectors[j])))
        if classes.count(classes[i]) > 1:
            counted += 1
            found += any(classes[j] == classes[i] for j in ranked[:10])
    assert RecallAt10().value([[vector.tolist()] for vector in vectors], classes) == pytest.approx(found / counted)


def test_few_texts() -> None:
    assert RecallAt10().value([[[1.0, 0.0]], [[0.0, 1.0]]], ["a", "a"]) == 1.0
    assert RecallAt10().value([[[1.0, 0.0]], [[0.0, 1.0]]], ["a", "b"]) is None, "no class has two texts"
    assert RecallAt10().value([[[1.0, 0.0], [0.0, 1.0]]], ["a"]) == 1.0


@pytest.mark.parametrize("width", [2, 32, 384])
def test_equal_embeddings_of_all_texts_have_no_recall(width: int) -> None:
    vector = np.random.default_rng(0).normal(size=width)
    vector = (vector / np.linalg.norm(vector)).round(6).tolist()
    for count in range(12, 60):
        classes = [str(i // 2) for i in range(count)]
        assert RecallAt10().value([[vector]] * count, classes) == 0.0
        assert RecallAt10().value([[vector, vector]] * count, [f"pair {i}" for i in range(count)]) == 0.0
