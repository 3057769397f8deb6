"""`nlpmtl predict`: inputs from arguments, files and stdin; predictions as JSON Lines or for reading."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from nlpmtl.cli.predict import _to_lines
from nlpmtl.inference.predictor import Predictor
from nlpmtl.training import hold_lock
from tests.cli.conftest import RunCli

if TYPE_CHECKING:
    from tests.tiny import Trained

SINGLE = {"kinds", "mood", "places", "topic"}


def parse(lines: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.splitlines()]


def test_texts_as_arguments(trained: Trained, run_cli: RunCli) -> None:
    result = run_cli("predict", trained.model_dir, "Ada lives in Turin.", "größer")
    assert (result.exit_code, result.stderr) == (0, "")
    first, second = parse(result.stdout)
    assert first.keys() == {"text", "predictions"}
    assert (first["text"], second["text"]) == ("Ada lives in Turin.", "größer")
    assert first["predictions"].keys() == SINGLE
    expected = Predictor.from_pretrained(trained.model_dir).predict_all(["Ada lives in Turin.", "größer"])
    assert first["predictions"]["topic"] == pytest.approx(expected[0]["topic"])


def test_arguments_in_a_locale_that_is_not_utf_8(trained: Trained, run_cli: RunCli) -> None:
    """Python decodes arguments by the locale's encoding, and keeps bytes that it cannot decode as surrogates."""
    argument = "größer".encode().decode("ascii", "surrogateescape")
    result = run_cli("predict", trained.model_dir, argument)
    assert parse(result.stdout)[0]["text"] == "größer"
    for argument in (b"a \xff".decode("ascii", "surrogateescape"), "a \ud800"):
        result = run_cli("predict", trained.model_dir, argument)
        assert (result.exit_code, result.stderr) == (2, "error: a text is not valid Unicode\n")


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
    name: str, content: str, expected: list[tuple[str, str | None]], trained: Trained, run_cli: RunCli, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    result = run_cli("predict", trained.model_dir, "--input", tmp_path / name)
    assert result.stderr == ""
    rows = parse(result.stdout)
    assert [(row["text"], row.get("pair")) for row in rows] == expected
    assert [row["predictions"].keys() == {"grade"} for row in rows] == [pair is not None for _, pair in expected]


def test_rows_as_in_training(trained: Trained, run_cli: RunCli, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    rows = [{"tokens": ["ada", "sings"], "topic": 1}, {"text": "a", "other": "b", "grade": 2}, {"text": "a"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    first, second, third = parse(run_cli("predict", trained.model_dir, "--input", path).stdout)
    predictor = Predictor.from_pretrained(trained.model_dir)
    assert first["predictions"]["places"] == predictor.predict({"words": ["ada", "sings"]}, task="places")
    assert second["predictions"].keys() == {*SINGLE, "grade"}
    assert third["predictions"].keys() == SINGLE
    result = run_cli("predict", trained.model_dir, "--input", path, "--task", "grade")
    assert result.exit_code == 2
    assert "t.jsonl:1: text: missing or null; expected columns: `text`" in result.stderr
    result = run_cli("predict", trained.model_dir, "--input", path, "--task", "grade", "--on-bad-row", "skip")
    printed = parse(result.stdout)
    assert [row["predictions"] is None for row in printed] == [True, False, True]
    assert "t.jsonl:3: task 'grade' expects a text pair (text, pair), found a single text" in printed[2]["error"]


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "int8"])
def test_a_precision(dtype: str, trained: Trained, run_cli: RunCli) -> None:
    result = run_cli("predict", trained.model_dir, "a cat", "--task", "topic", "--dtype", dtype)
    assert (result.exit_code, result.stderr) == (0, "")
    named: Any = dtype
    expected = Predictor.from_pretrained(trained.model_dir, dtype=named).predict("a cat", task="topic")
    assert parse(result.stdout)[0]["predictions"] == {"topic": pytest.approx(expected)}


def test_an_unknown_precision(trained: Trained, run_cli: RunCli) -> None:
    result = run_cli("predict", trained.model_dir, "a cat", "--dtype", "int4")
    assert result.exit_code == 2
    assert "'int4' is not one of 'fp32', 'bf16', 'int8'" in result.stderr


def test_stdin_to_a_file_in_chunks(trained: Trained, run_cli: RunCli, tmp_path: Path) -> None:
    texts = [f"cat {i}" for i in range(300)]
    output = tmp_path / "new" / "out.jsonl"
    arguments = ["--input", "-", "--output", output, "--task", "topic", "--task", "mood"]
    result = run_cli("predict", trained.model_dir, *arguments, input="\n".join(texts).encode())
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    rows = parse(output.read_text(encoding="utf-8"))
    assert [row["text"] for row in rows] == texts
    assert all(row["predictions"].keys() == {"topic", "mood"} for row in rows)
    assert [path.name for path in output.parent.iterdir()] == ["out.jsonl"]


def test_rows_from_stdin(trained: Trained, run_cli: RunCli) -> None:
    rows = [{"text": "a cat", "id": 1}, {"text": "a dog"}]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    arguments = ["predict", trained.model_dir, "--input", "-", "--task", "topic"]
    result = run_cli(*arguments, input=lines)
    assert [row["text"] for row in parse(result.stdout)] == ["a cat", "a dog"]
    renamed = run_cli(*arguments, "--text-column", "text", input=lines)
    assert renamed.stdout == result.stdout
    texts = run_cli(*arguments, input=b'a cat\n{"text": "a dog"}\n')
    assert [row["text"] for row in parse(texts.stdout)] == ["a cat", '{"text": "a dog"}']
    wrong = run_cli(*arguments, input=lines + b'{"sentence": "a cow"}\n')
    assert wrong.exit_code == 2
    assert "error: stdin:3: text: missing or null" in wrong.stderr


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.jsonl", b'{"text": "a"}\n{"text": 3}\n', "t.jsonl:2: text: a string was expected"),
        ("t.jsonl", b'{"text": "a"}\n{"text"\n', "t.jsonl:2: not valid JSON"),
        ("t.jsonl", b'{"sentence": "a"}\n', "t.jsonl:1: text: missing or null"),
        ("t.jsonl", b'{"words": []}\n', "t.jsonl:1: words: at least one word was expected"),
        ("t.csv", b"text,pair\na,b\nc\n", "t.csv:3: 1 field(s), but the header has 2"),
        ("t.txt", b"a\n\xff\n", "t.txt:2: not valid UTF-8; if the file has another encoding, set it, such as enc"),
    ],
)
def test_a_bad_line_is_named(
    name: str, content: bytes, message: str, trained: Trained, run_cli: RunCli, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    output = tmp_path / "out.jsonl"
    result = run_cli("predict", trained.model_dir, "--input", tmp_path / name, "--output", output)
    assert result.exit_code == 2
    assert message in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "error: no input: pass texts after MODEL, or a file with --input (- is stdin)"),
        (["a", "--input", "-"], "error: pass texts either as arguments or with --input, not both"),
        (["--input", "t.docx"], "error: --input t.docx: the name must end in .txt, .jsonl"),
        (["--input", "none.txt"], "error: none.txt: no such file"),
        (["a", "--output", "out.csv"], "error: --output out.csv: predictions are written as JSON Lines"),
        (["a", "--text-column", "b"], "error: --text-column needs --input: it names a column of it"),
        (["a", "--overwrite"], "error: --overwrite needs --output"),
        (["--input", "t.csv", "--output", "t.docx"], "error: t.csv: no such file"),
        (["a", "--task", "topik"], "error: this model has no task 'topik'; did you mean 'topic'?"),
        (["a", "--task", "grade"], "error: task 'grade' expects a text pair (text, pair), found a single text"),
    ],
)
def test_invalid_arguments(arguments: list[str], message: str, trained: Trained, run_cli: RunCli) -> None:
    result = run_cli("predict", trained.model_dir, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(message)


@pytest.mark.parametrize("arguments", [["a cat"], ["--input", "-"]], ids=["argument", "stdin"])
def test_an_existing_output_of_texts(arguments: list[str], trained: Trained, run_cli: RunCli, tmp_path: Path) -> None:
    """It is replaced as that of a file: with --overwrite only."""
    output, work = tmp_path / "o.jsonl", tmp_path / ".o.jsonl.part"
    output.write_text("old")
    command = ["predict", trained.model_dir, *arguments, "--task", "topic", "--output", output]
    result = run_cli(*command, input=b"a cat\n")
    assert (result.exit_code, result.stderr) == (
        2,
        f"error: --output {output}: it already exists; --overwrite replaces it\n",
    )
    assert output.read_text() == "old"
    assert run_cli(*command, "--overwrite", input=b"a cat\n").exit_code == 0
    assert parse(output.read_text())[0]["text"] == "a cat"
    output.unlink()
    (work / "parts").mkdir(parents=True)
    result = run_cli(*command, input=b"a cat\n")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"error: an interrupted prediction in {work} cannot be resumed: ")
    assert (work / "parts").is_dir()
    with hold_lock(work):
        assert "is in use by another run" in run_cli(*command, "--overwrite", input=b"a cat\n").stderr
    assert run_cli(*command, "--overwrite", input=b"a cat\n").exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["o.jsonl"]


@pytest.mark.parametrize(
    "arguments", [["a cat"], ["--input", "t.txt"], ["--input", "-"], ["--input", "-", "--output", "o.jsonl"]]
)
@pytest.mark.parametrize("size", ["WORLD_SIZE", "OMPI_COMM_WORLD_SIZE"])
def test_several_processes_predict_only_files(
    size: str,
    arguments: list[str],
    trained: Trained,
    run_cli: RunCli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each of them would print all predictions."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(size, "2")
    result = run_cli("predict", trained.model_dir, *arguments, input=b"a cat\n")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "error: several processes predict only files: write --input FILE and --output FILE" in result.stderr


def test_a_file_as_a_text(trained: Trained, run_cli: RunCli, tmp_path: Path) -> None:
    """Without --input, the name of the file would be predicted."""
    path = tmp_path / "new rows.csv"
    path.write_text("text\na cat\n")
    result = run_cli("predict", trained.model_dir, path, "--output", tmp_path / "out.jsonl")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"error: {path} is a file: to predict its rows, write --input '{path}'\n"
    assert run_cli("predict", trained.model_dir, "none.csv").exit_code == 0


def test_a_quote_does_not_join_lines_of_a_tsv_file(trained: Trained, run_cli: RunCli, tmp_path: Path) -> None:
    path = tmp_path / "new.tsv"
    path.write_text('text\tid\nfine\t0\n"a\nb"\t1\nc\t2\n')
    command = ("predict", trained.model_dir, "--input", path, "--task", "topic")
    result = run_cli(*command)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"{path}:3: 1 field(s), but the header has 2" in result.stderr
    rows = parse(run_cli(*command, "--on-bad-row", "skip").stdout)
    assert [row["text"] for row in rows] == ["fine", None, 'b"', "c"]
    assert "1 field(s), but the header has 2" in rows[1]["error"]


@pytest.mark.parametrize(
    ("name", "content", "flags", "expected"),
    [
        ("t.tsv", b'text\n"a\nb "c" d\ne"\n', (), ['"a', 'b "c" d', 'e"']),
        pytest.param(
            "t.tsv",
            "text\ta\r\na\u2028b\t1\r\nc\x0cd\x85e\t2".encode(),
            (),
            ["a\u2028b", "c\x0cd\x85e"],
            marks=pytest.mark.slow,
        ),
        ("t.tsv", b'text\n"a ""b"""\n', ("--quoting", "minimal"), ['a "b"']),
        ("t.tsv", b'text\n"a ""b"""\n', (), ['"a ""b"""']),
        pytest.param("t.csv", b"text,,\na,,\nb\n", (), ["a", "b"], marks=pytest.mark.slow),
        ("t.csv", b'text;n\n"a;b";1\n', ("--delimiter", ";"), ["a;b"]),
        ("t.csv", "text,n\naé,1\n".encode("utf-16"), ("--encoding", "utf-16"), ["aé"]),
        ("t.csv", b"1,a\n2,b\n", ("--header", "n, text"), ["a", "b"]),
        pytest.param(
            "t.tsv", b"a|1\nb|2\n", ("--header", "text,n", "--delimiter", "|"), ["a", "b"], marks=pytest.mark.slow
        ),
        pytest.param(
            "t.jsonl", '{"text": "aé"}\n'.encode("cp1252"), ("--encoding", "cp1252"), ["aé"], marks=pytest.mark.slow
        ),
        pytest.param(
            "t.txt", "aé\r\n\r\nb".encode("utf-16"), ("--encoding", "utf-16"), ["aé", "", "b"], marks=pytest.mark.slow
        ),
        pytest.param("t.txt", b"\xef\xbb\xbfa\rb\r", (), ["a", "b"], marks=pytest.mark.slow),
        ("t.txt", "a\u2028b\nc\x0cd\n".encode(), (), ["a\u2028b", "c\x0cd"]),
    ],
)
def test_each_row_has_one_prediction(
    name: str,
    content: bytes,
    flags: tuple[str, ...],
    expected: list[str],
    trained: Trained,
    run_cli: RunCli,
    tmp_path: Path,
) -> None:
    for path, data in ((tmp_path / name, content), (tmp_path / f"{name}.gz", gzip.compress(content))):
        path.write_bytes(data)
        result = run_cli("predict", trained.model_dir, "--input", path, "--task", "topic", *flags)
        assert (result.exit_code, result.stderr) == (0, "")
        rows = parse(result.stdout)
        assert [row["text"] for row in rows] == expected
        assert all(row["predictions"].keys() == {"topic"} for row in rows)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        (
            "t.tsv",
            b"text\tn\na\t1\nb\n\nc\xff\t1\nd\0\t1\ne\t1\n",
            {3: "1 field(s)", 4: "an empty", 5: "UTF-8", 6: "NUL"},
        ),
        ("t.csv", b'text,n\na,1\n"b,1\nc,1,2\n\n"d",1\ne,1', {3: "not valid csv", 4: "3 field(s)", 5: "an empty line"}),
        pytest.param(
            "t.jsonl",
            b'{"text": "a"}\n{"text"\n\n{"text": null}\n[]\n{"text": "e"}',
            {2: "JSON", 3: "an empty", 4: "null", 5: "JSON object"},
            marks=pytest.mark.slow,
        ),
        pytest.param("t.txt", b"a\n\xff\ne\n", {2: "not valid UTF-8"}, marks=pytest.mark.slow),
    ],
)
def test_a_bad_row_stays_in_the_output_where_they_are_skipped(
    name: str, content: bytes, expected: dict[int, str], trained: Trained, run_cli: RunCli, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    arguments = ["predict", trained.model_dir, "--input", tmp_path / name, "--task", "topic"]
    result = run_cli(*arguments, "--on-bad-row", "skip")
    assert (result.exit_code, result.stderr) == (0, f"{len(expected)} invalid row(s): their predictions are null\n")
    rows = parse(result.stdout)
    null = [row for row in rows if row["predictions"] is None]
    assert [row["error"] for row in null] == [
        next(row["error"] for row in null if rule in row["error"] and f"{name}:{line}: " in row["error"])
        for line, rule in expected.items()
    ]
    good = [row["text"] for row in rows if row["predictions"] is not None]
    assert (good[0], good[-1], len(rows)) == ("a", "e", len(good) + len(expected))
    stopped = run_cli(*arguments)
    assert stopped.exit_code == 2
    assert f"{name}:{min(expected)}: " in stopped.stderr


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("semicolons.csv", "found: sentence, topic; or name the column of the text with --text-column"),
        ("bars.csv", "found: sentence, topic; or name the column of the text with --text-column"),
        ("other.jsonl", "found: txt, topic; did you mean 'text'?"),
        ("other.parquet", "found: txt, topic; did you mean 'text'?; or name the column of the text with --text-column"),
    ],
)
def test_missing_columns_are_reported_with_those_of_the_file(
    name: str, message: str, trained: Trained, run_cli: RunCli, tmp_path: Path
) -> None:
    path = tmp_path / name
    if path.suffix == ".csv":
        path.write_text("sentence;topic\na;b\n" if name == "semicolons.csv" else "sentence|topic\na|b\n")
    elif path.suffix == ".jsonl":
        path.write_text('{"txt": "a", "topic": "b"}\n')
    else:
        pd.DataFrame({"txt": ["a"], "topic": ["b"]}).to_parquet(path)
    result = run_cli("predict", trained.model_dir, "--input", path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.endswith(f"{message}\n")


@pytest.mark.slow
def test_more_rows_than_are_read_ahead_keep_their_order(trained: Trained, run_cli: RunCli, tmp_path: Path) -> None:
    rows = [f"a{i}\t1" if i % 7 else f"b{i}" for i in range(5000)]
    (tmp_path / "t.tsv").write_text("\n".join(["text\tn", *rows]))
    result = run_cli(
        "predict", trained.model_dir, "--input", tmp_path / "t.tsv", "--task", "topic", "--on-bad-row", "skip"
    )
    printed = parse(result.stdout)
    assert [row["text"] for row in printed] == [f"a{i}" if i % 7 else None for i in range(5000)]
    assert [row["predictions"] is None for row in printed] == [i % 7 == 0 for i in range(5000)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a", "--delimiter", ";"], "--delimiter needs --input: it describes the format of that file"),
        (["--input", "-", "--delimiter", ";"], "--delimiter applies to .csv and .tsv files only, found --input -"),
        (
            ["--input", "t.jsonl", "--header", "text"],
            "--header applies to .csv and .tsv files only, found --input t.jsonl",
        ),
        (["--input", "t.csv", "--delimiter", "||"], "--input: delimiter: one character was expected"),
        (["--input", "t.csv", "--encoding", "utf-9"], "--input: encoding: a text encoding that Python knows"),
        (["--input", "t.csv", "--header", "a,a"], "--input: header: true, false, or a list"),
    ],
)
def test_invalid_formats(
    arguments: list[str],
    message: str,
    trained: Trained,
    run_cli: RunCli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("t.jsonl", "t.csv"):
        (tmp_path / name).touch()
    result = run_cli("predict", trained.model_dir, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"error: {message}")


def test_a_directory_without_a_model(run_cli: RunCli, tmp_path: Path) -> None:
    result = run_cli("predict", tmp_path, "a")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: the model '{tmp_path}' cannot be loaded: ")


def test_predictions_for_reading() -> None:
    predictions = {
        "topic": {"label": "animals", "score": 0.5},
        "mood": {"label": "bad", "score": 0.75, "polarity": -0.5},
        "grade": {"value": 3.75},
        "kinds": [{"label": "x", "score": 0.75}, {"label": "y", "score": 0.5}],
        "places": [{"entity_group": "place", "score": 0.5, "word": "New York", "start": 0, "end": 8}],
        "pos": [{"entity": "DET", "word": "the"}, {"entity": "NOUN", "word": "cat"}],
        "none": [],
        "tree": [{"word": "York", "start": 4, "end": 8, "head": 2, "deprel": "flat", "score": 0.5}],
        "vector": [0.25, -0.5, 0.125, 0.0625, 0.75],
        "short": [0.25, -0.5],
        "names": ["password", "wording"],
    }
    assert _to_lines("New York", predictions).splitlines() == [
        "New York",
        "  topic   animals (0.50)",
        "  mood    bad (0.75), polarity -0.50",
        "  grade   3.75",
        "  kinds   x (0.75), y (0.50)",
        "  places  New York/place",
        "  pos     the/DET  cat/NOUN",
        "  none    none",
        "  tree    York/flat:2",
        "  vector  [0.2500, -0.5000, 0.1250, 0.0625, …] (5 numbers)",
        "  short   [0.2500, -0.5000] (2 numbers)",
        "  names   password, wording",
    ]


def test_a_file_to_a_file(trained: Trained, run_cli: RunCli, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("id;review\n007;Ada sings\n008;a cat\n009\n")
    arguments = ["predict", trained.model_dir, "--input", tmp_path / "new.csv", "--output", tmp_path / "out.tsv"]
    result = run_cli(*arguments, "--text-column", "review", "--task", "topic")
    assert result.exit_code == 2
    assert result.stderr.endswith("new.csv:4: 1 field(s), but the header has 2\n")
    result = run_cli(*arguments, "--text-column", "review", "--task", "topic", "--on-bad-row", "skip")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "1 invalid row(s): their predictions are null\n")
    lines = [line.split("\t") for line in (tmp_path / "out.tsv").read_text().splitlines()]
    assert lines[0] == ["id", "review", "topic", "topic_score", "error"]
    assert [line[:2] for line in lines[1:]] == [["007", "Ada sings"], ["008", "a cat"], ["", ""]]
    assert (
        run_cli(*arguments).stderr
        == f"error: --output {tmp_path / 'out.tsv'}: it already exists; --overwrite replaces it\n"
    )


def test_an_interrupted_file(
    trained: Trained, run_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nlpmtl.file_prediction import parts, row_files

    for module in (parts, row_files):
        monkeypatch.setattr(module, "CHUNK_ROWS", 2)
    (tmp_path / "new.txt").write_text("a cat\n" * 5)
    encode = gzip.compress

    def interrupt(content: bytes, **options: Any) -> bytes:
        if len(list((tmp_path / ".out.jsonl.gz.part" / "parts").iterdir())) == 1:
            raise KeyboardInterrupt
        return encode(content, **options)

    arguments = ["predict", trained.model_dir, "--input", tmp_path / "new.txt", "--output", tmp_path / "out.jsonl.gz"]
    monkeypatch.setattr(gzip, "compress", interrupt)
    result = run_cli(*arguments)
    assert result.exit_code == 130
    assert result.stderr.splitlines() == [
        "2 rows are predicted and saved; run the same command again to continue",
        "interrupted",
    ]
    monkeypatch.setattr(gzip, "compress", encode)
    result = run_cli(*arguments)
    assert (result.exit_code, result.stderr) == (0, "2 of 5 rows are predicted already\n")
    assert len(gzip.decompress((tmp_path / "out.jsonl.gz").read_bytes()).splitlines()) == 5
