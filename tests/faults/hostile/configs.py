"""Configs that were changed by chance."""

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
from nlpmtl.config.find import shipped_configs
from nlpmtl.errors import NlpmtlError
from nlpmtl.run import load_config
from tests.faults.harness import Count
from tests.faults.hostile.by_chance import STRINGS, mutated
from tests.faults.hostile.doors import name_of, repeat, short
from tests.tiny import make_run

MOMENT = 1.0
"""Seconds that a config may take."""


def to_toml(value: Mapping[str, Any]) -> str:
    """Plain values as TOML, each table inside its line."""
    return "".join(f"{_string(key)} = {_literal(one)}\n" for key, one in value.items())


def _literal(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_string(key)} = {_literal(one)}" for key, one in value.items()) + " }"
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
class Changed:
    """A config that was changed.

    Args:
        run: whether it is a run file, else one of a dataset.
        content: what is in it.
        overrides: what `--set` says beside it.
    """

    run: bool
    content: bytes
    overrides: tuple[str, ...] = ()


def _change(draw: st.DrawFn, lines: list[str], others: Sequence[str]) -> list[str]:
    """One change of a few lines."""
    at = draw(st.integers(0, len(lines) - 1))
    what = draw(
        st.sampled_from(["value", "value", "value", "key", "table", "drop", "double", "swap", "splice", "plugins"])
    )
    key, _, value = lines[at].partition("=")
    changed = list(lines)
    if what == "value" and value:
        changed[at] = f"{key}= {draw(st.sampled_from(_LITERALS))}"
    elif what == "value" or what == "table":
        changed.insert(at, draw(st.sampled_from(_TABLES)))
    elif what == "key":
        changed[at] = f"{draw(st.sampled_from(_KEYS))} = {value.strip() or draw(st.sampled_from(_LITERALS))}"
    elif what == "drop":
        del changed[at]
    elif what == "double":
        changed.insert(at, lines[at])
    elif what == "swap":
        other = draw(st.integers(0, len(lines) - 1))
        changed[at], changed[other] = changed[other], changed[at]
    elif what == "splice":
        changed.insert(at, draw(st.sampled_from(others)))
    else:
        changed.insert(0, f"plugins = {draw(st.sampled_from(_PLUGINS))}")
    return changed or [""]


@st.composite
def _changed(draw: st.DrawFn, files: Sequence[tuple[bool, str]]) -> Changed:
    run, text = draw(st.sampled_from(files))
    lines = text.splitlines()
    others = [line for _, other in files for line in other.splitlines() if line.strip()]
    for _ in range(draw(st.integers(0, 3))):
        lines = _change(draw, lines, others)
    content = "\n".join(lines).encode()
    if draw(st.integers(0, 3)) == 0:
        content = draw(mutated(content))
    said = st.builds("{}={}".format, st.sampled_from([*_KEYS, *_DOTTED]), st.sampled_from(_LITERALS) | STRINGS)
    overrides = draw(st.just(()) | st.just(()) | st.lists(said, max_size=2).map(tuple)) if run else ()
    return Changed(run, content, overrides)


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


def _shipped(directory: Path) -> list[tuple[bool, str]]:
    """The configs to begin with, which are written where they find each other: whether it is a run, and its text."""
    shutil.copytree(shipped_configs(), directory, ignore=shutil.ignore_patterns("*.jsonl", "schemas"))
    run = make_run(directory / "own")
    own = to_toml(run)
    runs = [path.read_text(encoding="utf-8") for path in sorted((directory / "runs").glob("*.toml"))]
    datasets = [path.read_text(encoding="utf-8") for path in sorted(directory.glob("*.toml"))]
    tables = to_toml(run["datasets"]["words"])
    return [*((True, text) for text in [own, own, *runs]), *((False, text) for text in [tables, *datasets])]


def configs(scratch: Path, *, many: int) -> Count:
    """Shipped configs and one of our own, changed; the same each time."""
    count = Count("mutated configs: accepted, or refused with a readable error, within a second")
    directory = scratch / "configs"
    files = _shipped(directory)
    (directory / "uses.toml").write_text(
        "encoder.name = 'me/encoder'\ndatasets.x.extends = 'changed.toml'\ndatasets.x.limit.train = 3\n",
        encoding="utf-8",
    )

    def attempt(changed: Changed) -> None:
        path = directory / ("runs/changed.toml" if changed.run else "changed.toml")
        path.write_bytes(changed.content)
        began = time.process_time()
        wrong = None
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for read in _readers(directory, path, changed):
                try:
                    read()
                except NlpmtlError as error:
                    wrong = wrong or (None if str(error) else "an error without words")
                except Exception as error:
                    wrong = wrong or name_of(error)
        seconds = time.process_time() - began
        if seconds > MOMENT:
            wrong = wrong or f"it took {seconds:.1f} s"
        shown = f"{changed.content[-1500:].decode('utf-8', 'replace')!a} {short(str(changed.overrides))}"
        count.add("" if wrong is None else shown, wrong is None, wrong or "")

    gc.collect()
    gc.freeze()  # to look through what earlier parts left takes half a second and more, which is no config's
    try:
        repeat(_changed(files), attempt, many=many)
    finally:
        gc.unfreeze()
    return count


def _readers(directory: Path, path: Path, changed: Changed) -> Iterator[Callable[[], object]]:
    def run() -> None:
        config = load_config(path, overrides=dict(map(parse_override, changed.overrides)))
        plain_config(config, output=directory / "out")

    if changed.run:
        yield run
    else:
        yield lambda: parse_dataset(read_dataset(path), where=str(path))
        yield lambda: load_config(directory / "uses.toml")
