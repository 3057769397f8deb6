"""Randomly changed configs."""

from __future__ import annotations

import gc
import json
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from nlpmtl.config import parse_dataset, parse_override, plain_config, read_dataset
from nlpmtl.config.run_files import builtin_configs
from nlpmtl.errors import NlpmtlError
from nlpmtl.run import load_config
from tests.faults.harness import FaultCount
from tests.faults.invalid_input.entry_points import describe_error, repeat, short
from tests.faults.invalid_input.random_rows import STRINGS, mutated_bytes
from tests.tiny import make_run

MAX_SECONDS = 1.0
"""Limit in seconds for loading a config."""


def to_toml(value: Mapping[str, Any]) -> str:
    """Return plain values as TOML with inline tables."""
    return "".join(f"{_string(key)} = {_literal(item)}\n" for key, item in value.items())


def _literal(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_string(key)} = {_literal(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_literal, value)) + "]"
    return _string(value)


def _string(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


_LITERALS = (
    *(
        "0",
        "-1",
        "1",
        "true",
        "1e999",
        "-1e999",
        "nan",
        "inf",
        "-inf",
        "1e-400",
        "9" * 400,
        "9" * 5000,
        "0x" + "f" * 5000,
    ),
    *("[]", "{}", "[[]]", "[{}]", '[""]', '["a", "a"]', '["a", 1]', "1979-05-27", "1979-05-27T07:32:00Z", "07:32:00"),
    *(
        '""',
        '"a"',
        '"\\u0000"',
        '"a\\u0000b"',
        "'..'",
        "'../../x'",
        "'/'",
        "'/etc/passwd'",
        "'/dev/null'",
        "'~nobody_/x'",
    ),
    *("'con'", "'C:\\x'", "'package:'", "'package:__main__/x'", "'package:nlpmtl/../..'", "'package:nlpmtl/\x7f'"),
    *('"package:nlpmtl/\\u0000"', f"'{'a' * 5000}'", f"'{'a/' * 3000}'", f"'package:nlpmtl/{'a' * 5000}'", "'\u202e'"),
    *("[" * depth + "]" * depth for depth in (50, 300, 2000)),
    *("{ a = " * depth + "1" + " }" * depth for depth in (50, 300)),
    "{ kind = 'uniform' }",
    "{ train = 1, validation = [1] }",
)
_KEYS = (
    *(
        '""',
        '"../x"',
        '"\\u0000"',
        "'\u043a\u043b\u044e\u0447'",
        '"a.b"',
        "extends",
        "kind",
        "files",
        "hub",
        "label",
        "labels",
    ),
    *("a" * 5000, ".".join("a" * 300), ".".join("a" * 1200), '"\\u001b[2J"', "train", "__class__", "model_config"),
    *("output", "plugins", "seed", "name", "data.files", "'[key]'"),
)
_TABLES = (
    *("[data]", "[[data]]", "[data.files]", "[input]", "[tasks]", "[tasks.'../x']", '[tasks."a b"]', "[tasks.type]"),
    *(
        "[datasets]",
        "[datasets.'/etc/x']",
        "[datasets.x]",
        "[datasets.x.data.files]",
        "[encoder]",
        "[[encoder]]",
        "[train]",
    ),
    *("[sampling]", "[weighting]", "[sharing]", "[eval]", "[limit]", f"[{'.'.join('a' * 300)}]", f"[tasks.{'a' * 65}]"),
    *("[", "[]", "['']", "[data", f"[datasets.x.{'.'.join('a' * 1200)}]"),
)
_PLUGINS = (
    "[]",
    "['']",
    "['..']",
    "['.x']",
    "['../x']",
    '["a\\u0000b"]',
    "['a b']",
    "['json']",
    "['nlpmtl.none']",
    "[1]",
)


@dataclass(frozen=True)
class MutatedConfig:
    """A changed config.

    Args:
        run: whether it is a run file; otherwise a dataset file.
        content: content of the file.
        overrides: values of `--set`.
    """

    run: bool
    content: bytes
    overrides: tuple[str, ...] = ()


def _mutate_lines(draw: st.DrawFn, lines: list[str], others: Sequence[str]) -> list[str]:
    """Return the lines with one random change."""
    index = draw(st.integers(0, len(lines) - 1))
    change = draw(
        st.sampled_from(["value", "value", "value", "key", "table", "drop", "double", "swap", "splice", "plugins"])
    )
    key, _, value = lines[index].partition("=")
    changed = list(lines)
    if change == "value" and value:
        changed[index] = f"{key}= {draw(st.sampled_from(_LITERALS))}"
    elif change == "value" or change == "table":
        changed.insert(index, draw(st.sampled_from(_TABLES)))
    elif change == "key":
        changed[index] = f"{draw(st.sampled_from(_KEYS))} = {value.strip() or draw(st.sampled_from(_LITERALS))}"
    elif change == "drop":
        del changed[index]
    elif change == "double":
        changed.insert(index, lines[index])
    elif change == "swap":
        other = draw(st.integers(0, len(lines) - 1))
        changed[index], changed[other] = changed[other], changed[index]
    elif change == "splice":
        changed.insert(index, draw(st.sampled_from(others)))
    else:
        changed.insert(0, f"plugins = {draw(st.sampled_from(_PLUGINS))}")
    return changed or [""]


@st.composite
def _mutated_config(draw: st.DrawFn, files: Sequence[tuple[bool, str]]) -> MutatedConfig:
    run, text = draw(st.sampled_from(files))
    lines = text.splitlines()
    others = [line for _, other in files for line in other.splitlines() if line.strip()]
    for _ in range(draw(st.integers(0, 3))):
        lines = _mutate_lines(draw, lines, others)
    content = "\n".join(lines).encode()
    if draw(st.integers(0, 3)) == 0:
        content = draw(mutated_bytes(content))
    override = st.builds("{}={}".format, st.sampled_from([*_KEYS, *_DOTTED]), st.sampled_from(_LITERALS) | STRINGS)
    overrides = draw(st.just(()) | st.just(()) | st.lists(override, max_size=2).map(tuple)) if run else ()
    return MutatedConfig(run, content, overrides)


_DOTTED = (
    *(
        "seed",
        "train.lr",
        "train.steps",
        "encoder",
        "encoder.name",
        "encoder.name.x",
        "datasets",
        "datasets.x.extends",
        ".extends",
    ),
    *("extends", "a..b", ".", "sampling.kind", "datasets.support.limit.train", "output", "plugins", "eval.select"),
)


def _source_configs(directory: Path) -> list[tuple[bool, str]]:
    """Copy the shipped configs, and return whether each is a run file, and its text."""
    shutil.copytree(builtin_configs(), directory, ignore=shutil.ignore_patterns("*.jsonl", "schemas"))
    run = make_run(directory / "own")
    tiny = to_toml(run)
    runs = [path.read_text(encoding="utf-8") for path in sorted((directory / "runs").glob("*.toml"))]
    datasets = [path.read_text(encoding="utf-8") for path in sorted(directory.glob("*.toml"))]
    tables = to_toml(run["datasets"]["words"])
    return [*((True, text) for text in [tiny, tiny, *runs]), *((False, text) for text in [tables, *datasets])]


def configs(scratch: Path, *, repetitions: int) -> FaultCount:
    """Load changed versions of the shipped configs and of a tiny run, the same on every run."""
    count = FaultCount("mutated configs: accepted, or refused with a readable error, within a second")
    directory = scratch / "configs"
    files = _source_configs(directory)
    (directory / "uses.toml").write_text(
        "encoder.name = 'me/encoder'\ndatasets.x.extends = 'changed.toml'\ndatasets.x.limit.train = 3\n",
        encoding="utf-8",
    )

    def attempt(changed: MutatedConfig) -> None:
        path = directory / ("runs/changed.toml" if changed.run else "changed.toml")
        path.write_bytes(changed.content)
        start = time.process_time()
        problem = None
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for read in _readers(directory, path, changed):
                try:
                    read()
                except NlpmtlError as error:
                    problem = problem or (None if str(error) else "an empty error message")
                except Exception as error:
                    problem = problem or describe_error(error)
        seconds = time.process_time() - start
        if seconds > MAX_SECONDS:
            problem = problem or f"took {seconds:.1f} s"
        name = f"{changed.content[-1500:].decode('utf-8', 'replace')!a} {short(str(changed.overrides))}"
        count.add("" if problem is None else name, problem is None, problem or "")

    gc.collect()
    gc.freeze()  # collecting the garbage of earlier parts takes longer than the limit
    try:
        repeat(_mutated_config(files), attempt, repetitions=repetitions)
    finally:
        gc.unfreeze()
    return count


def _readers(directory: Path, path: Path, changed: MutatedConfig) -> Iterator[Callable[[], object]]:
    def run() -> None:
        config = load_config(path, overrides=dict(map(parse_override, changed.overrides)))
        plain_config(config, output=directory / "out")

    if changed.run:
        yield run
    else:
        yield lambda: parse_dataset(read_dataset(path), where=str(path))
        yield lambda: load_config(directory / "uses.toml")
