"""Writing the dataset files and the run file of proposals, after their rows have been read as training reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import nlpmtl.run_config  # noqa: F401 - imports every registered kind
from nlpmtl.config import check_writable
from nlpmtl.errors import ConfigError, DataError
from nlpmtl.fs import write_atomic
from nlpmtl.init.proposal import Proposal
from nlpmtl.init.sources import RUN, Source
from nlpmtl.init.verify import Verdict, verify
from nlpmtl.init.write import dataset_tables, dataset_text, run_text


def check_targets(sources: Sequence[Source], *, directory: Path, force: bool) -> None:
    """Refuse a directory that cannot be written, and files that exist. Nothing is read or written.

    Raises:
        ConfigError: the directory cannot be written, or a file exists and `force` is False.
    """
    check_writable(directory, key="--output")
    existing = [str(path) for path in _paths(sources, directory) if path.exists()]
    if existing and not force:
        shown = ", ".join(existing)
        raise ConfigError(f"{shown} already exists: choose another directory with --output, or replace it with --force")


def _paths(sources: Sequence[Source], directory: Path) -> list[Path]:
    return [directory / f"{name}.toml" for name in [*(source.name for source in sources), RUN]]


def run_name(sources: Sequence[Source]) -> str:
    """Return the name of the run: that of its datasets, for up to three."""
    names = [source.name for source in sources]
    return "-".join(names) if len(names) <= 3 else f"{names[0]}-and-{len(names) - 1}-more"


def write_configs(
    proposals: Sequence[Proposal], *, directory: Path, encoder: str | None
) -> tuple[list[Path], list[str]]:
    """Write a dataset file for each dataset, and the run file; existing files are replaced.

    Args:
        proposals: the datasets; each has an input and a task.
        directory: where the files are written; it is created.
        encoder: name of the encoder; None: the default one.

    Returns:
        the files, the run file last, and notes about invalid rows.

    Raises:
        ConfigError, DataError: a dataset cannot be read as it is proposed.
        OSError: a file cannot be written.
    """
    texts: dict[Path, str] = {}
    notes: list[str] = []
    for proposal in proposals:
        source = proposal.sample.source
        readable, verdict, note = _verify(proposal)
        notes += [*note, *_notes(verdict, source)]
        texts[directory / f"{source.name}.toml"] = dataset_text(readable, verdict, directory=directory)
    run_file = directory / f"{RUN}.toml"
    name = run_name([proposal.sample.source for proposal in proposals])
    texts[run_file] = run_text(proposals, name=name, encoder=encoder, run_file=run_file)
    directory.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        write_atomic(path, text.encode())
    return list(texts), notes


def _verify(proposal: Proposal) -> tuple[Proposal, Verdict, list[str]]:
    """Return a proposal without a test split that has other columns, as those of GLUE, its verdict, and a note."""
    source = proposal.sample.source
    try:
        return proposal, verify(dataset_tables(proposal, directory=Path()), name=source.name), []
    except (ConfigError, DataError) as error:
        files = {split: paths for split, paths in source.files.items() if split != "test"}
        if "test" not in source.files:
            raise
        sample = replace(proposal.sample, source=replace(source, files=files))
        shorter = replace(proposal, sample=sample)
        try:
            verdict = verify(dataset_tables(shorter, directory=Path()), name=source.name)
        except (ConfigError, DataError):
            raise error from None
        return shorter, verdict, [f"{source.name}: the test split is not used: {error}"]


def _notes(verdict: Verdict, source: Source) -> list[str]:
    """Return a note about the invalid rows of a dataset.

    Raises:
        DataError: no row is valid.
    """
    if not verdict.bad:
        return []
    if verdict.bad == verdict.rows:
        raise DataError(f"{source.name}: no row is valid:\n{verdict.problems}")
    action = "they are skipped" if verdict.skip else 'correct them, or set data.on_bad_row = "skip" to skip them'
    return [f"{source.name}: {verdict}; {action}:\n{verdict.problems}"]
