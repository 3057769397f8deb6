"""Label names of every source, from data to a loaded model."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from nlpmtl.errors import ConfigError, DataError
from tests.label_loader import CLASSES, SETS, SOURCES, TAGS, Loader, labels, rows, source, tagged, write


class TestSpellings:
    @pytest.mark.parametrize("kind", SOURCES)
    @pytest.mark.parametrize(
        ("values", "names", "expected"),
        [
            ([10, 2, 1, 2], ("1", "2", "10"), ["10", "2", "1", "2"]),
            ([10, None, -2, 1], ("-2", "1", "10"), ["10", None, "-2", "1"]),
            ([1.0, 2.0, None, 11.0], ("1", "2", "11"), ["1", "2", None, "11"]),
            ([True, False, True], ("false", "true"), ["true", "false", "true"]),
            ([True, None, False], ("false", "true"), ["true", None, "false"]),
            (["1", "10", "9"], ("1", "9", "10"), ["1", "10", "9"]),
            (["b", None, "a"], ("a", "b"), ["b", None, "a"]),
        ],
    )
    def test_a_label_has_one_name_whatever_its_source(
        self, load: Loader, tmp_path: Path, kind: str, values: list[Any], names: Any, expected: list[Any]
    ) -> None:
        work = load(CLASSES, train=source(kind, tmp_path, values))
        assert work.tasks["t"].labels == names
        assert labels(work) == expected

    @pytest.mark.parametrize("kind", SOURCES)
    def test_a_blank_label_is_missing_whatever_its_source(self, load: Loader, tmp_path: Path, kind: str) -> None:
        work = load(CLASSES, train=source(kind, tmp_path, ["1", "2", "", " "]), validation=rows(["1.0", ""]))
        assert work.tasks["t"].labels == ("1", "2")
        assert labels(work) == ["1", "2", None, None]
        assert labels(work, "validation") == ["1", None]

    @pytest.mark.parametrize("dtype", ["Int64", "Float64", "category", "object", "float32"])
    def test_columns_of_pandas(self, load: Loader, dtype: str) -> None:
        frame = pd.DataFrame({"text": ["a"] * 4, "y": pd.Series([10, None, 2, 1]).astype(dtype)})
        work = load(CLASSES, train=frame)
        assert work.tasks["t"].labels == ("1", "2", "10")
        assert labels(work) == ["10", None, "2", "1"]

    def test_scalars_of_numpy_and_missing_values(self, load: Loader) -> None:
        values = [np.int64(3), np.float32(2), np.str_("2"), pd.NA, float("nan"), None, pd.NaT]
        assert labels(load(CLASSES, train=rows(values))) == ["3", "2", "2", None, None, None, None]
        assert labels(load(CLASSES, train=rows([np.bool_(True), False]))) == ["true", "false"]
        assert labels(load(SETS, train=rows([[np.int64(3), 2], np.array([10])]))) == [["3", "2"], ["10"]]

    def test_labels_have_one_spelling_in_all_splits(self, load: Loader, tmp_path: Path) -> None:
        work = load(CLASSES, train=rows([1, 2]), validation=write(tmp_path / "v.csv", [2.0, None, 1.0]))
        assert (work.tasks["t"].labels, labels(work, "validation")) == (("1", "2"), ["2", None, "1"])
        work = load(CLASSES, train=write(tmp_path / "t.csv", [2.0, None, 1.0]), validation=rows([1, 2]))
        assert (work.tasks["t"].labels, labels(work, "validation")) == (("1", "2"), ["1", "2"])
        work = load(CLASSES, train=rows([True, False]), validation=write(tmp_path / "v.csv", [True, False]))
        assert labels(work, "validation") == ["true", "false"]

    def test_booleans_next_to_other_names(self, load: Loader, tmp_path: Path) -> None:
        mixed = [True, False, "maybe"]
        for train, validation in ((rows(mixed), "v.csv"), (write(tmp_path / "t.csv", mixed), "v.jsonl")):
            work = load(CLASSES, train=train, validation=write(tmp_path / validation, mixed))
            assert work.tasks["t"].labels == ("false", "maybe", "true")
            assert labels(work) == labels(work, "validation") == ["true", "false", "maybe"]
        model = load(CLASSES, train=write(tmp_path / "t.csv", mixed)).tasks
        assert model["t"].labels == ("False", "True", "maybe")
        assert labels(load.evaluated(CLASSES, model=model, test=rows(mixed)), "test") == ["True", "False", "maybe"]

    def test_booleans_next_to_numbers_are_noted(self, load: Loader) -> None:
        work = load(CLASSES, train=rows([0, 1, True]))
        assert work.tasks["t"].labels == ("0", "1", "true")
        assert any("'0', '1', 'true' are different labels" in note for note in work.notes)

    def test_decimals_and_signs(self, load: Loader, tmp_path: Path) -> None:
        frame = pd.DataFrame({"text": ["a"] * 3, "y": [Decimal("10.00"), None, Decimal("-2.00")]})
        frame.to_parquet(tmp_path / "x.parquet")
        for train in (frame, str(tmp_path / "x.parquet")):
            work = load(CLASSES, train=train, validation=write(tmp_path / "v.csv", ["+10", "-2", "+10.0"]))
            assert work.tasks["t"].labels == ("-2", "10")
            assert labels(work, "validation") == ["10", "-2", "10"]
            numbers = load({"kind": "regression", "label": "y"}, train=train).splits["train"]["one"].labels["t"]
            assert numbers.values([0, 2]) == [10.0, -2.0]

    def test_a_model_finds_its_labels_in_a_later_file(self, load: Loader, tmp_path: Path) -> None:
        model = load(CLASSES, train=rows([1, 2])).tasks
        evaluated = load.evaluated(CLASSES, model=model, test=write(tmp_path / "x.csv", [2.0, None]))
        assert labels(evaluated, "test") == ["2", None]
        model = load({**CLASSES, "labels": ["no", "yes"]}, train=rows([0, 1])).tasks
        evaluated = load.evaluated({**CLASSES, "labels": ["no", "yes"]}, model=model, test=rows([1, 0]))
        assert labels(evaluated, "test") == ["yes", "no"]

    @pytest.mark.parametrize("kind", SOURCES)
    def test_decimals_have_one_name_whatever_their_source(self, load: Loader, tmp_path: Path, kind: str) -> None:
        train = source(kind, tmp_path, [0.5, 1.0, None, 10.5])
        work = load(CLASSES, train=train, validation=write(tmp_path / "v.csv", ["1.0", "+0.50", "10.5"]))
        assert (work.tasks["t"].labels, labels(work)) == (("0.5", "1", "10.5"), ["0.5", "1", None, "10.5"])
        assert labels(work, "validation") == ["1", "0.5", "10.5"]
        work = load({**CLASSES, "labels": [10.5, 1, 0.5]}, train=train, validation=rows([0.5, 1]))
        assert (work.tasks["t"].labels, labels(work, "validation")) == (("10.5", "1", "0.5"), ["0.5", "1"])

    def test_decimals_of_single_precision(self, load: Loader) -> None:
        frame = pd.DataFrame({"text": ["a"] * 3, "y": np.array([0.1, 2.7, 1.00390625], dtype=np.float32)})
        work = load(CLASSES, train=frame, validation=rows([0.1, "2.7", 1.00390625]))
        assert work.tasks["t"].labels == ("0.1", "1.00390625", "2.7")
        assert labels(work, "validation") == ["0.1", "2.7", "1.00390625"]

    def test_decimals_that_are_codes_are_different_labels(self, load: Loader) -> None:
        work = load(CLASSES, train=rows(["1.1", "1.10", "2.0"]))
        assert work.tasks["t"].labels == ("1.1", "1.10", "2.0")
        assert any("'1.1', '1.10' are equal as numbers" in note for note in work.notes)
        evaluated = load.evaluated(CLASSES, model=work.tasks, test=rows(["1.10", "2.0"]))
        assert labels(evaluated, "test") == ["1.10", "2.0"]

    def test_integers_are_no_indices_into_decimals(self, load: Loader) -> None:
        with pytest.raises(DataError, match="'0' is not in the list"):
            load({**CLASSES, "labels": [0.5, 1.5]}, train=rows([0, 1]))

    def test_unicode_forms_are_one_label_and_a_note_says_so(self, load: Loader) -> None:
        work = load(CLASSES, train=rows(["caf\u00e9", "cafe\u0301", "x"]))
        assert work.tasks["t"].labels == ("caf\u00e9", "x")
        assert any("different Unicode forms" in note and "'t'" in note for note in work.notes)
        work = load({**CLASSES, "labels": ["cafe\u0301", "x"]}, train=rows(["caf\u00e9", "x"]))
        assert labels(work) == ["caf\u00e9", "x"]
        assert not any("Unicode" in note for note in work.notes)
        assert labels(load(SETS, train=rows([["cafe\u0301", "caf\u00e9"], ["x"]]))) == [["caf\u00e9"], ["x"]]

    def test_white_space_around_names_is_removed_and_a_note_says_so(self, load: Loader, tmp_path: Path) -> None:
        work = load(CLASSES, train=rows(["pos", "pos ", "neg"]), validation=rows(["neg", "\u00a0pos"]))
        assert work.tasks["t"].labels == ("neg", "pos")
        assert labels(work, "validation") == ["neg", "pos"]
        (note,) = [note for note in work.notes if "white space" in note]
        assert "task 't': the data have 'pos' with and without white space at its ends" in note
        path = tmp_path / "x.csv"
        path.write_text("text,y\na, pos\nb,neg\nc, \n", encoding="utf-8")
        work = load({**CLASSES, "labels": ["pos ", "neg"]}, train=str(path))
        assert (work.tasks["t"].labels, labels(work)) == (("pos", "neg"), ["pos", "neg", None])
        path.write_text("text,y\na, 1\nb,0 \n", encoding="utf-8")
        assert labels(load({**CLASSES, "labels": ["neg", "pos"]}, train=str(path))) == ["pos", "neg"]
        assert labels(load(SETS, train=rows([["pos", "pos "], ["neg"]]))) == [["pos"], ["neg"]]
        hot = {**SETS, "labels": ["a", "b", "c"]}
        assert labels(load(hot, train=rows([["0", " 1", "1 "], ["1", "0", "0"]]))) == [["b", "c"], ["a"]]
        assert labels(load(TAGS, train=tagged(["B-x ", " O"], ["B-x", "O"]))) == [["B-x", "O"]] * 2

    def test_a_config_lists_numbers_and_booleans(self, load: Loader) -> None:
        assert labels(load({**CLASSES, "labels": [3, 1, 2]}, train=rows([1, 2, 3]))) == ["1", "2", "3"]
        work = load(
            {**CLASSES, "labels": [True, False], "pos_label": True, "metrics": ["f1"]}, train=rows([True, False])
        )
        assert work.tasks["t"].labels == ("true", "false")
        task = {**CLASSES, "labels": [1.0, 2.0], "pos_label": 1, "metrics": ["f1"], "class_weights": {"1": 2.0}}
        assert load(task, train=rows([1, 2])).tasks["t"].labels == ("1", "2")
        for wrong in ([[1], "a"], [None, "a"], [float("nan"), "a"]):
            with pytest.raises(ConfigError, match=r"labels\.0: the name of a label was expected"):
                load({**CLASSES, "labels": wrong}, train=rows(["a"]))
        with pytest.raises(ConfigError, match=r"labels\.1: the name of a label must be valid Unicode"):
            load({**CLASSES, "labels": ["a", "\ud800"]}, train=rows(["a"]))
        with pytest.raises(ConfigError, match="each once"):
            load({**CLASSES, "labels": ["caf\u00e9", "cafe\u0301"]}, train=rows(["x"]))

    def test_a_model_that_training_continues_from_keeps_its_order(self, load: Loader) -> None:
        earlier = load({**CLASSES, "labels": ["b", "a", "caf\u00e9"]}, train=rows(["a", "b"])).tasks
        assert load(CLASSES, earlier=earlier, train=rows(["a", "b"])).tasks["t"].labels == ("b", "a", "caf\u00e9")
        again = {**CLASSES, "labels": ["a", "b", "cafe\u0301"]}
        assert load(again, earlier=earlier, train=rows(["a", "b"])).tasks["t"].labels == ("b", "a", "caf\u00e9")
        with pytest.raises(ConfigError, match="whose labels is"):
            load({**CLASSES, "labels": ["a", "b"]}, earlier=earlier, train=rows(["a", "b"]))
        scale = {"kind": "sentiment", "label": "y"}
        earlier = load({**scale, "labels": ["low", "high"]}, train=rows(["low", "high"])).tasks
        with pytest.raises(ConfigError, match="whose labels is"):
            load({**scale, "labels": ["high", "low"]}, earlier=earlier, train=rows(["low", "high"]))

    def test_an_older_model_keeps_the_spelling_of_its_labels(self, load: Loader) -> None:
        earlier = load({**CLASSES, "labels": ["False", "True", "?"]}, train=rows(["True"])).tasks
        earlier["t"].labels = ("False", "True")
        assert labels(load(CLASSES, earlier=earlier, train=rows([True, False]))) == ["True", "False"]


class TestMissingLabels:
    @pytest.mark.parametrize("marker", ["nan", "NaN", "NA", "NULL", "None", "<NA>", "n/a", " nan"])
    def test_among_numbers_a_cell_is_missing(self, load: Loader, tmp_path: Path, marker: str) -> None:
        path = tmp_path / "x.csv"
        for values, names in ((["1.0", "2.0"], ("1", "2")), (["1.5", "2.0"], ("1.5", "2")), (["True", "False"], None)):
            path.write_text(f"text,y\na,{values[0]}\nb,{marker}\nc,{values[1]}\n", encoding="utf-8")
            work = load(CLASSES, train=str(path), validation=rows(list(names or (True, False))))
            names = names or ("false", "true")
            assert (work.tasks["t"].labels, labels(work)[1]) == (names, None)
            assert set(labels(work, "validation")) == set(names)
            assert any(f"{marker!r} in 1 rows is read as a missing label" in note for note in work.notes)
        path.write_text(f"text,y\na,1.0\nb,{marker}\nc,0.0\n", encoding="utf-8")
        assert labels(load({**CLASSES, "labels": ["neg", "pos"]}, train=str(path))) == ["pos", None, "neg"]

    def test_among_names_it_is_a_label_and_a_note_says_so(self, load: Loader, tmp_path: Path) -> None:
        path = write(tmp_path / "x.csv", ["DE", "NA", "DE"])
        work = load(CLASSES, train=path)
        assert work.tasks["t"].labels == ("DE", "NA")
        assert any("'NA' in 1 rows is read as a label. If it means a missing one" in note for note in work.notes)
        assert not any("'NA'" in note for note in load({**CLASSES, "labels": ["DE", "NA"]}, train=path).notes)
        evaluated = load.evaluated(CLASSES, model=work.tasks, test=path)
        assert (labels(evaluated, "test"), evaluated.notes) == (["DE", "NA", "DE"], ())

    def test_a_declared_label_is_not_missing(self, load: Loader) -> None:
        work = load({**CLASSES, "labels": ["1", "2", "NA"]}, train=rows(["1", "2", "NA"]))
        assert labels(work) == ["1", "2", "NA"]
        assert labels(load.evaluated(CLASSES, model=work.tasks, test=rows(["1", "NA"])), "test") == ["1", "NA"]


class TestIndices:
    def test_integers_are_indices_into_the_declared_labels(self, load: Loader, tmp_path: Path) -> None:
        task = {**CLASSES, "labels": ["neg", "pos"]}
        assert labels(load(task, train=rows([1, 0, None]))) == ["pos", "neg", None]
        assert labels(load(task, train=write(tmp_path / "x.csv", [1.0, 0.0, None]))) == ["pos", "neg", None]
        assert labels(load(task, train=rows(["neg"]), validation=rows([1])), "validation") == ["pos"]
        assert labels(load({**SETS, "labels": ["a", "b", "c"]}, train=rows([[2, 0], []]))) == [["c", "a"], []]
        tags = {**TAGS, "labels": ["O", "B-x", "I-x"]}
        assert labels(load(tags, train=tagged([0, 1, 2], [1]))) == [["O", "B-x", "I-x"], ["B-x"]]

    def test_unless_a_declared_label_is_an_integer(self, load: Loader) -> None:
        assert labels(load({**CLASSES, "labels": ["1", "0"]}, train=rows([0, 1]))) == ["0", "1"]
        with pytest.raises(DataError, match="row 2: y: '2' is not in the list"):
            load({**CLASSES, "labels": ["1", "unknown"]}, train=rows([1, 2]))

    @pytest.mark.parametrize("value", [2, -1, 99])
    def test_an_index_out_of_range(self, load: Loader, value: int) -> None:
        with pytest.raises(DataError, match=f"row 2: y: '{value}' is not in .*indices into `labels`, from 0 to 1"):
            load({**CLASSES, "labels": ["neg", "pos"]}, train=rows([0, value]))

    def test_a_split_of_minus_one_is_unlabelled(self, load: Loader) -> None:
        work = load({**CLASSES, "labels": ["neg", "pos"]}, train=rows([0, 1]), validation=rows([-1, -1]))
        assert labels(work, "validation") == [None, None]

    def test_a_dataset_and_its_parquet_file_have_the_same_classes(self, load: Loader, tmp_path: Path) -> None:
        features = Features(
            text=Value("string"),
            w=List(Value("string")),
            c=ClassLabel(names=["zeta", "alpha"]),
            s=List(ClassLabel(names=["r", "q", "p"])),
            t=List(ClassLabel(names=["O", "B-x"])),
        )
        values = {"text": ["a", "b", "c"], "w": [["a"]] * 3, "c": [1, 0, -1], "s": [[0, 1], [], None]}
        dataset = Dataset.from_dict({**values, "t": [[1], [0], [1]]}, features=features)
        dataset.to_parquet(tmp_path / "x.parquet")
        for train in (dataset, str(tmp_path / "x.parquet")):
            work = load({**CLASSES, "label": "c"}, train=train)
            assert (work.tasks["t"].labels, labels(work)) == (("zeta", "alpha"), ["alpha", "zeta", None])
            work = load({**SETS, "label": "s"}, train=train)
            assert (work.tasks["t"].labels, labels(work)) == (("r", "q", "p"), [["r", "q"], [], None])
            assert labels(load({**TAGS, "label": "t"}, train=train)) == [["B-x"], ["O"], ["B-x"]]
