"""`nlpmtl init`: look at data files, and write the dataset files and the run file for them."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nlpmtl.cli.console import echo, print_table
from nlpmtl.errors import ConfigError, DataError, escape_line, list_some
from nlpmtl.notebook import is_terminal

if TYPE_CHECKING:
    from nlpmtl.init import Override, Proposal, Sample

_QUESTION = "Press Enter to write the files, or say what a column is (COLUMN:KIND, or NAME=COLUMN:KIND)"


def init(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...", help="Data files, directories saved by `datasets`, or Hub ids.", show_default=False
        ),
    ],
    task: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=COLUMN:KIND",
            help="Use a column as this kind, instead of the proposed one; KIND none: do not use it (repeatable).",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path,
        typer.Option(
            metavar="DIR", help="Directory for the files (default: the working directory).", show_default=False
        ),
    ] = Path(),
    encoder: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Hub id or directory of the encoder (default: all-MiniLM-L6-v2).", show_default=False
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
) -> None:
    """Propose tasks for data files, and write config files.

    Looks at the columns, prints what each of them is, and writes a dataset file per dataset and run.toml. On a terminal
    it asks before it writes.
    """
    from nlpmtl.config import check_output
    from nlpmtl.init import check_targets, find_sources, propose, read_sample, refuse_repeated, write_configs

    sources = find_sources(files)
    output = check_output(output, key="--output")
    check_targets(sources, directory=output, force=force)
    for unused in (list_some(map(escape_line, source.unused), limit=5) for source in sources if source.unused):
        echo(f"not used, because no train split belongs to them: {unused}", err=True)
    samples = [read_sample(source) for source in sources]
    overrides = _parse(task or (), samples)
    refuse_repeated(overrides)
    proposals = propose(samples, overrides)
    _print_proposals(proposals)
    if is_terminal(sys.stdin):
        proposals = _ask(samples, overrides)
    complete = [proposal for proposal in proposals if proposal.is_complete]
    for proposal in proposals:
        if proposal not in complete:
            echo(_explain_incomplete(proposal), err=True)
    if not complete:
        raise DataError("nothing to train on: choose a column with --task NAME=COLUMN:KIND")
    paths, notes = write_configs(complete, directory=output, encoder=encoder)
    for note in notes:
        echo(note, err=True)
    echo(f"Wrote {', '.join(map(str, paths))}. Next:")
    run = shlex.quote(str(paths[-1]))
    echo(f"  nlpmtl check {run}\n  nlpmtl train {run}")


def _parse(texts: Sequence[str], samples: Sequence[Sample]) -> list[Override]:
    from nlpmtl.init import parse_override

    columns = {sample.source.name: list(sample.table.columns) for sample in samples}
    return [parse_override(text, columns=columns) for text in texts]


def _ask(samples: Sequence[Sample], overrides: Sequence[Override]) -> list[Proposal]:
    """Ask for changes until the user accepts the proposals."""
    from nlpmtl.init import propose

    chosen = list(overrides)
    proposals = propose(samples, chosen)
    while answer := typer.prompt(_QUESTION, default="", show_default=False, err=True).strip():
        try:
            changes = _parse([answer], samples)
            proposals = propose(samples, [*chosen, *changes])
        except ConfigError as error:
            echo(str(error).removeprefix("--task "), err=True)
            continue
        chosen += changes
        _print_proposals(proposals)
    return proposals


def _print_proposals(proposals: Sequence[Proposal]) -> None:
    from nlpmtl.config import flatten_columns

    for proposal in proposals:
        sample = proposal.sample
        splits = ", ".join(sample.source.files)
        rows = f"{'' if sample.table.complete else 'only the first '}{sample.table.rows:,} rows"
        detected = "".join(f", {key} = {value!r}" for key, value in sample.detected.items())
        echo(f"{sample.source.name} ({splits}): the columns of {rows} of train{detected}")
        kinds = {column: key for key, columns in proposal.input.items() for column in flatten_columns([columns])}
        for name, task in proposal.tasks.items():
            kinds |= dict.fromkeys(task.columns, f"{name}: {task.kind}")
        lines = []
        for name, finding in proposal.findings.items():
            column = sample.table.columns[name]
            missing = f"{column.missing / max(1, column.rows):.1%}" if column.missing else ""
            lines.append(
                (name, kinds.get(name, "not used"), finding.evidence, f"{column.distinct:,}", missing, column.examples)
            )
        print_table(
            "column", "use", "why", "distinct", "missing", "examples", rows=lines, numbers=["distinct", "missing"]
        )
        for name, task in proposal.tasks.items():
            if not task.columns:
                echo(f"{name}: {task.kind}: {task.finding.evidence}")


def _explain_incomplete(proposal: Proposal) -> str:
    name = escape_line(proposal.sample.source.name)
    if not proposal.tasks:
        text = proposal.input.get("text", proposal.input.get("words"))
        masked = (
            f", or train only on the texts with --task NAME={escape_line(str(text))}:masked_lm"
            if text is not None
            else ""
        )
        return (
            f"{name}: no column can be a label, so no dataset file is written; choose one with --task NAME=COLUMN:KIND"
            f"{masked}"
        )
    return f"{name}: no column is a text, so no dataset file is written; choose one with --task text=COLUMN:text"
