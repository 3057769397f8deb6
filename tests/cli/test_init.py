"""`nlpmtl init`: from data files to config files, without and with questions, and its errors."""

from __future__ import annotations

import json
import os
import pty
import random
import re
import select
import signal
import subprocess
import sys
import time
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from nlpmtl.data_checks import check_datasets
from nlpmtl.run_config import load_config
from tests.cli.conftest import RunCli

REVIEWS: list[list[Any]] = [
    [f"the {word} was {how}", topic, stars, index % 2, index % 3 // 2]
    for index, (word, how, topic, stars) in enumerate(
        [("kettle", "good", "kitchen", 5), ("spade", "bad", "garden", 1), ("pan", "fine", "kitchen", 2)] * 12
        + [("hose", "so so", "garden", 3), ("mower", "nice", "garden", 4)] * 6
    )
]
HEADER = ["review", "category", "stars", "urgent", "fake"]


def write_csv(path: Path, *, delimiter: str = ",", header: list[str] = HEADER) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [delimiter.join(map(str, row)) for row in [header, *REVIEWS]]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def test_the_next_commands_are_quoted_for_the_shell(directory: Path, run_cli: RunCli) -> None:
    write_csv(Path("reviews.csv"), delimiter=";")
    result = run_cli("init", "reviews.csv", "--output", "my configs")
    assert "  nlpmtl check 'my configs/run.toml'\n  nlpmtl train 'my configs/run.toml'\n" in result.stdout


def test_comments_have_no_control_characters(directory: Path, run_cli: RunCli) -> None:
    rows = [{"review": row[0], "topic": row[1], "\x01no\nte\x7f": "x", "lone\ud800": "y"} for row in REVIEWS]
    Path("reviews.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run_cli("init", "reviews.jsonl", "--output", "my \x01configs").exit_code == 0
    assert load(Path("my \x01configs/reviews.toml"))["tasks"] == {"topic": {"kind": "classification", "label": "topic"}}
    assert "- \\x01no\\nte\\x7f: every value is x" in Path("my \x01configs/reviews.toml").read_text()
    assert load(Path("my \x01configs/run.toml"))["output"] == "runs/reviews"
    assert "nlpmtl train 'my \\x01configs/run.toml'" in Path("my \x01configs/run.toml").read_text()


@pytest.mark.parametrize("words", [True, False])
def test_the_number_of_rows_that_were_looked_at(
    words: bool, directory: Path, run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nlpmtl.init.sample._MAX_CHARACTERS", 500)
    rows = [{"review": row[0].split() if words else row[0], "topic": row[1]} for row in REVIEWS]
    Path("reviews.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = run_cli("init", "reviews.jsonl", *(["--task", "words=review:words"] if words else []))
    first = re.search(r"the columns of only the first (\d+) rows of train", result.stdout)
    assert first, result.stdout
    assert 10 < int(first[1]) < 30 < len(rows)
    assert f"reviews: columns by the first {first[1]} rows of train" in Path("reviews.toml").read_text()


def test_names_that_a_config_file_cannot_contain(directory: Path, run_cli: RunCli) -> None:
    name = os.fsdecode(b"caf\xe9.csv")
    write_csv(Path(name))
    result = run_cli("init", name)
    assert (result.exit_code, list(Path().glob("*.toml"))) == (2, [])
    assert "caf\\udce9.csv: this name is not valid Unicode, so a config file cannot contain it: rename" in result.stderr


def test_config_files_for_a_csv_file(directory: Path, run_cli: RunCli) -> None:
    write_csv(Path("reviews.csv"), delimiter=";")
    result = run_cli("init", "reviews.csv")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "Wrote reviews.toml, run.toml. Next:\n  nlpmtl check run.toml\n  nlpmtl train run.toml\n" in result.stdout
    assert load(Path("reviews.toml")) == {
        "data": {"validation": 0.1, "delimiter": ";", "files": {"train": "reviews.csv"}},
        "input": {"text": "review"},
        "tasks": {
            "category": {"kind": "classification", "label": "category"},
            "stars": {"kind": "sentiment", "label": "stars", "labels": [1, 2, 3, 4, 5]},
            "reviews": {"kind": "multilabel", "label": ["urgent", "fake"]},
        },
    }
    run = load(Path("run.toml"))
    assert (run["output"], run["datasets"]) == ("runs/reviews", {"reviews": {"extends": "reviews.toml"}})
    check_datasets(load_config("run.toml").datasets)
    assert (
        max(len(line) for name in ("reviews", "run") for line in Path(f"{name}.toml").read_text().splitlines()) <= 120
    )


def test_paths_are_relative_to_the_written_files(directory: Path, run_cli: RunCli) -> None:
    write_csv(Path("data/shop/train.csv"))
    write_csv(Path("data/shop/dev.csv"))
    result = run_cli(
        "init", "data/shop/train.csv", "data/shop/dev.csv", "--output", "configs/new", "--encoder", "org/x"
    )
    assert result.exit_code == 0, result.stderr
    files = load(Path("configs/new/shop.toml"))["data"]["files"]
    assert files == {"train": "../../data/shop/train.csv", "validation": "../../data/shop/dev.csv"}
    config = load_config("configs/new/run.toml")
    assert config.encoder.name == "org/x"
    check_datasets(config.datasets)


def test_paths_from_a_linked_directory(directory: Path, run_cli: RunCli) -> None:
    write_csv(Path("work/reviews.csv"))
    Path("elsewhere/configs").mkdir(parents=True)
    Path("work/configs").symlink_to(directory / "elsewhere" / "configs")
    assert run_cli("init", "work/reviews.csv", "--output", "work/configs").exit_code == 0
    check_datasets(load_config("work/configs/run.toml").datasets)


@pytest.mark.parametrize("encoder", ["./models/small", "models/small"])
def test_the_directory_of_an_encoder_is_relative_to_the_run_file(
    directory: Path, run_cli: RunCli, encoder: str
) -> None:
    write_csv(Path("reviews.csv"))
    Path("models/small").mkdir(parents=True)
    for output, name in ((".", "models/small"), ("configs", "../models/small")):
        assert run_cli("init", "reviews.csv", "--output", output, "--encoder", encoder).exit_code == 0
        run = Path(output, "run.toml")
        assert load(run)["encoder"]["name"] == name
        assert Path(load_config(run).encoder.name).resolve() == Path("models/small").resolve()


def test_overrides(directory: Path, run_cli: RunCli) -> None:
    write_csv(Path("reviews.csv"))
    options = ["--task", "rating=stars:regression", "--task", "x=urgent:none", "--task", "real=fake:none"]
    assert run_cli("init", "reviews.csv", *options).exit_code == 0
    assert load(Path("reviews.toml"))["tasks"] == {
        "category": {"kind": "classification", "label": "category"},
        "rating": {"kind": "regression", "label": "stars"},
    }


def test_files_of_several_formats(directory: Path, run_cli: RunCli) -> None:
    write_csv(Path("reviews.csv"))
    Path("news.conll").write_text("Ada NNP B-per\nlives VBZ O\n\nin IN O\nRome NNP B-loc\ntoday NN O\n\n" * 5)
    spans = [{"text": f"Ada met Bo in {city}.", "label": [[0, 3, "per"], [8, 10, "per"]]} for city in ("Rome", "Oslo")]
    Path("notes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in spans * 5))
    result = run_cli("init", "reviews.csv", "news.conll", "notes.jsonl")
    assert result.exit_code == 0, result.stderr
    news, notes = load(Path("news.toml")), load(Path("notes.toml"))
    assert news["tasks"] == {"news": {"kind": "labeling", "label": "tags", "scheme": "bio"}}
    assert news["data"]["columns"] == {"words": 0, "tags": 2}
    assert (notes["input"], notes["tasks"]["notes"]["kind"]) == ({"words": "text"}, "labeling")
    check_datasets(load_config("run.toml").datasets)


def test_spans_with_relations(directory: Path, run_cli: RunCli) -> None:
    rows = [
        {
            "text": f"Ada met Bo in {city}.",
            "entities": [{"start": 0, "end": 3, "label": "per"}, {"start": 8, "end": 10, "label": "per"}],
            "links": [{"head": 0, "tail": 1, "label": "met"}],
        }
        for city in ("Rome", "Oslo")
    ]
    Path("notes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows * 10))
    result = run_cli("init", "notes.jsonl")
    assert result.exit_code == 0, result.stderr
    notes = load(Path("notes.toml"))
    assert notes["input"] == {"text": "text"}
    assert notes["tasks"] == {"entities": {"kind": "spans", "label": "entities", "relations": "links"}}
    check_datasets(load_config("run.toml").datasets)
    result = run_cli("init", "notes.jsonl", "--task", "who=entities:spans", "--output", "chosen")
    assert result.exit_code == 0, result.stderr
    assert load(Path("chosen/notes.toml"))["tasks"]["who"]["relations"] == "links"
    refused = run_cli("init", "notes.jsonl", "--task", "who=text:spans", "--output", "other")
    assert "it has no lists of spans" in refused.stderr


def test_archives_and_single_labels_of_annotation_tools(directory: Path, run_cli: RunCli) -> None:
    rows = [{"id": index, "text": f"text {index}", "label": [["good", "bad"][index % 2]]} for index in range(20)]
    with zipfile.ZipFile("export.zip", "w") as archive:
        archive.writestr("all.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        archive.writestr("unknown.jsonl", "")
    with zipfile.ZipFile("table.zip", "w") as archive:
        archive.writestr("table.csv", "text;stars\n" + "".join(f"text {i}, caf\xe9;{i % 3}\n" for i in range(20)))
    result = run_cli("init", "export.zip", "table.zip")
    assert result.exit_code == 0, result.stderr
    assert load(Path("export.toml"))["tasks"] == {"export": {"kind": "classification", "label": "label"}}
    assert load(Path("table.toml"))["data"]["delimiter"] == ";"
    check_datasets(load_config("run.toml").datasets)


def test_encodings_of_other_files_than_tables(directory: Path, run_cli: RunCli) -> None:
    rows = [{"text": f"text {index}", "label": "ab"[index % 2]} for index in range(20)]
    Path("a.json").write_text(json.dumps(rows), encoding="utf-16")
    result = run_cli("init", "a.json")
    assert result.exit_code == 0, result.stderr
    assert load(Path("a.toml"))["data"]["encoding"] == "utf-16"
    check_datasets(load_config("run.toml").datasets)


def test_invalid_rows(directory: Path, run_cli: RunCli) -> None:
    """Fewer than 1% are skipped, and more are reported, with their place."""
    spans = [{"text": f"Ada met Bo {index}.", "label": [[0, 3, "per"]]} for index in range(300)]
    spans[7]["label"] = [[0, 2, "per"]]
    Path("notes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in spans))
    result = run_cli("init", "notes.jsonl")
    assert result.exit_code == 0
    assert "notes: 1 of 300 rows are invalid (0.3%); they are skipped:\n  notes.jsonl:8: label: " in result.stderr
    assert load(Path("notes.toml"))["data"]["on_bad_row"] == "skip"
    assert "1 of 300 rows are invalid" in Path("notes.toml").read_text()
    spans[8:12] = [spans[7]] * 4
    Path("notes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in spans))
    result = run_cli("init", "notes.jsonl", "--force")
    assert 'correct them, or set data.on_bad_row = "skip"' in result.stderr
    assert "on_bad_row" not in load(Path("notes.toml"))["data"]


def test_existing_files_are_kept(directory: Path, run_cli: RunCli) -> None:
    write_csv(Path("reviews.csv"))
    Path("run.toml").write_text("# mine")
    result = run_cli("init", "reviews.csv")
    assert (result.exit_code, result.stdout) == (2, "")
    assert (
        "run.toml already exists: choose another directory with --output, or replace it with --force" in result.stderr
    )
    assert Path("run.toml").read_text() == "# mine"
    assert not Path("reviews.toml").exists()
    assert run_cli("init", "reviews.csv", "--force").exit_code == 0
    assert Path("run.toml").read_text() != "# mine"


def test_a_dataset_without_labels_is_left_out(directory: Path, run_cli: RunCli) -> None:
    write_csv(Path("reviews.csv"))
    Path("texts.csv").write_text("text\n" + "".join(f"This is text number {n}.\n" for n in range(9)))
    result = run_cli("init", "reviews.csv", "texts.csv")
    assert result.exit_code == 0
    assert "texts: no column can be a label, so no dataset file is written" in result.stderr
    assert "or train only on the texts with --task NAME=text:masked_lm" in result.stderr
    assert not Path("texts.toml").exists()
    result = run_cli("init", "texts.csv", "--force")
    assert result.exit_code == 2
    assert "nothing to train on: choose a column with --task NAME=COLUMN:KIND" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["reviws.csv"], "reviws.csv: no such file; did you mean 'reviews.csv'?"),
        (["reviews.csv", "--task", "x=categry:classification"], "no column 'categry'; did you mean 'category'?"),
        (["reviews.csv", "--task", "x=category:regression"], "'category' cannot be read as regression"),
        (
            ["reviews.csv", "--task", "a=stars:regression", "--task", "b=stars:embedding"],
            "'stars' is already chosen by",
        ),
        (["reviews.csv", "--output", "reviews.csv/x"], "--output: reviews.csv/x: cannot be written: Not a directory"),
        (["empty.csv"], "empty.csv: no rows"),
        (["binary.parquet"], "binary.parquet: cannot be read"),
        (["notes.docx"], "notes.docx: unsupported file type"),
        (["folder"], "folder: a directory that has no .ann files of brat and is not a saved Dataset; name its files"),
    ],
)
def test_errors(directory: Path, run_cli: RunCli, arguments: list[str], message: str) -> None:
    write_csv(Path("reviews.csv"))
    Path("folder").mkdir()
    for name in ("empty.csv", "binary.parquet", "notes.docx"):
        Path(name).write_bytes(b"" if name == "empty.csv" else b"PK\x03\x04 \x00\xff")
    result = run_cli("init", *arguments)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert not list(Path().glob("*.toml"))


SETTINGS = "datasets.reviews."
WITHOUT_TORCH = [
    ["train", "run.toml", "--set", f'{SETTINGS}tasks.category.labels=["kitchen", "office"]'],
    ["predict", "./no-such-model", "a text"],
    ["evaluate", "./no-such-model", "--data", "run.toml", "--split", "train"],
    ["check", "run.toml", "--set", f"{SETTINGS}data.files.train=reviws.csv"],
    ["train", "run.toml", "--set", f"{SETTINGS}tasks.category.label=categry"],
    ["compare", "run.toml", "--set", f'{SETTINGS}tasks.category.metrics=["acuracy"]'],
    ["relate", "run.toml", "--set", "encoder.name=./no-such-model"],
]


@pytest.mark.parametrize("commands", [[], pytest.param(WITHOUT_TORCH, marks=pytest.mark.slow)])
def test_torch_is_not_imported(directory: Path, commands: list[list[str]]) -> None:
    """By a run of the command, and by a mistake in the files of a run.

    A test of the command line has mistakes in a run file that are found before torch is imported.
    """
    write_csv(Path("reviews.csv"))
    code = (
        "import sys\n"
        "from nlpmtl.cli import main\n"
        "sys.argv[0] = 'nlpmtl'\n"
        "try:\n    main()\nexcept SystemExit as end:\n    print('exit', end.code)\n"
        "print('loaded', *sorted({'torch', 'transformers', 'datasets'} & sys.modules.keys()))\n"
    )
    for arguments in [["init", "reviews.csv"], *commands]:
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        command = [sys.executable, "-c", code, *arguments]
        result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, input="")
        assert result.stdout.splitlines()[-2:] == [f"exit {0 if arguments[0] == 'init' else 2}", "loaded"], arguments


def talk(*answers: str, arguments: list[str]) -> tuple[int, str]:
    """Run the command on a terminal, type each answer at its prompt, and return the exit code and the output."""
    process, terminal = pty.fork()
    if process == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell ignores it for its background jobs
        os.execv(sys.executable, [sys.executable, "-m", "nlpmtl", "init", *arguments])
    output, deadline, served, idle = b"", time.monotonic() + 120, 0, 0
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 2)[0]:
            try:
                output += os.read(terminal, 65536)
            except OSError:  # the command ended
                break
        elif prompts := output.count(b"or NAME=COLUMN:KIND): "):  # it waits: a key before its prompt would be lost
            idle = 0 if prompts > served else idle + 1
            if idle % 10 == 0:  # once per prompt, and again if the key was lost
                os.write(terminal, answers[min(prompts, len(answers)) - 1].encode())
            served = prompts
    else:
        os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(status), output.decode()


@pytest.mark.slow
def test_questions_on_a_terminal(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    write_csv(Path("reviews.csv"))
    code, output = talk("rating=stars:regresion\n", "rating=stars:regression\n", "\n", arguments=["reviews.csv"])
    assert code == 0, output
    assert "unknown kind 'regresion'; did you mean 'regression'?" in output
    assert "rating:" in output
    assert load(Path("reviews.toml"))["tasks"]["rating"] == {"kind": "regression", "label": "stars"}


@pytest.mark.slow
@pytest.mark.parametrize("key", ["\x03", "\x04"])  # Ctrl-C, Ctrl-D
def test_an_interrupted_question_writes_nothing(directory: Path, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    write_csv(Path("reviews.csv"))
    code, output = talk(key, arguments=["reviews.csv"])
    assert (code, "Traceback" in output, "interrupted" in output) == (130, False, True), output
    assert not list(Path().glob("*.toml"))


@pytest.mark.slow
def test_a_model_after_init_and_train(directory: Path, run_cli: RunCli, tmp_path: Path) -> None:
    from tests.tiny import write_encoder

    source = random.Random(0)
    rows = ["text,label"]
    for _ in range(80):
        good = source.random() < 0.5
        rows.append(
            f"the {source.choice(['film', 'book'])} was {'great' if good else 'awful'},{'pos' if good else 'neg'}"
        )
    Path("films.csv").write_text("\n".join(rows))
    write_encoder(tmp_path / "encoder")
    assert run_cli("init", "films.csv", "--encoder", "encoder").exit_code == 0
    assert run_cli("check", "run.toml").exit_code == 0
    options = ["--set", "train.lr=5e-3", "--set", "train.precision=fp32"]
    assert run_cli("train", "run.toml", *options).exit_code == 0
    result = run_cli("predict", "runs/films/model", "the book was great")
    assert json.loads(result.stdout)["predictions"]["films"]["label"] == "pos"


@pytest.mark.parametrize(
    ("columns", "task", "commands"),
    [
        ({"review": "a {} text", "topic": "t"}, "topic=topic:classification", ['predict runs/rows/model "A text."']),
        (
            {"sentence1": "a {} text", "sentence2": "other {} text", "same": "t"},
            "same=same:classification",
            [
                """echo '{"text": "A text.", "pair": "Another text."}' > new.jsonl""",
                "predict runs/rows/model --input new.jsonl",
            ],
        ),
        (
            {"question": "a {} text", "choices": ["one {}", "two {}"], "label": "i"},
            "quiz=label:multiple_choice",
            [
                """echo '{"text": "A text.", "choices": ["A choice.", "Another choice."]}' > new.jsonl""",
                "predict runs/rows/model --input new.jsonl",
            ],
        ),
        (
            {"source": "a {} text", "target": "{} text one"},
            "fr=target:translation",
            ['predict runs/rows/model "A text." --task fr'],
        ),
        ({"body": "a {} text"}, "mlm=body:masked_lm", ['predict runs/rows/model "A [MASK]."']),
        ({"body": "a {} text", "topic": "t"}, "mlm=body:masked_lm", ['predict runs/rows/model "A text."']),
        (
            {"query": "a {} text", "positive": "other {} text", "negatives": ["one {}", "two {}"]},
            "x=negatives:negatives",
            ['predict runs/rows/model "A text."'],
        ),
    ],
)
def test_the_run_file_ends_its_comment_with_a_prediction(
    directory: Path, run_cli: RunCli, columns: dict[str, Any], task: str, commands: list[str]
) -> None:
    def cell(value: Any, number: int) -> Any:
        if isinstance(value, list):
            return [cell(item, number) for item in value]
        return {"t": "xy"[number % 2], "i": number % 2}.get(value, value.format(number))

    rows = [{name: cell(value, number) for name, value in columns.items()} for number in range(20)]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = run_cli("init", "rows.jsonl", "--task", task)
    assert result.exit_code == 0, result.stderr
    comment = [line.removeprefix("#     ") for line in Path("run.toml").read_text().splitlines() if "#     " in line]
    assert [line.removeprefix("nlpmtl ") for line in comment[2:]] == commands
    check_datasets(load_config("run.toml").datasets)
