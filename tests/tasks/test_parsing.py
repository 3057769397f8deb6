"""Dependency parsing: its columns, targets, decoding and reports, and a run from a CoNLL-U file to its predictions."""

from __future__ import annotations

import csv
import json
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

import nlpmtl
from nlpmtl import ConfigError, DataError, Predictor
from nlpmtl.cli import app
from nlpmtl.data import Example, Input, TaskBatch, TokenSequence, join_words, parse_value
from nlpmtl.data.conll import format_conllu
from nlpmtl.data.labels import to_label
from nlpmtl.preflight import check
from nlpmtl.registry import TASKS
from nlpmtl.tasks import Confusion, ExampleOutputs, Parsing, task_from_config
from nlpmtl.tasks.parsing import check_tree
from tests.further_kinds import parsed
from tests.tiny import Trained, write_encoder, write_rows

LABELS = ["det", "nsubj", "nsubj:pass", "root"]
CONLLU = """# sent_id = 1
# text = Dogs don't sing.
1\tDogs\tdog\tNOUN\tNNS\t_\t4\tnsubj\t4:nsubj\t_
2-3\tdon't\t_\t_\t_\t_\t_\t_\t_\t_
2\tdo\tdo\tAUX\tVBP\t_\t4\taux\t4:aux\t_
3\tn't\tnot\tPART\tRB\t_\t4\tadvmod\t4:advmod\t_
4\tsing\tsing\tVERB\tVB\t_\t0\troot\t0:root\tSpaceAfter=No
5\t.\t.\tPUNCT\t.\t_\t4\tpunct\t4:punct\t_

"""


def parser(**changes: Any) -> Parsing:
    config = {"kind": "parsing", "labels": LABELS, "metrics": None, "input": "words", **changes}
    task = task_from_config("t", config)
    assert isinstance(task, Parsing)
    return task


def words(*texts: str) -> Input:
    text, spans = join_words(texts)
    return Input(text, given=spans)


def example(heads: list[int], deprels: list[str], *texts: str) -> Example:
    return Example(words(*(texts or [f"w{i}" for i in range(len(heads))])), labels={"heads": heads, "deprels": deprels})


def sequence(first_tokens: list[int]) -> TokenSequence:
    return TokenSequence(np.arange(20), words=np.array(first_tokens))


@pytest.mark.parametrize(
    ("heads", "problem"),
    [
        ([], "exactly one word must have the head 0"),
        ([2, 1], "exactly one word must have the head 0 (the root), found none"),
        ([0, 0, 1], "found 2: words 1, 2"),
        ([0, 3, 2], "no path leads from the root to the words 2, 3, which contain a cycle"),
        ([0, 2], "no path leads from the root to the words 2"),
        ([0, 4, 1], "word 2 has the head 4, but the sentence has 3 words"),
        ([0, -1], "word 2 has the head -1, but the sentence has 2 words"),
    ],
)
def test_heads_that_are_no_tree(heads: list[int], problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)):
        check_tree(heads)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([2, 0], [2, 0]),
        (["2", "0"], [2, 0]),
        ([" 2", "0.0"], [2, 0]),
        ([2.0, 0.0], [2, 0]),
        (np.array([2, 0]), [2, 0]),
        ([np.int64(2), np.float32(0)], [2, 0]),
        (["_", "_"], None),
        ([None, None], None),
    ],
)
def test_heads_as_sources_have_them(value: Any, expected: list[int]) -> None:
    assert parse_value(value, Example(words("a", "b")), type="heads") == expected


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("2 0", "a list with the head of each word was expected"),
        (["_", "0"], "head 1: a whole number was expected, 0 for the root, found '_'"),
        (["-1", "0"], "word 1 has the head -1, but the sentence has 2 words"),
        ([float("nan"), 0], "head 1: a whole number was expected, 0 for the root, found nan"),
        ([float("inf"), 0], "head 1: a whole number was expected, 0 for the root, found inf"),
        (["1" * 5000, "0"], "head 1: a whole number was expected, 0 for the root, found '111"),
        ([True, 0], "head 1: a whole number was expected"),
        ([10**400, 0], "word 1 has the head 1000"),
        ([0.5, 0], "head 1: a whole number was expected"),
        ([0], "one head per word was expected: 1 heads for 2 words"),
    ],
)
def test_heads_that_are_refused(value: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_value(value, Example(words("a", "b")), type="heads")


@pytest.mark.parametrize(
    ("value", "expected"), [(["det", "root"], ["det", "root"]), (["_", "_"], None), ([None, None], None), (None, None)]
)
def test_relations_as_sources_have_them(value: Any, expected: list[str] | None) -> None:
    assert to_label(value, type="deprels", words=["a", "b"]) == expected


@pytest.mark.parametrize("missing", ["_", None, ""])
def test_a_sentence_with_some_relations_is_refused(missing: str | None) -> None:
    with pytest.raises(ValueError, match="relation 2 is missing"):
        to_label(["root", missing], type="deprels", words=["a", "b"])


def test_targets_are_words_with_a_token_whose_head_has_one() -> None:
    task = parser()
    targets = task.targets(example([2, 0, 2, 3], ["det", "root", "?", "nsubj"]), [sequence([1, 2, 3, -1])])
    assert targets is not None
    assert targets.count == 3
    assert targets.example["heads"].tolist() == [2, 0, 2], "without the words after the last one with a token"
    assert targets.example["relations"].tolist() == [0, 3, -100], "a relation that train does not have"
    assert task.targets(example([0, 1], ["root", "det"]), [sequence([-1, 5])]) is None
    assert task.targets(example([0, 1], ["root", "det"]), [sequence([-1, -1])]) is None


def test_subtypes_are_left_out_everywhere() -> None:
    task = parser(strip_subtypes=True)
    assert task.labels == ("det", "nsubj", "root")
    row = example([2, 0], ["nsubj:pass", "root"])
    assert task.gold(row) == [{"head": 2, "deprel": "nsubj"}, {"head": 0, "deprel": "root"}]
    targets = task.targets(row, [sequence([1, 2])])
    assert targets is not None
    assert targets.example["relations"].tolist() == [1, 2]
    assert task_from_config("t", task.to_config()).to_config() == task.to_config()
    assert parser().gold(row)[0] == {"head": 2, "deprel": "nsubj:pass"}


def test_the_loss_is_the_sum_of_both_cross_entropies() -> None:
    generator = torch.Generator().manual_seed(0)
    arcs, relations = torch.randn(2, 3, 4, generator=generator), torch.randn(2, 3, 4, generator=generator)
    targets = {
        "heads": torch.tensor([[0, 1, 1], [2, 0, -100]]),
        "relations": torch.tensor([[3, 0, -100], [1, 3, -100]]),
    }
    losses = parser().loss({"arcs": arcs, "relations": relations}, TaskBatch(torch.arange(2), targets))
    logs = [values.log_softmax(dim=-1) for values in (arcs, relations)]
    expected = [
        -sum(logs[0][0, i, head] for i, head in enumerate([0, 1, 1])) - logs[1][0, 0, 3] - logs[1][0, 1, 0],
        -sum(logs[0][1, i, head] for i, head in enumerate([2, 0])) - logs[1][1, 0, 1] - logs[1][1, 1, 3],
    ]
    assert losses.tolist() == pytest.approx([float(value) for value in expected], rel=1e-5)


def outputs(heads: list[int]) -> dict[str, list[Any]]:
    """Return outputs in which each head has the logit 2, and the relations of the words the logits 0, 1, …."""
    count = len(heads)
    arcs = np.zeros((count, count + 1), dtype=np.float32)
    arcs[np.arange(count), heads] = 2.0
    relations = np.eye(count, len(LABELS), dtype=np.float32) * 3
    return {"arcs": [arcs], "relations": [relations], "heads": [np.array(heads, dtype=np.float32)]}


def test_the_score_is_the_probability_of_head_and_relation() -> None:
    item = ExampleOutputs(Example(words("a", "b")), [sequence([1, 2])], outputs([2, 0]))
    for temperature in (1.0, 2.0):
        (prediction,) = parser(temperature=temperature).decode([item])
        assert prediction.value == [{"head": 2, "deprel": "det"}, {"head": 0, "deprel": "nsubj"}]
        head = np.exp(2 / temperature) / (np.exp(2 / temperature) + 2)
        relation = np.exp(3 / temperature) / (np.exp(3 / temperature) + 3)
        assert prediction.score == pytest.approx([head * relation] * 2)


def test_words_without_a_token_are_attached_to_the_root() -> None:
    item = ExampleOutputs(Example(words("a", "", "c")), [sequence([1, -1, 2])], outputs([3, 0, 0]))
    (prediction,) = parser().decode([item])
    assert [word["head"] for word in prediction.value] == [3, 3, 0]
    assert prediction.value[1] == {"head": 3, "deprel": "dep"}
    assert prediction.score[1] == 0.0
    truncated = ExampleOutputs(Example(words("a", "b", "c", "d")), [sequence([1, 2, -1, -1])], outputs([2, 0]))
    (prediction,) = parser().decode([truncated])
    assert [(word["head"], word["deprel"]) for word in prediction.value[2:]] == [(2, "dep")] * 2
    assert prediction.score[2:] == [0.0, 0.0]
    nothing = ExampleOutputs(Example(words("", "")), [sequence([-1, -1])], outputs([0, 0]))
    assert parser().decode([nothing])[0].value == [{"head": 0, "deprel": "root"}, {"head": 1, "deprel": "dep"}]


def test_offsets_of_a_prediction() -> None:
    text = Input("Ada  lives.", given=[(0, 3), (5, 10), (10, 11)])
    item = ExampleOutputs(Example(text), [sequence([1, 2, 3])], outputs([2, 0, 2]))
    formatted = parser().format(parser().decode([item])[0], item.example)
    assert [text.text[word["start"] : word["end"]] for word in formatted] == ["Ada", "lives", "."]
    assert list(formatted[0]) == ["word", "start", "end", "head", "deprel", "score"]
    conllu = format_conllu(parser().conllu(formatted) or (), number=3)
    lines = conllu.split("\n")
    assert lines[:2] == ["# sent_id = 3", "# text = Ada lives."]
    assert lines[3] == "2\tlives\t_\t_\t_\t_\t0\tnsubj\t_\tSpaceAfter=No"
    assert lines[5:] == ["", ""]


def test_forms_of_conllu_are_one_line() -> None:
    made = [
        {"form": "\ta\t b\n", "start": 0, "end": 5, "head": 0, "deprel": "root"},
        *({"form": form, "start": 6 + 2 * i, "end": 6 + 2 * i + len(form)} for i, form in enumerate(["", " "])),
    ]
    lines = format_conllu(made, number=1).split("\n")
    assert [line.split("\t")[1] for line in lines[2:5]] == ["a b", "_", "_"]
    assert lines[1] == "# text = a b _ _"
    assert len(lines) == 7
    assert all(line.count("\t") == 9 for line in lines[2:5])
    assert lines[3].startswith("2\t_\t")
    assert format_conllu([], number=1) == ""


def test_calibration_finds_the_temperature() -> None:
    source = np.random.default_rng(0)
    items, gold = [], []
    for _ in range(300):
        made = outputs([2, 0])
        made["arcs"][0] = made["arcs"][0] * 3
        correct = source.random(2) < 0.7
        gold.append(
            [
                {"head": 2 if correct[0] else 0, "deprel": "det"},
                {"head": 0 if correct[1] else 1, "deprel": "nsubj"},
            ]
        )
        items.append(ExampleOutputs(Example(words("a", "b")), [sequence([1, 2])], made))
    task = parser()
    task.calibrate(items, gold)
    assert task.temperature > 1.5, "the heads are right in 70% of the words, at a probability of 99%"


def test_errors_name_the_words_with_both_heads() -> None:
    task, row = parser(), Example(words("Ada", "lives"))
    (prediction,) = task.decode([ExampleOutputs(row, [sequence([1, 2])], outputs([2, 0]))])
    gold = [{"head": 2, "deprel": "nsubj"}, {"head": 0, "deprel": "nsubj"}]
    error = task.row_error(prediction, gold, row)
    assert error is not None
    assert (error.gold, error.predicted) == ("Ada ← lives/nsubj", "Ada ← lives/det")
    assert error.confidence == pytest.approx(prediction.score[0])
    assert task.row_error(prediction, prediction.value, row) is None
    analysis = task.error_analysis([prediction.value], [[gold[0], {"head": 1, "deprel": "unknown"}]])
    assert isinstance(analysis, Confusion)
    assert analysis.unit == "words"
    assert analysis.cells().counts.sum() == 2


def test_baselines_are_trees() -> None:
    train = [[{"head": 2, "deprel": "det"}, {"head": 0, "deprel": "root"}]]
    gold = [train[0], [{"head": 0, "deprel": "root"}]]
    for trees in parser().baselines(train, gold, np.random.default_rng(0)).values():
        for tree, words_ in zip(trees, gold, strict=True):
            assert len(tree) == len(words_)
            check_tree([word["head"] for word in tree])


def test_options() -> None:
    options = TASKS.parse({"kind": "parsing", "heads": "head", "deprels": "deprel", "strip_subtypes": True})
    assert options.label_columns == {"heads": ("head",), "deprels": ("deprel",)}  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="deprels"):
        TASKS.parse({"kind": "parsing", "heads": "head"})
    with pytest.raises(ValueError, match="label"):
        TASKS.parse({"kind": "parsing", "heads": "head", "deprels": "deprel", "label": "x"})


def run_command(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def run_of(directory: Path, rows: Any, **options: Any) -> dict[str, Any]:
    dataset = {
        "data": {"files": {"train": rows, "validation": rows}},
        "input": {"words": "tokens"},
        "tasks": {"tree": {"kind": "parsing", "heads": "heads", "deprels": "deprels", **options}},
    }
    encoder = {"name": str(write_encoder(directory / "encoder", dropout=0.0)), "max_length": 24}
    train = {"steps": 50, "batch_size": 8, "lr": 3e-3, "head_lr": 3e-3}
    return {"output": str(directory / "out"), "encoder": encoder, "datasets": {"trees": dataset}, "train": train}


def test_a_row_that_is_no_tree_is_named(tmp_path: Path) -> None:
    rows = [{"tokens": ["a", "b"], "heads": heads, "deprels": ["root", "det"]} for heads in ([0, 1], [2, 1])]
    path = write_rows(tmp_path / "trees.jsonl", rows)
    with pytest.raises(DataError, match=r"trees.jsonl:2: heads: not a tree: exactly one word must have the head 0"):
        nlpmtl.train(run_of(tmp_path, str(path)))


@pytest.mark.parametrize("separator", [None, " "])
def test_trees_in_a_table(tmp_path: Path, separator: str | None) -> None:
    cells = (["ada", "lives"], [2, 0], ["nsubj", "root"])
    text = [json.dumps(cell) if separator is None else " ".join(map(str, cell)) for cell in cells]
    with (tmp_path / "trees.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("tokens", "heads", "deprels"), text, text])
    run = run_of(tmp_path, str(tmp_path / "trees.csv"))
    if separator:
        run["datasets"]["trees"]["data"]["separator"] = separator
    assert not check(run).notes


def test_relations_that_are_not_known(tmp_path: Path) -> None:
    row = {"tokens": ["ada", "lives"], "heads": [2, 0], "deprels": ["nsubj", "root"]}
    path = write_rows(tmp_path / "train.jsonl", [row])
    other = write_rows(tmp_path / "validation.jsonl", [{**row, "deprels": ["iobj:arg", "root"]}])
    run = run_of(tmp_path, str(path), strip_subtypes=True)
    run["datasets"]["trees"]["data"]["files"]["validation"] = str(other)
    assert check(run).notes == ("trees, validation: labels unknown to task 'tree', scored as errors: iobj:arg",)
    run["datasets"]["trees"]["tasks"]["tree"]["labels"] = ["det", "root"]
    with pytest.raises(DataError, match=r"train.jsonl:1: column 'heads, deprels': task 'tree' does not know.*'nsubj'"):
        check(run)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("parsing")
    source = random.Random(0)
    rows = []
    for _ in range(24):  # the verb is the root, and all other words depend on it
        count = source.randint(2, 6)
        root = source.randrange(count)
        tokens = ["sings" if i == root else source.choice(["ada", "cat", "turin"]) for i in range(count)]
        heads = [0 if i == root else root + 1 for i in range(count)]
        deprels = ["root" if i == root else "nsubj" if i < root else "obj:x" for i in range(count)]
        rows.append({"tokens": tokens, "heads": heads, "deprels": deprels})
    path = write_rows(directory / "trees.jsonl", rows)
    result = nlpmtl.train(run_of(directory, str(path), strip_subtypes=True))
    assert result.scores is not None
    assert result.scores["tree"]["uas"] > 0.95  # type: ignore[operator]
    assert result.scores["tree"]["las"] > 0.9  # type: ignore[operator]
    return result.model_dir


def test_the_words_of_a_long_document_are_attached_to_the_root(model: Path) -> None:
    text = "ada lives in turin " * 10_000
    tree = Predictor.from_pretrained(model).predict(text, task="tree")
    assert len(tree) == 40_000
    assert {word["head"] for word in tree[1000:]} == {1 + next(i for i, w in enumerate(tree) if w["head"] == 0)}


def test_predictions_of_texts_and_words(model: Path) -> None:
    predictor = Predictor.from_pretrained(model)
    tree = predictor.predict("ada cat sings turin", task="tree")
    assert [(word["head"], word["deprel"]) for word in tree] == [(3, "nsubj"), (3, "nsubj"), (0, "root"), (3, "obj")]
    assert all(0 < word["score"] <= 1 for word in tree)
    assert predictor.predict({"words": ["ada", "", "sings"]}, task="tree")[1]["deprel"] == "dep"
    assert predictor.predict("", task="tree") == []
    long = predictor.predict("cat " * 40 + "sings", task="tree")
    check_tree([word["head"] for word in long])
    assert len(long) == 41, "words beyond the maximum length are attached as well"


def test_conllu_of_the_command_line_is_read_back(model: Path, tmp_path: Path) -> None:
    result = run_command("predict", model, "ada sings", "turin sings cat", "--conllu")
    assert result.exit_code == 0, result.stderr
    (tmp_path / "predicted.conllu").write_text(result.stdout, encoding="utf-8")
    sentences = result.stdout.removesuffix("\n\n").split("\n\n")
    assert [sentence.split("\n")[1] for sentence in sentences] == ["# text = ada sings", "# text = turin sings cat"]
    data = {
        "data": {"files": {"test": str(tmp_path / "predicted.conllu")}},
        "input": {"words": "form"},
        "tasks": {"tree": {"kind": "parsing", "heads": "head", "deprels": "deprel"}},
    }
    scores = nlpmtl.evaluate(model, data, split="test")
    assert (scores["tree"]["las"], scores["tree"]["rows"]) == (1.0, 2), "the predictions are read as gold labels"
    refused = run_command("predict", model, "ada", "--conllu", "--output", tmp_path / "o.jsonl")
    assert (refused.exit_code, "--conllu prints to stdout" in refused.stderr) == (2, True)


def test_conllu_needs_a_task_that_predicts_trees(trained: Trained) -> None:
    result = run_command("predict", trained.model_dir, "ada", "--conllu")
    assert result.exit_code == 2
    assert "--conllu writes the trees of one task: no task of this model predicts trees" in result.stderr


def test_exports_name_what_is_possible(model: Path, tmp_path: Path) -> None:
    result = run_command("export", model, "--output", tmp_path / "stock", "--to", "transformers", "--task", "tree")
    assert result.exit_code != 0
    assert "has no equivalent in transformers" in result.stderr
    assert "onnx" not in result.stderr, "its head cannot be traced"


def test_a_key_of_other_kinds_of_task_is_not_advised(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="class_weights: unknown key; did you mean 'weight'"):
        check(run_of(tmp_path, "trees.jsonl", class_weights="balanced"))


def test_files_of_universal_dependencies(tmp_path: Path) -> None:
    (tmp_path / "train.conllu").write_text(CONLLU * 3, encoding="utf-8")
    run = run_of(tmp_path, str(tmp_path / "train.conllu"))
    run["datasets"]["trees"]["input"] = {"words": "form"}
    run["datasets"]["trees"]["tasks"] = {"tree": {"kind": "parsing", "heads": "head", "deprels": "deprel"}}
    result = nlpmtl.train(run, train={"steps": 2})
    assert result.scores is not None
    assert result.scores["tree"]["rows"] == 3
    assert Predictor.from_pretrained(result.model_dir).tasks["tree"].labels == (
        "advmod",
        "aux",
        "nsubj",
        "punct",
        "root",
    )


def test_random_trees_of_the_contract_tests_are_trees() -> None:
    for seed in range(200):
        heads = parsed(random.Random(seed))["heads"]
        if heads is not None:
            check_tree(heads)
