"""Validation rows with labels that train does not have."""

from __future__ import annotations

from typing import Any

import pytest

from nlpmtl.errors import DataError
from tests.label_loader import CLASSES, SETS, TAGS, Loader, rows, tagged

SPANS: dict[str, Any] = {"kind": "spans", "label": "y"}
PARSING: dict[str, Any] = {"kind": "parsing", "heads": "h", "deprels": "d"}
SOFT: dict[str, Any] = {**CLASSES, "soft": "soft"}
SOFT_SETS: dict[str, Any] = {**SETS, "soft": "soft"}


class TestUnknownLabels:
    @pytest.mark.parametrize(
        ("task", "train", "validation", "message"),
        [
            (CLASSES, ["pos", "neg"], ["Pos", None, "NEG"], "did you mean 'pos'"),
            (CLASSES, [1, 2], ["one"], "known: 1, 2"),
            (SETS, [["pos"], ["neg"]], [[], ["POS", "x"]], "found 'POS', 'x'; did you mean 'pos'"),
            ({"kind": "sentiment", "label": "y", "labels": ["a", "b"]}, ["a", "b"], ["A"], "did you mean 'a'"),
        ],
    )
    def test_unknown_validation_labels_stop_a_run_before_training(
        self, load: Loader, task: dict[str, Any], train: list[Any], validation: list[Any], message: str
    ) -> None:
        with pytest.raises(DataError, match=r"one: validation, row .: task 't': no label of the validation") as caught:
            load(task, train=rows(train), validation=rows(validation))
        assert message in str(caught.value)

    def test_tags(self, load: Loader) -> None:
        with pytest.raises(DataError, match="found 'B-Per'; did you mean 'B-per'"):
            load(TAGS, train=tagged(["O", "B-per"]), validation=tagged(["O", "B-Per"]))
        with pytest.raises(DataError, match="found 'n', 'v'"):
            load({**TAGS, "scheme": "plain"}, train=tagged(["N", "V"]), validation=tagged(["n", "v"]))

    @pytest.mark.parametrize(
        ("task", "key", "train", "validation", "message"),
        [
            (SPANS, "y", [[0, 1, "person"]], [[0, 1, "PERSON"]], "found 'PERSON'; did you mean 'person'"),
            (SOFT, "y", "pos", "POS", "found 'POS'; did you mean 'pos'"),
            (SOFT_SETS, "y", ["pos"], ["POS"], "found 'POS'; did you mean 'pos'"),
            (PARSING, "d", ["det", "root"], ["DET", "ROOT"], "found 'DET', 'ROOT'"),
            ({**PARSING, "strip_subtypes": True}, "d", ["det", "root:x"], ["DET:y", "ROOT"], "found 'DET:y', 'ROOT'"),
        ],
    )
    def test_types_that_compute_their_targets(
        self, load: Loader, task: dict[str, Any], key: str, train: Any, validation: Any, message: str
    ) -> None:
        row = {"text": "a cat", "w": ["a", "cat"], "h": [2, 0], "soft": {"pos": 0.5, "neg": 0.5}}
        with pytest.raises(DataError, match="one: validation, row 2: task 't': no label of the validation") as caught:
            load(task, train=[{**row, key: train}], validation=[{**row, key: None}, {**row, key: validation}])
        assert message in str(caught.value)
        both = [{**row, key: validation}, {**row, key: train}]
        work = load(task, train=[{**row, key: train}], validation=both)
        assert any("scored as errors" in note for note in work.notes)

    def test_relations(self, load: Loader) -> None:
        spans = [[0, 1, "x"], [2, 5, "x"]]
        train, other, none = (
            {"text": "a cat", "y": spans, "r": [{"head": 0, "tail": 1, "label": name}] if name else []}
            for name in ("in", "IN", "")
        )
        task = {**SPANS, "relations": "r"}
        with pytest.raises(DataError, match=r"row 1: task 't': no name in `relations` of the validation .* found 'IN'"):
            load(task, train=[train], validation=[other])
        load(task, train=[train], validation=[none])
        assert any("errors: IN" in note for note in load(task, train=[train], validation=[train, other]).notes)

    def test_known_rows_are_scored(self, load: Loader) -> None:
        work = load(CLASSES, train=rows(["a", "b"]), validation=rows(["a", "A"]))
        assert any("scored as errors: A" in note for note in work.notes)
        load(CLASSES, train=rows(["a", "b"]), validation=rows([None]))
        load(SETS, train=rows([["a"], ["b"]]), validation=rows([[]]))
        load(TAGS, train=tagged(["O", "B-x"]), validation=tagged(["O"]))
