"""The code blocks of the documentation run.

docs/maintaining.md, "How the pages are tested", describes the kinds of blocks.
"""

from __future__ import annotations

import csv
import inspect
import json
import re
import shlex
import signal
import sys
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import nlpmtl.run
from docs.docstrings import example
from nlpmtl.config import parse_dataset, parse_override, read_dataset
from nlpmtl.registry import LOSSES, METRICS, OPTIMIZERS, SAMPLERS, SCHEDULES, SHARINGS, TASKS, WEIGHTINGS
from tests.tiny import make_rows, write_encoder, write_rows

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [
    DOCS.parent / "README.md",
    DOCS / "installation.md",
    DOCS / "showcase.md",
    DOCS / "results.md",
    DOCS / "performance.md",
    DOCS / "architecture.md",
    *sorted(DOCS.glob("howto/*.md")),
    *sorted(DOCS.glob("decisions/*.md")),
    DOCS / "reference" / "formats.md",
    DOCS / "reference" / "python.md",
]
FAST = {
    DOCS.parent / "README.md",
    DOCS / "howto" / "first-model.md",
}
"""Pages that the fast tests run: those that a new user reads first."""
ENCODER = "answerdotai/ModernBERT-base"
BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<reason>.+?) -->\n+)?```(?P<tag>\w*|\{eval-rst\})\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
NAME = re.compile(r"# ([\w/-]+\.(?:toml|py))\n")
MAKEFILE = (DOCS.parent / "Makefile").read_text(encoding="utf-8")
NOT_PARSED = {"export", "hf", "pip", "python3", "source"}
SPLITS = {"train": 40, "validation": 12, "test": 12}
DATASET: dict[str, Any] = {
    "data": {"files": {"train": "messages/train.jsonl", "validation": "messages/validation.jsonl"}},
    "input": {"text": "text"},
    "tasks": {"topic": {"kind": "classification", "label": "topic"}},
}
RUN: dict[str, Any] = {"encoder": {"name": ENCODER}, "datasets": {"messages": DATASET}, "train": {"steps": 2}}


class Block(NamedTuple):
    """A fenced code block of a page."""

    page: Path
    line: int
    tag: str
    text: str
    reason: str | None
    """Reason why it is not run in the tests."""

    @property
    def file(self) -> str | None:
        """File name in the first line of the block."""
        match = NAME.match(self.text)
        return match[1] if match else None


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    matched = [
        Block(page, text.count("\n", 0, match.start("text")), match["tag"], match["text"], match["reason"])
        for match in BLOCK.finditer(text)
    ]
    fences = text.count("```")
    assert fences == 2 * len(matched), f"{page}: {fences} fences, but {len(matched)} blocks were parsed"
    return matched


@pytest.fixture(scope="module")
def reader_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data files, and a tiny encoder in a directory with the name of a Hub model."""
    root = tmp_path_factory.mktemp("reader")
    write_encoder(root / ENCODER)
    for split, count in SPLITS.items():
        rows = make_rows(count, seed=count)
        write_rows(root / "messages" / f"{split}.jsonl", rows)
        pq.write_table(pa.Table.from_pylist(rows), root / "messages" / f"{split}.parquet")
        with (root / "messages" / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, ["text", "other", "topic", "mood", "grade"], extrasaction="ignore")
            table.writeheader()
            table.writerows(rows)
    (root / "new.txt").write_text("Ada lives in Turin.\nThe kettle is awful.\n", encoding="utf-8")
    (root / "new.tsv").write_text('1\tAda "lives" in Turin.\n2\n', encoding="utf-8")
    return root


@pytest.fixture
def working_directory(reader_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with the reader's files; registries and modules are restored afterwards."""
    for path in [*reader_files.iterdir(), DOCS.parent / "task_configs"]:
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    registries = (TASKS, SAMPLERS, WEIGHTINGS, SHARINGS, METRICS, LOSSES, OPTIMIZERS, SCHEDULES)
    before = [dict(registry._members) for registry in registries]
    modules = set(sys.modules)
    terminate = signal.getsignal(signal.SIGTERM)
    yield tmp_path
    signal.signal(signal.SIGTERM, terminate)
    for registry, members in zip(registries, before, strict=True):
        registry._members = members
    for name in set(sys.modules) - modules:
        file = getattr(sys.modules[name], "__file__", None)
        if file and Path(file).is_relative_to(tmp_path):
            del sys.modules[name]


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[] if page in FAST else [pytest.mark.slow], id=str(page.relative_to(DOCS.parent)))
        for page in PAGES
    ],
)
def test_page(page: Path, working_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(working_directory)
    names: dict[str, Any] = {"__name__": "__page__"}
    for block in blocks(page):
        match block.tag:
            case "python":
                run_python(block, names)
            case "toml":
                read_toml(block)
            case "json":
                for line in block.text.splitlines():
                    assert isinstance(json.loads(line), dict)
            case "console":
                for line in block.text.splitlines():
                    run_command(line, block=block, monkeypatch=monkeypatch)
            case "text" | "{eval-rst}":
                pass
            case other:
                pytest.fail(f"{page}:{block.line}: unknown block tag {other!r}")


@pytest.mark.slow
def test_examples_of_the_python_api(working_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples in the docstrings of public names run in one namespace, after the blocks of the page."""
    monkeypatch.syspath_prepend(working_directory)
    page = DOCS / "reference" / "python.md"
    names: dict[str, Any] = {"__name__": "__page__"}
    for block in blocks(page):
        if block.tag == "toml":
            read_toml(block)
        elif block.tag == "python":
            run_python(block, names)
    examples = dict(public_examples())
    assert {"nlpmtl.train", "nlpmtl.Predictor", "nlpmtl.MultiTaskModel"} <= examples.keys()
    for name, code in examples.items():
        exec(compile(code, f"example of {name}", "exec"), names)


def public_examples() -> Iterator[tuple[str, str]]:
    """Yield the name and the code of each example in the docstrings of public names and their members."""
    for name in nlpmtl.__all__:
        value = getattr(nlpmtl, name)
        members = vars(value) if inspect.isclass(value) else {}
        documented = {name: value, **{f"{name}.{key}": getattr(value, key) for key in members if key[0] != "_"}}
        for path, member in documented.items():
            if code := example(inspect.getdoc(member) or ""):
                yield f"nlpmtl.{path}", code


def run_python(block: Block, names: dict[str, Any]) -> None:
    # Empty lines first, so that a traceback has the line number of the page.
    code = compile("\n" * block.line + block.text, str(block.page), "exec")
    if block.file is not None:
        Path(block.file).write_text(block.text, encoding="utf-8")
    elif block.reason is None:
        exec(code, names)


def read_toml(block: Block) -> None:
    """Write and validate a complete file; merge a fragment into a small run and validate that."""
    tables = tomllib.loads(block.text)
    dataset = not tables.keys() - {"data", "input", "tasks", "limit"}
    if block.file is not None:
        path = Path(block.file)
        path.write_text(block.text, encoding="utf-8")
        if dataset:
            parse_dataset(read_dataset(path), where=block.file)
        else:
            nlpmtl.run.load_config(path)
    elif dataset:
        parse_dataset({**DATASET, **tables}, where=f"{block.page}:{block.line}")
    else:
        nlpmtl.run.load_config({**RUN, **tables})


def run_command(line: str, *, block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a command of nlpmtl, which must exit with 0, or parse its arguments if the block is not run."""
    assert line.startswith("$ "), f"{block.page}:{block.line}: a command starts with $"
    words = shlex.split(line.removeprefix("$ "), comments=True)
    if words[:2] == ["pip", "install"] or (block.reason is not None and words[0] in NOT_PARSED):
        return
    if words[0] == "make":
        assert f"\n{words[1]}:" in MAKEFILE, f"{block.page}:{block.line}: no target {words[1]}"
        return
    if block.reason is not None and words[:2] == ["python", "-m"] and words[2].startswith("benchmarks."):
        assert find_spec(words[2]) is not None, f"{block.page}:{block.line}: no module {words[2]}"
        return
    position = words.index("nlpmtl")
    if words[1:] == ["--version"]:
        return
    from nlpmtl import cli

    if block.reason is not None:
        parse_arguments(words[position + 1 :])
        return
    assert position == 0, f"{block.page}:{block.line}: launchers are not run in tests: add a reason"
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code, f"{block.page}: {line}: exit code {end.value.code}"


def parse_arguments(words: list[str]) -> None:
    """Fail on an unknown command, option or argument, and on an invalid config."""
    parameters = parse_options(words)
    if words[0] == "train":
        nlpmtl.run.load_config(parameters["run"], overrides=dict(map(parse_override, parameters["overrides"] or ())))


def parse_options(words: list[str]) -> Any:
    """Return the parameters of a command; fail on an unknown command, option or argument."""
    import typer.main

    from nlpmtl import cli

    group: Any = typer.main.get_command(cli.app)
    return group.commands[words[0]].make_context(words[0], words[1:]).params


def test_broken_block_fails(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\n1 / 0\n```\n\n```toml\n[train]\nstep = 3\n```\n", encoding="utf-8")
    python, toml = blocks(page)
    with pytest.raises(ZeroDivisionError):
        run_python(python, {})
    with pytest.raises(nlpmtl.ConfigError, match="unknown key; did you mean 'steps'"):
        read_toml(toml)


@pytest.mark.parametrize(
    "line", ["$ nlpmtl trian run.toml", "$ nlpmtl train run.toml --fast", "$ nlpmtl train no-such"]
)
def test_broken_command_fails(line: str, working_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Block(working_directory, 1, "console", line, None)
    with pytest.raises(AssertionError, match="exit code 2"):
        run_command(line, block=run, monkeypatch=monkeypatch)
    with pytest.raises(Exception, match=r"trian|--fast|no-such"):
        run_command(line, block=run._replace(reason="…"), monkeypatch=monkeypatch)


def test_reason_and_file_name_are_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- not run: needs the Hub -->\n```python\n# my_kinds.py\n1 / 0\n```\n", encoding="utf-8")
    (block,) = blocks(page)
    assert (block.reason, block.file, block.line) == ("needs the Hub", "my_kinds.py", 2)
    monkeypatch.chdir(tmp_path)
    run_python(block, {})
    assert (tmp_path / "my_kinds.py").is_file()
