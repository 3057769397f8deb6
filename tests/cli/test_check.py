"""`nlpmtl check`: the report as tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.cli.conftest import RunCli
from tests.tiny import WORDS, write_rows

if TYPE_CHECKING:
    from tests.tiny import Trained


def test_a_valid_run(trained: Trained, run_file: Path, run_cli: RunCli, tmp_path: Path) -> None:
    result = run_cli("check", run_file)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0] == "Tokens per row, before truncation at max_length = 48"
    assert lines[-1] == f"Config and data are OK: {trained.run['train']['steps']} steps"
    rows = [line.split() for line in lines]
    assert any(row[:5] == ["pairs", "train", "30", "grade", "29"] for row in rows)
    assert any(row[:3] == ["grade", "regression", "pair"] for row in rows)
    assert any(row[:2] == ["topic", "accuracy"] and row[-1] == "validation" for row in rows)


def test_findings_are_warnings_and_the_page_is_written(
    trained: Trained, run_cli: RunCli, tmp_path: Path, to_toml: Callable[[Mapping[str, Any]], str]
) -> None:
    texts = trained.run["datasets"]["texts"]
    train = write_rows(tmp_path / "train.jsonl", [{"text": f"a cat {word}", "kinds": ["x"]} for word in WORDS])
    copy = write_rows(tmp_path / "copy.jsonl", [{"text": "a cat lamp", "kinds": ["<b>"]}])
    data = {"files": {"train": str(train), "validation": str(train), "extra": str(copy)}}
    run = {**trained.run, "datasets": {"texts": {**texts, "data": data}}}
    (tmp_path / "run.toml").write_text(to_toml(run), encoding="utf-8")
    page = tmp_path / "pages" / "data.html"
    result = run_cli("check", tmp_path / "run.toml", "--html", page)
    assert (result.exit_code, result.stderr) == (0, "")
    warnings = [line for line in result.stdout.splitlines() if line.startswith("warning: ")]
    replaced = run_cli("check", tmp_path / "run.toml", "--html", copy)
    assert f"--html: {copy} is an input, which would be replaced" in replaced.stderr
    count = len(WORDS)
    assert any(f"{count} of {count} rows of validation are also in train" in line for line in warnings)
    assert any("1 of 1 rows of extra are also in train" in line for line in warnings)
    assert any("different inputs occur with different labels" in line for line in warnings)
    assert result.stdout.splitlines()[-1] == f"data report: {page}"
    text = page.read_text(encoding="utf-8")
    assert text.count('<span class="problem">') == len(warnings)
    assert "&lt;b&gt;" in text
    assert "<b>" not in text.replace("<b>texts</b>", "")


def test_a_page_that_cannot_be_written_is_refused_first(run_cli: RunCli, tmp_path: Path) -> None:
    result = run_cli("check", "no-such.toml", "--html", tmp_path)
    assert result.exit_code == 2
    assert f"--html: {tmp_path} is a directory" in result.stderr
