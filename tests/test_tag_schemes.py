"""Tag schemes of labelings from training to prediction."""

from __future__ import annotations

from pathlib import Path

import pytest

import nlpmtl
from nlpmtl.errors import ConfigError
from tests.label_loader import TAGS, Loader, labels, tagged
from tests.tiny import read_json, train_tiny, write_encoder, write_rows


class TestTagSchemes:
    def test_the_model_has_the_tags_of_bio(self, load: Loader) -> None:
        task = {**TAGS, "scheme": "iob1"}
        work = load(task, train=tagged(["I-x", "I-x", "B-x"], ["O", "I-y"]), validation=tagged(["I-y"]))
        assert labels(work) == [["B-x", "I-x", "B-x"], ["O", "B-y"]]
        assert labels(work, "validation") == [["B-y"]]
        assert work.tasks["t"].to_config()["scheme"] == "bio"
        assert work.tasks["t"].labels == ("B-x", "B-y", "I-x", "O")
        assert work.tasks["t"].metrics == ("span_f1",)
        task = {**TAGS, "scheme": "bioes", "labels": ["O", "S-x", "B-x", "E-x"]}
        work = load(task, train=tagged([0, 1, 2, 3]))
        assert work.tasks["t"].labels == ("O", "B-x", "I-x")
        assert labels(work) == [["O", "B-x", "B-x", "I-x"]]
        evaluated = load.evaluated(task, model=work.tasks, test=tagged(["B-x", "E-x"]))
        assert labels(evaluated, "test") == [["B-x", "I-x"]]

    def test_another_scheme_stops_the_run_and_the_evaluation(self, load: Loader) -> None:
        with pytest.raises(ConfigError, match=r'1 of 1 spans .*word 2: \'I-x\'\. The tags fit scheme = "iob1"'):
            load(TAGS, train=tagged(["O", "I-x"]))
        model = load(TAGS, train=tagged(["O", "B-x"])).tasks
        with pytest.raises(ConfigError, match='fit scheme = "bioes"'):
            load.evaluated(TAGS, model=model, test=tagged(["S-x"]))
        with pytest.raises(ConfigError, match='fit scheme = "plain"'):
            load(TAGS, train=tagged(["NOUN", "VERB"]))
        with pytest.raises(ConfigError, match=r"The tags are integers: .*labels = "):
            load(TAGS, train=tagged([0, 1]))

    @pytest.mark.parametrize(
        ("row", "advice"),
        [
            (["b-per", "i-per", "o"], "write 'B-per' instead of 'b-per'"),
            (["B_PER", "I_PER", "O"], "write 'B-PER' instead of 'B_PER'"),
            (["O", "I:PER", "B:PER"], "write 'I-PER' instead of 'I:PER'"),
            (["B\u2013PER", "O"], "write 'B-PER' instead of 'B\u2013PER'"),
            (["PER-B", "PER-I", "O"], "write 'B-PER' instead of 'PER-B'"),
            (["PER_S", "LOC_B", "LOC_E", "O"], "write 'S-PER' instead of 'PER_S'"),
            (["B", "I", "O"], "write 'B-span' instead of 'B'"),
            (["(PER*)", "*", "(LOC*", "*)"], "brackets of CoNLL-2012"),
            (["(A0*", "*)", "(V*)", "-", "(A1(A2*))"], "brackets of CoNLL-2012"),
            (["PER", "PER", "O"], "write the tags of spans as B-x and I-x"),
        ],
    )
    def test_other_notations_of_spans_are_named(self, load: Loader, row: list[str], advice: str) -> None:
        with pytest.raises(ConfigError) as error:
            load(TAGS, train=tagged(row))
        assert advice in str(error.value)
        assert "fit scheme" not in str(error.value)

    @pytest.mark.parametrize("row", [["NN-HL", "B-HL", "VB"], ["V.B", "N.S", "ADJ"], ["B", "N", "V"], ["(", ")", "NN"]])
    def test_tags_of_other_kinds_are_plain(self, load: Loader, row: list[str]) -> None:
        with pytest.raises(ConfigError, match='fit scheme = "plain"'):
            load(TAGS, train=tagged([tag for tag in row if not tag.startswith("B-")]))
        assert labels(load({**TAGS, "scheme": "plain"}, train=tagged(row))) == [row]

    @pytest.mark.parametrize(
        ("row", "spans"),
        [
            (["B-x", "I-x", "O"], 'the tags fit scheme = "bio"'),
            (["I-x", "I-x", "B-x", "O"], 'the tags fit scheme = "iob1"'),
            (["S-x", "B-x", "E-x", "O"], 'the tags fit scheme = "bioes"'),
            (["U-x", "B-x", "L-x", "O"], 'the tags fit scheme = "bioes"'),
            (["b-x", "i-x", "o"], "write 'B-x' instead of 'b-x'"),
        ],
    )
    def test_tags_of_spans_that_are_read_as_plain_are_noted(self, load: Loader, row: list[str], spans: str) -> None:
        work = load({**TAGS, "scheme": "plain"}, train=tagged(row))
        assert labels(work) == [row]
        (note,) = [note for note in work.notes if "spans" in note]
        assert "task 't': the tags seem to mark spans" in note
        assert note.endswith(spans)

    @pytest.mark.parametrize("row", [["NOUN", "I-ADJ", "B", "O"], ["B-ADJ", "I", "VERB"], ["O", "O", "X"]])
    def test_parts_of_speech_may_have_such_names(self, load: Loader, row: list[str]) -> None:
        work = load({**TAGS, "scheme": "plain"}, train=tagged(row))
        assert labels(work) == [row]
        assert not any("spans" in note for note in work.notes)

    def test_a_model_of_plain_tags_is_evaluated_on_plain_tags(self, load: Loader) -> None:
        model = load({**TAGS, "scheme": "plain"}, train=tagged(["N", "V"])).tasks
        assert labels(load.evaluated(TAGS, model=model, test=tagged(["V"])), "test") == [["V"]]


@pytest.mark.slow
def test_a_run_with_columns_and_another_scheme_from_training_to_prediction(tmp_path: Path) -> None:
    rows = [
        {"w": ["ada", "lives", "in", "rome"], "tags": ["I-person", "O", "O", "I-place"], "x": 1, "z": 0},
        {"w": ["rome", "paris"], "tags": ["I-place", "B-place"], "x": 0, "z": None},
    ]
    tasks = {
        "places": {"kind": "labeling", "label": "tags", "scheme": "iob1"},
        "kinds": {"kind": "multilabel", "label": ["z", "x"]},
    }
    files = {split: str(write_rows(tmp_path / f"{split}.jsonl", rows * 20)) for split in ("train", "validation")}
    dataset = {"data": {"files": files}, "input": {"words": "w"}, "tasks": tasks}
    run = {
        "output": str(tmp_path / "out"),
        "encoder": {"name": str(write_encoder(tmp_path / "encoder", dropout=0.0)), "max_length": 16},
        "datasets": {"one": dataset},
        "train": {"steps": 60, "batch_size": 8, "lr": 5e-3},
    }
    trained = train_tiny(run)
    config = read_json(trained.model_dir / "config.json")["tasks"]
    assert (config["places"]["scheme"], config["places"]["labels"]) == ("bio", ["B-person", "B-place", "O"])
    assert config["kinds"]["labels"] == ["z", "x"]
    assert trained.result.scores is not None
    assert trained.result.scores["places"]["span_f1"] == 1.0
    assert trained.result.scores["kinds"]["rows"] == 20
    assert nlpmtl.evaluate(trained.model_dir, run)["places"]["span_f1"] == 1.0
    spans = nlpmtl.Predictor.from_pretrained(trained.model_dir).predict("Rome Paris", task="places")
    assert [(span["entity_group"], span["word"]) for span in spans] == [("place", "Rome"), ("place", "Paris")]
