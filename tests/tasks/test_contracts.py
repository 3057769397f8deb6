"""Contracts of the registered task types whose targets are the labels of a column.

`test_contract_in_runs.py` has those of every type.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

import nlpmtl.tasks as tasks
from nlpmtl.config import LabelledOptions
from nlpmtl.data import Example, Input
from nlpmtl.heads import HeadContext, HeadInputs
from nlpmtl.registry import METRICS, TASKS
from nlpmtl.tasks import Confusion, LabelCounts, RegressionPairs, Task, task_from_config
from tests.heads.transformers_heads import config_of
from tests.tasks.kinds import (
    SPECS,
    TEXT,
    WORDS,
    analyse,
    batch_of,
    config_of_kind,
    decode,
    formatted,
    ids_of,
    logits_of,
    loss,
    make,
    score,
)

pytestmark = pytest.mark.parametrize("kind", SPECS)  # the types whose labels are those of one column


def plain(value: Any) -> bool:
    """Return whether a value contains only built-in types (NumPy's float64 is a subclass of float)."""
    if isinstance(value, dict):
        return all(type(key) is str and plain(inner) for key, inner in value.items())
    if isinstance(value, list):
        return all(map(plain, value))
    return type(value) in (str, int, float, bool, type(None))


def test_a_task_type_is_registered_under_its_kind(kind: str) -> None:
    member = TASKS.get(kind)
    assert issubclass(member, Task)
    assert member.kind == kind
    assert member in {getattr(tasks, name) for name in tasks.__all__}
    assert issubclass(TASKS.options(kind), LabelledOptions)


def test_a_task_is_rebuilt_from_its_saved_config(kind: str) -> None:
    task = make(kind)
    spec = task.to_config()
    assert plain(spec)
    again = task_from_config("t", json.loads(json.dumps(spec)))
    assert again.to_config() == spec
    assert (again.name, again.labels, again.metrics, again.input) == ("t", task.labels, task.metrics, task.input)
    for seed in range(5):
        logits = logits_of(task, seed=seed)
        assert ids_of(again, logits) == ids_of(task, logits)
        assert formatted(again, logits, text=TEXT, words=WORDS) == formatted(task, logits, text=TEXT, words=WORDS)


def test_values_learned_from_train_are_saved(kind: str) -> None:
    """The saved config has everything that predictions depend on."""
    options = TASKS.parse({"kind": kind, "label": "l", **({"labels": ["a", "b"]} if kind == "sentiment" else {})})
    assert isinstance(options, LabelledOptions)
    labels = config_of_kind(kind)["labels"]
    task = tasks.build_task(options, name="t", labels=labels, input=config_of_kind(kind)["input"])
    assert task.labels == tuple(labels)
    again = task_from_config("t", task.to_config())
    assert formatted(again, logits_of(task), text=TEXT, words=WORDS) == formatted(
        task, logits_of(task), text=TEXT, words=WORDS
    )


def test_formatted_predictions_are_plain_python_values(kind: str) -> None:
    task = make(kind)
    for seed in range(5):
        logits = logits_of(task, seed=seed)
        for prediction in (formatted(task, logits), decode(task, logits).value):
            assert plain(prediction)
            json.dumps(prediction, allow_nan=False)


def test_errors_are_counted_by_gold_label(kind: str) -> None:
    """Every row, word or label is counted once, and only correct ones are on the diagonal."""
    task = make(kind)
    predictions = [ids_of(task, logits_of(task, seed=seed)) for seed in range(6)]
    same = analyse(task, predicted=predictions, gold=predictions, names=task.labels)
    if isinstance(same, Confusion):
        cells = same.cells()
        assert np.array_equal(cells.gold, cells.predicted)
        assert cells.counts.sum() == sum(np.size(prediction) for prediction in predictions)
        assert same.unit == ("words" if task.columns["label"] == "tags" else "rows")
    elif isinstance(same, LabelCounts):
        assert same.true_positives.sum() == sum(map(len, predictions))
        assert same.false_negatives.sum() == same.false_positives.sum() == 0
    else:
        assert isinstance(same, RegressionPairs)
        assert same.gold.tolist() == same.predicted.tolist() == predictions


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e4, 1e30])
def test_large_logits_have_finite_predictions(kind: str, scale: float) -> None:
    task = make(kind)
    logits = logits_of(task, scale=scale)
    json.dumps(formatted(task, logits, text=TEXT, words=WORDS), allow_nan=False)
    assert plain(ids_of(task, logits))


def test_decoding_does_not_modify_the_logits(kind: str) -> None:
    task = make(kind)
    logits = logits_of(task)
    before = logits.copy()
    ids_of(task, logits)
    formatted(task, logits, text=TEXT, words=WORDS)
    assert np.array_equal(logits, before, equal_nan=True)


def test_a_loss_is_a_sum_over_rows(kind: str) -> None:
    """Losses and counts of micro-batches add up to those of the batch."""
    task = make(kind)
    logits, labels, _ = batch_of(task)
    total = loss(task, logits, labels)
    assert total.shape == ()
    for cut in (1, 2, 5):
        parts = loss(task, logits[:cut], labels[:cut]) + loss(task, logits[cut:], labels[cut:])
        assert float(parts) == pytest.approx(float(total), rel=1e-5)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    assert float(loss(task, logits[order], labels[order])) == pytest.approx(float(total), rel=1e-5)
    assert float(loss(task, logits[:0], labels[:0])) == 0.0


def test_a_gradient_reaches_every_labelled_row(kind: str) -> None:
    task = make(kind)
    logits, labels, counts = batch_of(task)
    logits.requires_grad_()
    (gradient,) = torch.autograd.grad(loss(task, logits, labels), logits)
    assert torch.isfinite(gradient).all()
    assert all((row.abs().sum() > 0) == (count > 0) for row, count in zip(gradient, counts, strict=True))


def test_a_loss_is_summed_in_single_precision_at_least(kind: str) -> None:
    task = make(kind)
    logits, labels, _ = batch_of(task)
    assert loss(task, logits.bfloat16(), labels).dtype == torch.float32
    assert loss(task, logits.double(), labels).dtype == torch.float64
    half = logits.bfloat16()
    assert torch.equal(loss(task, half, labels), loss(task, half.float(), labels))


def test_heads_have_the_outputs_of_the_task_and_initial_weights_independent_of_other_heads(kind: str) -> None:
    task, config = make(kind), config_of("bert")

    def build(task: Task, seed: int) -> Any:
        return task.build_head(HeadContext(config, seed=seed))

    first = build(task, 3)
    build(make("sentiment"), 8)
    again = build(task, 3)
    hidden, mask = torch.randn(2, 5, config.hidden_size), torch.ones(2, 5, dtype=torch.bool)
    assert first(HeadInputs(hidden, mask)).shape[-1] == task.outputs
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.out.weight, build(task, 4).out.weight)
    assert first.out.weight.std() < 0.04  # initializer_range, 0.02


def test_sequences_of_an_example(kind: str) -> None:
    """One text or pair; words are cut into windows in prediction only."""
    task = make(kind)
    pair = "Turin is in Italy." if task.takes_pairs else None
    example = Example(Input(TEXT, pair, given=WORDS if task.input == "words" else None))
    for predict in (False, True):
        (read,) = task.sequences(example, predict=predict)
        assert (read.text, read.pair) == (TEXT, pair)
        assert read.stride == ("half" if predict and task.columns["label"] == "tags" else None)
        words = None if read.words is None else list(read.words)
        assert words == (WORDS if task.columns["label"] == "tags" else None)


def test_the_gold_label_is_that_of_the_label_column(kind: str) -> None:
    assert make(kind).gold(Example(labels={"label": "a"})) == "a"
    assert make(kind).gold(Example()) is None


def test_gold_predictions_score_best(kind: str) -> None:
    task = make(kind, metrics=None)
    predictions = [ids_of(task, logits_of(task, seed=seed, scale=5)) for seed in range(8)]
    scores = score(task, predicted=predictions, gold=predictions, names=task.labels)
    assert set(scores) == {*task.metrics, "score"}
    for metric in task.metrics:
        assert scores[metric] == pytest.approx(1.0 if METRICS.get(metric).higher_is_better else 0.0)  # type: ignore[attr-defined]
    assert scores["score"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("key", "value"), [("labl", "x"), ("label", 3), ("label", None), ("metrics", "accuracy"), ("metrics", [])]
)
def test_unknown_keys_are_named(kind: str, key: str, value: object) -> None:
    with pytest.raises(ValidationError, match=key):
        TASKS.parse({"kind": kind, "label": "l", "labels": ["a", "b"], key: value})


def test_the_label_column_is_required(kind: str) -> None:
    with pytest.raises(ValidationError, match="label"):
        TASKS.parse({"kind": kind})
