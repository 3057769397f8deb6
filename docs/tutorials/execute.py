"""Run notebooks in a Jupyter kernel and store their outputs: python -m docs.tutorials.execute [NOTEBOOK…].

Each notebook runs in a new directory with a copy of docs/tutorials/data, in the environment of this Python.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

DIRECTORY = Path(__file__).parent
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_SECONDS = 1800
"""Time limit of a cell."""


def main(names: list[str]) -> None:
    """Run the notebooks with these names (default: all of them) and store their outputs."""
    for path in map(Path, names) if names else sorted(DIRECTORY.glob("*.ipynb")):
        notebook = run(path)
        with path.open("w", encoding="utf-8") as file:
            nbformat.write(notebook, file)


def run(path: Path) -> Any:
    """Run a notebook file, and return it with its outputs."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        shutil.copytree(DIRECTORY / "data", directory / "data")
        return execute(nbformat.read(path, as_version=4), directory)


def execute(notebook: Any, directory: Path, *, allow_errors: bool = False) -> Any:
    """Run a notebook in a directory; without its old outputs, and without what differs from run to run.

    Raises:
        CellExecutionError: a cell raises an exception, and `allow_errors` is not set.
    """
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment.pop("PYTEST_CURRENT_TEST", None)  # with it, a kernel does not capture what is written to descriptor 2
    client = NotebookClient(
        notebook,
        timeout=_SECONDS,
        kernel_name="python3",
        allow_errors=allow_errors,
        record_timing=False,
        resources={"metadata": {"path": str(directory)}},
    )
    client.execute(env=environment)
    notebook.metadata.language_info = {"name": "python", "pygments_lexer": "ipython3"}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = _merge(cell.outputs)
    return notebook


def _merge(outputs: list[Any]) -> list[Any]:
    """Join consecutive outputs of a stream, and remove colours and the line ends of terminals."""
    merged = list[Any]()
    for output in outputs:
        if output.output_type == "stream" and merged and merged[-1].get("name") == output.name:
            merged[-1].text += output.text
        else:
            merged.append(output)
    for output in merged:
        if output.output_type == "stream":
            output.text = _ESCAPES.sub("", output.text).replace("\r\n", "\n")
    return merged


if __name__ == "__main__":
    main(sys.argv[1:])
