"""Texts from everywhere, answers as JSON Lines or for a person."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nlpmtl.cli.predict import _to_lines
from nlpmtl.predictor import Predictor
from tests.cli.conftest import Nlpmtl

if TYPE_CHECKING:
    from tests.tiny import Trained

SINGLE = {"kinds", "mood", "places", "topic"}


def parse(lines: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.splitlines()]


def test_texts_as_arguments(trained: Trained, nlpmtl_: Nlpmtl) -> None:
    done = nlpmtl_("predict", trained.model_dir, "Ada lives in Turin.", "größer")
    assert (done.exit_code, done.stderr) == (0, "")
    first, second = parse(done.stdout)
    assert first.keys() == {"text", "predictions"}
    assert (first["text"], second["text"]) == ("Ada lives in Turin.", "größer")
    assert first["predictions"].keys() == SINGLE
    expected = Predictor.from_pretrained(trained.model_dir).predict_all(["Ada lives in Turin.", "größer"])
    assert first["predictions"]["topic"] == pytest.approx(expected[0]["topic"])


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("t.txt", "a cat\n\na dog", [("a cat", None), ("", None), ("a dog", None)]),
        (
            "t.jsonl",
            '{"text": "a"}\n{"text": "b", "pair": "c"}\n{"words": ["x", "y"]}\n{"text": "d", "pair": null}\n',
            [("a", None), ("b", "c"), ("x y", None), ("d", None)],
        ),
        ("t.csv", "text,pair\na,\nb,c\n", [("a", None), ("b", "c")]),
    ],
)
def test_texts_from_files(
    name: str, content: str, expected: list[tuple[str, str | None]], trained: Trained, nlpmtl_: Nlpmtl, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    done = nlpmtl_("predict", trained.model_dir, "--input", tmp_path / name)
    assert done.stderr == ""
    found = parse(done.stdout)
    assert [(one["text"], one.get("pair")) for one in found] == expected
    assert [one["predictions"].keys() == {"grade"} for one in found] == [pair is not None for _, pair in expected]


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "int8"])
def test_a_precision(dtype: str, trained: Trained, nlpmtl_: Nlpmtl) -> None:
    done = nlpmtl_("predict", trained.model_dir, "a cat", "--task", "topic", "--dtype", dtype)
    assert (done.exit_code, done.stderr) == (0, "")
    named: Any = dtype
    expected = Predictor.from_pretrained(trained.model_dir, dtype=named).predict("a cat", task="topic")
    assert parse(done.stdout)[0]["predictions"] == {"topic": pytest.approx(expected)}


def test_a_precision_that_there_is_not(trained: Trained, nlpmtl_: Nlpmtl) -> None:
    done = nlpmtl_("predict", trained.model_dir, "a cat", "--dtype", "int4")
    assert done.exit_code == 2
    assert "'int4' is not one of 'fp32', 'bf16', 'int8'" in done.stderr


def test_stdin_to_a_file_in_chunks(trained: Trained, nlpmtl_: Nlpmtl, tmp_path: Path) -> None:
    texts = [f"cat {i}" for i in range(300)]
    output = tmp_path / "new" / "out.jsonl"
    arguments = ["--input", "-", "--output", output, "--task", "topic", "--task", "mood"]
    done = nlpmtl_("predict", trained.model_dir, *arguments, input="\n".join(texts).encode())
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "")
    found = parse(output.read_text(encoding="utf-8"))
    assert [one["text"] for one in found] == texts
    assert all(one["predictions"].keys() == {"topic", "mood"} for one in found)
    assert [path.name for path in output.parent.iterdir()] == ["out.jsonl"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.jsonl", b'{"text": "a"}\n{"text": 3}\n', "t.jsonl:2: text: a string was expected"),
        ("t.jsonl", b'{"text": "a"}\n{"text"\n', "t.jsonl:2: not valid JSON"),
        ("t.jsonl", b'{"sentence": "a"}\n', "t.jsonl:1: text: null, or not there"),
        ("t.jsonl", b'{"words": []}\n', "t.jsonl:1: words: at least one word was expected"),
        ("t.csv", b"text,pair\na,b\nc\n", "t.csv:3: 1 field(s) under a header of 2"),
        ("t.txt", b"a\n\xff\n", "t.txt:2: not valid UTF-8"),
    ],
)
def test_a_bad_line_is_named(
    name: str, content: bytes, said: str, trained: Trained, nlpmtl_: Nlpmtl, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    output = tmp_path / "out.jsonl"
    done = nlpmtl_("predict", trained.model_dir, "--input", tmp_path / name, "--output", output)
    assert done.exit_code == 2
    assert said in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "error: no text: write it after the model, or name a file with --input (- is stdin)"),
        (["a", "--input", "-"], "error: texts come as arguments or from --input, not from both"),
        (["--input", "t.docx"], "error: --input t.docx: the name of a file of texts ends in .txt or .jsonl"),
        (["--input", "none.txt"], "error: none.txt: no such file"),
        (["a", "--output", "out.csv"], "error: --output out.csv: answers are JSON Lines"),
        (["a", "--task", "topik"], "error: this model has no task 'topik'; did you mean 'topic'?"),
        (["a", "--task", "grade"], "error: task 'grade' reads a pair (text, pair), and was given a single text"),
    ],
)
def test_what_cannot_be_asked(arguments: list[str], said: str, trained: Trained, nlpmtl_: Nlpmtl) -> None:
    done = nlpmtl_("predict", trained.model_dir, *arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(said)


def test_a_model_that_is_none(nlpmtl_: Nlpmtl, tmp_path: Path) -> None:
    done = nlpmtl_("predict", tmp_path, "a")
    assert done.exit_code == 2
    assert done.stderr.startswith(f"error: the model '{tmp_path}' cannot be loaded: ")


def test_answers_for_a_person() -> None:
    answers = {
        "topic": {"label": "animals", "score": 0.5},
        "mood": {"label": "bad", "score": 0.75, "polarity": -0.5},
        "grade": {"value": 3.75},
        "kinds": [{"label": "x", "score": 0.75}, {"label": "y", "score": 0.5}],
        "places": [{"entity_group": "place", "score": 0.5, "word": "New York", "start": 0, "end": 8}],
        "pos": [{"entity": "DET", "word": "the"}, {"entity": "NOUN", "word": "cat"}],
        "none": [],
    }
    assert _to_lines("New York", answers).splitlines() == [
        "New York",
        "  topic   animals (0.50)",
        "  mood    bad (0.75), polarity -0.50",
        "  grade   3.75",
        "  kinds   x (0.75), y (0.50)",
        "  places  New York/place",
        "  pos     the/DET  cat/NOUN",
        "  none    none",
    ]
