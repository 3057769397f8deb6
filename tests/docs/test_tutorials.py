"""The tutorials: valid notebooks with stored outputs, whose commands parse; a slow test runs them in a kernel."""

from __future__ import annotations

import getpass
import re
import shlex
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from docs.tutorials import execute, make_data
from tests.docs.test_howto import DOCS, parse_options

NOTEBOOKS = sorted((DOCS / "tutorials").glob("*.ipynb"))
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")
MACHINE_PATH = re.compile(r"(?<![\w.:/])/(?:home|root|tmp|usr|opt|work|var|private|mnt|Users)/|[A-Z]:\\")
HTML_CELL = re.compile(r"<tr[^>]*>\s*<t[hd][^>]*>(.*?)</t[hd]>", re.DOTALL)
RULE = "─" * 4
FAILED = re.compile(r"^(?:error: .*|Traceback .*|Error: .*|.*command not found.*)$", re.MULTILINE)

by_name = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def texts(cell: Any) -> Iterator[str]:
    """Yield the text of the outputs of a cell."""
    for output in cell.outputs:
        if output.output_type == "stream":
            yield output.text
        else:
            yield from (text for kind, text in sorted(output.get("data", {}).items()) if kind.startswith("text/"))


def first_cells(text: str) -> list[str]:
    """Return the first cell of each row of the tables in an output.

    >>> first_cells(" task    rows \\n ──────────── \\n topic      8 \\n\\nmodel: x")
    ['topic']
    """
    if "<table" in text:
        return [re.sub(r"<[^>]+>", "", cell).strip() for cell in HTML_CELL.findall(text)]
    rows, in_table = list[str](), False
    for line in text.splitlines():
        if RULE in line:
            in_table = True
        elif not line.strip():
            in_table = False
        elif in_table and line.startswith(" ") and not line.startswith("  "):
            rows.append(line.split()[0])
    return rows


def structure(notebook: Any) -> list[Any]:
    """Return what must be equal from run to run: the sources, the kinds of outputs, and the rows of tables."""
    return [
        (
            cell.source,
            [(output.output_type, output.get("name"), sorted(output.get("data", ()))) for output in cell.outputs],
            [first_cells(text) for text in texts(cell)],
        )
        for cell in code_cells(notebook)
    ]


def failures(notebook: Any) -> list[str]:
    """Return the errors of cells, and of commands in cells, which do not stop a notebook."""
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    errors = [output.evalue for output in outputs if output.output_type == "error"]
    return errors + [line for text in map(FAILED.findall, streams(outputs)) for line in text]


def streams(outputs: list[Any]) -> list[str]:
    return [output.text for output in outputs if output.output_type == "stream"]


@by_name
def test_stored_outputs(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), "run `make notebooks`"
    assert not failures(notebook)
    found = [text for cell in cells for text in (cell.source, *texts(cell)) if MACHINE_PATH.search(text)]
    assert not found


@by_name
def test_commands_parse(path: Path) -> None:
    commands = [
        line.removeprefix("!")
        for cell in code_cells(read(path))
        for line in cell.source.splitlines()
        if line.startswith("!") and "nlpmtl" in line
    ]
    for command in commands:
        words = shlex.split(command)
        parse_options(words[words.index("nlpmtl") + 1 :])
    assert commands or "nlpmtl." in "".join(cell.source for cell in code_cells(read(path)))


@by_name
def test_links(path: Path) -> None:
    cells = [cell.source for cell in read(path).cells if cell.cell_type == "markdown"]
    links = [link for text in cells for link in LINK.findall(text)]
    assert links
    assert not [link for link in links if not (path.parent / link).exists()]


def test_the_data_are_those_of_the_generator(tmp_path: Path) -> None:
    make_data.main(tmp_path)
    paths = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    stored = make_data.DIRECTORY
    assert paths == sorted(path.relative_to(stored) for path in stored.rglob("*") if path.is_file())
    assert not [path for path in paths if (tmp_path / path).read_bytes() != (stored / path).read_bytes()]


@pytest.mark.slow
@by_name
def test_run(path: Path) -> None:
    stored, notebook = read(path), execute.run(path)
    assert not failures(notebook)
    assert structure(notebook) == structure(stored)
    host, user = socket.gethostname(), getpass.getuser()
    outputs = "\n".join(text for cell in code_cells(notebook) for text in texts(cell))
    assert not MACHINE_PATH.search(outputs)
    assert not re.search(rf"\b{re.escape(host)}\b", outputs)
    assert user == "root" or not re.search(rf"\b{re.escape(user)}\b", outputs)


def test_structure_sees_missing_rows_and_other_kinds_of_outputs() -> None:
    def notebook(*outputs: Any) -> Any:
        return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", outputs=list(outputs))])

    def table(*rows: str) -> Any:
        text = "\n".join([" task  rows ", f" {RULE}", *(f" {row}  0.5 " for row in rows), ""])
        return nbformat.v4.new_output("stream", name="stdout", text=text)

    html = nbformat.v4.new_output("display_data", {"text/html": "<table><tr><td>topic</td><td>8</td></tr></table>"})
    assert structure(notebook(table("topic", "mood"))) == structure(notebook(table("topic", "mood")))
    assert structure(notebook(table("topic", "mood"))) != structure(notebook(table("topic")))
    assert structure(notebook(html)) != structure(notebook(table("topic")))
    assert first_cells(html.data["text/html"]) == ["topic"]


def test_failed_commands_are_found() -> None:
    output = nbformat.v4.new_output("stream", name="stdout", text="training\nerror: run.toml: no such file\n")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("!nlpmtl train run.toml", outputs=[output])])
    assert failures(notebook) == ["error: run.toml: no such file"]
