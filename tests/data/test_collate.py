"""Batches of rows of several datasets, compared with a plain loop over rows."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nlpmtl.config import DataConfig, InputConfig
from nlpmtl.data import IGNORED, Batch, Collator, LabelMapping, TokenizedSplit
from tests.data.plain_values import plain
from tests.data.uncached import encode, load_rows
from tests.tiny import make_rows
from tests.tiny_tokenizers import token

PAD = 77
ROWS = [{**row, "kinds": None} if i == 7 else row for i, row in enumerate(make_rows(15, seed=4))]
TARGETS = {
    "topic": LabelMapping("topic", "class", ("animals", "places", "things")),
    "kinds": LabelMapping("kinds", "set", ("x", "y", "z")),
    "tags": LabelMapping("tags", "tags", ("O", "B-place", "B-person")),
    "grade": LabelMapping("grade", "number", ()),
}


def encoded(input: dict[str, str], *tasks: str) -> TokenizedSplit:
    rows = load_rows(
        DataConfig(files={"train": ROWS}),
        input=InputConfig(**input),
        columns={TARGETS[task].column: TARGETS[task].type for task in tasks},
    )["train"]
    targets = {task: TARGETS[task] for task in tasks}
    return encode(rows, tokenizer=token(), max_length=64, mappings=targets, train=True)


@cache
def collator(*, types: bool = True) -> Collator:
    """Three datasets: words with three tasks, pairs with two tasks (one shared), and texts with one."""
    datasets = (
        encoded({"words": "tokens"}, "topic", "tags", "kinds"),
        encoded({"text": "text", "pair": "other"}, "grade", "topic"),
        encoded({"text": "other"}, "grade"),
    )
    return Collator(datasets, pad=PAD, types=types)


def ids_of(split: TokenizedSplit, row: int) -> list[int]:
    (sequence,) = split.tokens.sequences([row])
    return list(sequence.ids.tolist())


def types_of(split: TokenizedSplit, row: int) -> list[int]:
    (sequence,) = split.tokens.sequences([row])
    return [0] * len(sequence.ids) if sequence.type_ids is None else list(sequence.type_ids.tolist())


def labels_of(batch: Batch) -> dict[str, dict[int, Any]]:
    return {
        task: dict(zip(part.sequences.tolist(), part.targets["label"].tolist(), strict=True))
        for task, part in batch.tasks.items()
    }


ANY = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 14)), min_size=1, max_size=9)


@settings(deadline=None, max_examples=60)
@given(ANY)
def test_tokens_are_padded_to_the_longest(rows: list[tuple[int, int]]) -> None:
    collate = collator()
    batch = collate(rows)
    lengths = [len(ids_of(collate.datasets[d], r)) for d, r in rows]
    assert batch.input_ids.shape == batch.attention_mask.shape == (len(rows), max(lengths))
    assert batch.input_ids.dtype == batch.attention_mask.dtype == torch.int64
    assert int(batch.attention_mask.sum()) == sum(lengths)
    assert batch.token_type_ids is not None
    for i, ((d, r), length) in enumerate(zip(rows, lengths, strict=True)):
        assert batch.input_ids[i].tolist() == [*ids_of(collate.datasets[d], r), *[PAD] * (max(lengths) - length)]
        assert batch.attention_mask[i].tolist() == [1] * length + [0] * (max(lengths) - length)
        assert batch.token_type_ids[i, :length].tolist() == types_of(collate.datasets[d], r)
        assert batch.token_type_ids[i, length:].sum() == 0


@settings(deadline=None, max_examples=60)
@given(ANY)
def test_task_batches_hold_the_labelled_rows_and_their_labels(rows: list[tuple[int, int]]) -> None:
    datasets = collator().datasets
    batch = collator()(rows)
    labels = labels_of(batch)
    for task in TARGETS:
        carrying = [
            i
            for i, (d, r) in enumerate(rows)
            if task in datasets[d].labels and ROWS[r][TARGETS[task].column] is not None
        ]
        assert list(labels.get(task, {})) == carrying  # ascending, and no task batch without rows
        for i in carrying:
            _, r = rows[i]
            expected = ROWS[r][TARGETS[task].column]
            label = labels[task][i]
            if task == "topic":
                assert TARGETS[task].names[label] == expected
            elif task == "grade":
                assert label == expected
            elif task == "kinds":
                assert [name for name, hot in zip("xyz", label, strict=True) if hot] == expected
            else:
                assert len(label) == batch.input_ids.shape[1]
                assert [TARGETS[task].names[tag] for tag in label if tag != IGNORED] == expected


@settings(deadline=None, max_examples=60)
@given(st.data(), ANY)
def test_the_order_of_rows_only_changes_their_indices(data: st.DataObject, rows: list[tuple[int, int]]) -> None:
    order = data.draw(st.permutations(range(len(rows))))
    batch, moved = collator()(rows), collator()([rows[i] for i in order])
    assert torch.equal(moved.input_ids, batch.input_ids[order])
    assert torch.equal(moved.attention_mask, batch.attention_mask[order])
    labels, others = labels_of(batch), labels_of(moved)
    assert {task: {order[i]: label for i, label in part.items()} for task, part in others.items()} == labels


def test_a_batch_of_one_task_has_one_task_batch() -> None:
    labelled = [(2, r) for r, row in enumerate(ROWS) if row["grade"] is not None]
    batch = collator()(labelled)
    assert list(batch.tasks) == ["grade"]
    assert batch.tasks["grade"].sequences.tolist() == list(range(len(labelled)))
    assert batch.tasks["grade"].targets["label"].shape == (len(labelled),)


def test_a_row_without_labels_is_in_no_task_batch() -> None:
    missing = next(r for r, row in enumerate(ROWS) if row["topic"] is None)
    texts = Collator([encoded({"text": "text"}, "topic")], pad=PAD, types=False)
    assert texts([(0, missing)]).tasks == {}
    assert texts([(0, missing), (0, missing + 1)]).tasks["topic"].sequences.tolist() == [1]


def test_a_text_of_three_tasks_is_tokenised_once() -> None:
    full = next(r for r, row in enumerate(ROWS) if all(row[key] is not None for key in ("topic", "tags", "kinds")))
    batch = collator()([(0, full)])
    assert len(batch.input_ids) == 1
    assert {task: part.sequences.tolist() for task, part in batch.tasks.items()} == {
        "topic": [0],
        "tags": [0],
        "kinds": [0],
    }


def test_a_task_of_two_datasets_is_one_task_batch_in_row_order() -> None:
    labelled = [r for r, row in enumerate(ROWS) if row["topic"] is not None][:3]
    batch = collator()([(1, labelled[0]), (0, labelled[1]), (1, labelled[2])])
    assert batch.tasks["topic"].sequences.tolist() == [0, 1, 2]
    names = TARGETS["topic"].names
    assert [names[i] for i in batch.tasks["topic"].targets["label"].tolist()] == [ROWS[r]["topic"] for r in labelled]


@pytest.mark.parametrize("types", [True, False])
def test_token_type_ids_are_given_to_encoders_that_use_them(types: bool) -> None:
    batch = collator(types=types)([(1, 0), (2, 0)])
    assert set(batch.inputs) == {"input_ids", "attention_mask"} | ({"token_type_ids"} if types else set())
    assert all(value is getattr(batch, name) for name, value in batch.inputs.items())


@pytest.mark.parametrize("types", [True, False])
def test_moving_a_batch_to_a_device_keeps_all_tensors(types: bool) -> None:
    batch = collator(types=types)([(0, 1), (1, 2)])
    moved = batch.to(torch.device("meta"))
    assert moved.inputs.keys() == batch.inputs.keys()
    assert all(value.is_meta and value.shape == batch.inputs[name].shape for name, value in moved.inputs.items())
    assert moved.tasks.keys() == batch.tasks.keys()
    assert all(part.sequences.is_meta and part.targets["label"].is_meta for part in moved.tasks.values())
    assert labels_of(batch.to(torch.device("cpu"))) == labels_of(batch)


class TestRowByRow:
    """Compared with a plain loop over rows."""

    @settings(deadline=None, max_examples=60)
    @given(rows=ANY, types=st.booleans())
    def test_a_batch(self, rows: list[tuple[int, int]], types: bool) -> None:
        collate = collator(types=types)
        batch = collate(rows)
        sequence_length = max(len(ids_of(collate.datasets[d], r)) for d, r in rows)
        ids, mask, segments = [], [], []
        parts: dict[str, list[tuple[int, torch.Tensor]]] = {}
        for i, (d, r) in enumerate(rows):
            source = collate.datasets[d]
            length = len(ids_of(source, r))
            rest = sequence_length - length
            ids.append([*ids_of(source, r), *[PAD] * rest])
            mask.append([1] * length + [0] * rest)
            segments.append([*types_of(source, r), *[0] * rest])
            for task, labels in source.labels.items():
                if labels.counts[r]:
                    label = labels.tensor(
                        [r], first_tokens=source.tokens.take([r]).first_tokens, sequence_length=sequence_length
                    )
                    parts.setdefault(task, []).append((i, label))
        assert torch.equal(batch.input_ids, torch.tensor(ids))
        assert torch.equal(batch.attention_mask, torch.tensor(mask))
        assert (batch.token_type_ids is not None) == types
        if batch.token_type_ids is not None:
            assert torch.equal(batch.token_type_ids, torch.tensor(segments))
        assert batch.tasks.keys() == parts.keys()
        for task, part in batch.tasks.items():
            assert torch.equal(part.sequences, torch.tensor([i for i, _ in parts[task]]))
            expected = torch.cat([label for _, label in parts[task]])
            assert part.targets["label"].dtype == expected.dtype
            assert torch.equal(part.targets["label"], expected)

    @settings(deadline=None, max_examples=60)
    @given(ANY)
    def test_batch_stats(self, rows: list[tuple[int, int]]) -> None:
        datasets = collator().datasets
        totals: dict[str, int] = {}
        items: dict[str, int] = {}
        labelled = []
        for d, r in rows:
            counts = {task: int(labels.counts[r]) for task, labels in datasets[d].labels.items() if labels.counts[r]}
            labelled.append(bool(counts))
            for task, count in counts.items():
                totals[task] = totals.get(task, 0) + 1
                items[task] = items.get(task, 0) + count
        stats = collator().count(rows)
        assert stats.lengths.tolist() == [len(ids_of(datasets[d], r)) for d, r in rows]
        assert stats.labelled.tolist() == labelled
        assert (stats.rows, stats.items) == (totals, items)

    @settings(deadline=None, max_examples=60)
    @given(ANY)
    def test_batch_stats_count_the_rows_and_tokens_of_the_batch(self, rows: list[tuple[int, int]]) -> None:
        batch, stats = collator()(rows), collator().count(rows)
        assert stats.lengths.tolist() == batch.attention_mask.sum(dim=1).tolist()
        assert stats.rows == {task: len(part.sequences) for task, part in batch.tasks.items()}
        assert np.flatnonzero(stats.labelled).tolist() == sorted(
            {i for p in batch.tasks.values() for i in p.sequences.tolist()}
        )
        for task, part in batch.tasks.items():
            assert stats.items[task] == (
                int((part.targets["label"] != IGNORED).sum()) if task == "tags" else len(part.sequences)
            )


def test_batch_stats_are_python_ints_that_do_not_overflow() -> None:
    stats = collator().count([(2, 1)] * 300)  # counts are stored as bytes
    assert stats.rows == stats.items == {"grade": 300}
    assert {type(count) for count in (*stats.rows.values(), *stats.items.values())} == {int}


def test_batch_stats_without_rows() -> None:
    stats = collator().count([])
    assert (len(stats.lengths), len(stats.labelled), stats.rows, stats.items) == (0, 0, {}, {})


def test_writing_to_a_batch_leaves_the_datasets_unchanged() -> None:
    before = [plain(source.tokens) for source in collator().datasets]
    batch = collator()([(0, 1), (1, 2), (2, 3)])
    for tensor in (*batch.inputs.values(), *(part.targets["label"] for part in batch.tasks.values())):
        tensor.zero_()
    assert [plain(source.tokens) for source in collator().datasets] == before
