"""Label sets as multi-hot lists or columns of 0 and 1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset

from nlpmtl.errors import ConfigError, DataError
from tests.label_loader import COLUMNS, SETS, Loader, labels, rows


class TestMultiHot:
    @pytest.mark.parametrize(("yes", "no"), [(1, 0), (True, False), (1.0, 0.0), ("1", "0")])
    def test_lists_with_an_entry_for_each_label(self, load: Loader, yes: Any, no: Any) -> None:
        task = {**SETS, "labels": ["a", "b", "c"]}
        work = load(task, train=rows([[no, yes, yes], [no, no, no], None, [yes, no, no]]))
        assert labels(work) == [["b", "c"], [], None, ["a"]]
        assert labels(load({**SETS, "labels": ["a"]}, train=rows([[yes], [no]]))) == [["a"], []]

    def test_arrays_in_a_frame(self, load: Loader) -> None:
        frame = pd.DataFrame({"text": ["a", "b"], "y": [np.array([0.0, 1.0, 1.0]), np.array([1, 0, 0])]})
        assert labels(load({**SETS, "labels": ["a", "b", "c"]}, train=frame)) == [["b", "c"], ["a"]]

    @pytest.mark.parametrize("values", [[[0, 1, 1], [1, 0, 0]], [[True, False], [False, True]], [[1, 0], [0, 1]]])
    def test_without_declared_labels(self, load: Loader, values: list[Any]) -> None:
        with pytest.raises(DataError, match=rf"row 1: y: .*the names of the {len(values[0])} labels .*labels = \["):
            load(SETS, train=rows(values))

    def test_a_list_of_another_length(self, load: Loader) -> None:
        with pytest.raises(DataError, match=r"row 2: y: .* each of the 3 `labels`, found 2"):
            load({**SETS, "labels": ["a", "b", "c"]}, train=rows([[0, 1, 1], [0, 0]]))

    def test_two_labels(self, load: Loader) -> None:
        task = {**SETS, "labels": ["a", "b"]}
        assert labels(load(task, train=rows([[0, 1], [1, 0]]))) == [["b"], ["a"]]
        # If lists have other lengths, they contain indices, in every split.
        work = load(task, train=rows([[0, 1], [1]]), validation=rows([[0, 1]]))
        assert (labels(work), labels(work, "validation")) == ([["a", "b"], ["b"]], [["a", "b"]])

    def test_an_empty_list_does_not_turn_the_others_into_names(self, load: Loader) -> None:
        declared, rule = {**SETS, "labels": ["a", "b"]}, "y: a multi-hot list needs one entry for each of the 2"
        with pytest.raises(DataError, match=rf"train, row 3: {rule} `labels`, found 0"):
            load(declared, train=rows([[1, 0], [0, 1], []]))
        with pytest.raises(DataError, match=rf"validation, row 1: {rule} `labels`, found 0"):
            load(declared, train=rows([[1, 0], [0, 1]]), validation=rows([[]]))
        with pytest.raises(DataError, match=r"row 2: y: .*seem to be multi-hot\. Write the names of the 2 labels"):
            load(SETS, train=rows([[], [1, 0], [0, 1]]))
        assert labels(load(declared, train=rows([[0, 1], [1], []]))) == [["a", "b"], ["b"], []]

    def test_labels_that_are_called_0_and_1(self, load: Loader) -> None:
        assert labels(load({**SETS, "labels": [0, 1]}, train=rows([[0, 1], [1, 0]]))) == [["0", "1"], ["1", "0"]]
        digits = {**SETS, "labels": [0, 1, 2]}
        assert labels(load(digits, train=rows([[0, 1, 1], [1, 0, 0]]))) == [["1", "2"], ["0"]]

    def test_a_name_twice_stays_an_error(self, load: Loader) -> None:
        for values in ([["x", "x"]], [[2, 2]]):
            with pytest.raises(DataError, match=r"row 1: y: duplicate label in the list \(found"):
                load(SETS, train=rows(values))

    def test_lists_with_one_entry(self, load: Loader) -> None:
        with pytest.raises(DataError, match=r'row 1: y: .* multi-hot\. Write the name of the label: labels = \["…"\]'):
            load(SETS, train=rows([[0], [1], [1]]))
        assert labels(load({**SETS, "labels": ["0", "1"]}, train=rows([[0], [1]]))) == [["0"], ["1"]]

    def test_multi_hot_lists_mixed_with_names(self, load: Loader) -> None:
        mixed = (
            r"row 1: y: the list has only 0 and 1, as a multi-hot list, but one: {} has 'a'\. Write all lists in one"
        )
        task = {**SETS, "labels": ["a", "b", "c"]}
        for declared in (task, SETS):
            with pytest.raises(DataError, match=mixed.format("train, row 2")):
                load(declared, train=rows([[0, 1, 1], ["a"]]))
        with pytest.raises(DataError, match=mixed.format("validation, row 1")):
            load(task, train=rows([[0, 1, 1]]), validation=rows([["a"]]))
        with pytest.raises(DataError, match=mixed.format("train, row 2")):
            load(SETS, train=rows([[0, 1], ["a", "b"]]))

    def test_numbers_other_than_0_and_1(self, load: Loader) -> None:
        task = {**SETS, "labels": ["a", "b", "c"]}
        for value in (-1, 0.5):
            with pytest.raises(DataError, match=f"row 1: y: duplicate label in the list; .* found '{value}'"):
                load(task, train=rows([[value, 1, 1]]))
        for declared in ({**SETS, "labels": ["a", "b"]}, SETS):
            with pytest.raises(DataError, match=r"row 1: y: the lists have numbers between 0 and 1, such as 0\.5"):
                load(declared, train=rows([[0.5, 0.0], [1.0, 0.25]]))


class TestColumns:
    def test_every_source_and_spelling(self, load: Loader, tmp_path: Path) -> None:
        path = tmp_path / "x.csv"
        path.write_text("text,toxic,threat\na,0,1\nb,1.0,0.0\nc,True,False\nd,,1\ne,,\n", encoding="utf-8")
        work = load(COLUMNS, train=str(path))
        assert work.tasks["t"].labels == ("toxic", "threat")
        assert labels(work) == [["threat"], ["toxic"], ["toxic"], None, None]
        assert any("1 rows have a value in some of the columns" in note for note in work.notes)
        values = {"toxic": [0, 1, 1, None], "threat": [1.0, 0.0, 1.0, 0.0]}
        frame = pd.DataFrame({"text": ["a"] * 4, **values})
        frame.to_parquet(tmp_path / "x.parquet")
        for train in (frame, Dataset.from_pandas(frame), frame.to_dict("records"), str(tmp_path / "x.parquet")):
            assert labels(load(COLUMNS, train=train)) == [["threat"], ["toxic"], ["toxic", "threat"], None]

    def test_the_order_of_labels(self, load: Loader) -> None:
        train = [{"text": "a", "toxic": True, "threat": False}]
        work = load({**COLUMNS, "labels": ["threat", "toxic"]}, train=train)
        assert (work.tasks["t"].labels, labels(work)) == (("threat", "toxic"), [["toxic"]])
        with pytest.raises(ConfigError, match="`labels` must be the columns of `label`"):
            load({**COLUMNS, "labels": ["threat", "x"]}, train=train)

    def test_other_values_are_bad_rows(self, load: Loader) -> None:
        for value in (2, "yes", 0.5, [1]):
            with pytest.raises(DataError, match="row 1: toxic: 0 or 1 was expected, or true or false"):
                load(COLUMNS, train=[{"text": "a", "toxic": value, "threat": 0}])

    def test_numbers_as_text(self, load: Loader, tmp_path: Path) -> None:
        path = tmp_path / "x.csv"
        path.write_text("text,toxic,threat\na, 1,0.00\nb,1.00, 1\nc,+0,TRUE \n", encoding="utf-8")
        assert labels(load(COLUMNS, train=str(path))) == [["toxic"], ["toxic", "threat"], ["threat"]]

    def test_a_missing_column(self, load: Loader) -> None:
        with pytest.raises(ConfigError, match="column 'threat' not found"):
            load(COLUMNS, train=rows([1], column="toxic"))

    def test_a_split_to_evaluate(self, load: Loader) -> None:
        train = [{"text": "a", "toxic": 1, "threat": 0}]
        evaluated = load.evaluated(COLUMNS, model=load(COLUMNS, train=train).tasks, test=train)
        assert labels(evaluated, "test") == [["toxic"]]
        with pytest.raises(ConfigError, match="column 'threat' not found"):
            load.evaluated(COLUMNS, model=load(COLUMNS, train=train).tasks, test=rows([1], column="toxic"))

    @pytest.mark.parametrize(
        ("task", "message"),
        [
            ({"kind": "classification", "label": ["a", "b"]}, "such as multilabel, takes a list of columns"),
            ({"kind": "multilabel", "label": []}, "at least one column"),
            ({"kind": "multilabel", "label": ["a", "a"]}, "each once"),
            ({"kind": "multilabel", "label": ["a", 1]}, "at least one column"),
        ],
    )
    def test_invalid_lists_of_columns(self, load: Loader, task: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            load(task, train=rows(["x"]))
