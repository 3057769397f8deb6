"""Validation rows with labels that train does not have."""

from __future__ import annotations

from typing import Any

import pytest

from nlpmtl.errors import DataError
from tests.label_loader import CLASSES, SETS, TAGS, Loader, rows, tagged


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

    def test_known_rows_are_scored(self, load: Loader) -> None:
        work = load(CLASSES, train=rows(["a", "b"]), validation=rows(["a", "A"]))
        assert any("scored as errors: A" in note for note in work.notes)
        load(CLASSES, train=rows(["a", "b"]), validation=rows([None]))
        load(SETS, train=rows([["a"], ["b"]]), validation=rows([[]]))
        load(TAGS, train=tagged(["O", "B-x"]), validation=tagged(["O"]))
