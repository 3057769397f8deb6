"""The real client with a local Hub server, in separate processes, because the client reads the address at import."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, Features, Value

from tests.hub_server import Hub
from tests.hub_server.messages import Response

Ask = Callable[..., list[Any]]

CODE = """
import json, sys
from nlpmtl.config.dataset import DataConfig, InputConfig
from nlpmtl.data.dataset_reader import open_reader
from nlpmtl.errors import NlpmtlError

for config in json.loads(sys.argv[1]):
    try:
        sources = open_reader(
            DataConfig(**config), input=InputConfig(text="text"), columns={"label": "class"}, limit={}, name="d"
        )
        rows = sources.read(sources.splits)
        answer = {
            split: [found.place(0), found.table["label:label"].to_pylist(), list(found.class_names["label"])]
            for split, found in rows.items()
        }
    except NlpmtlError as error:
        answer = f"{type(error).__name__}: {error}"
    print("ANSWER", json.dumps(answer))
"""

CARD = b"""---
configs:
- config_name: one
  data_files:
  - split: train
    path: one/train-*
  - split: dev
    path: one/dev-*
- config_name: two
  data_files:
  - split: train
    path: two/train-*
---
"""


def parquet(labels: list[int], *, names: Sequence[str] = ("zebra", "ant")) -> bytes:
    features = Features(text=Value("string"), label=ClassLabel(names=list(names)))
    dataset = Dataset.from_dict({"text": ["a"] * len(labels), "label": labels}, features=features)
    content = io.BytesIO()
    pq.write_table(dataset.data.table.replace_schema_metadata(dataset.features.arrow_schema.metadata), content)
    return content.getvalue()


@pytest.fixture
def ask(hub: Hub, tmp_path: Path) -> Ask:
    hub.repos["org/plain"] = {
        "data/train.parquet": parquet([0, 1, 0]),
        "data/test.parquet": parquet([-1, -1]),
        "data/extra.parquet": parquet([0]),
    }
    hub.repos["org/subsets"] = {
        "README.md": CARD,
        "one/train-0.parquet": parquet([1]),
        "one/dev-0.parquet": parquet([0, 1]),
        "two/train-0.parquet": parquet([0], names=["b", "a"]),
    }
    hub.repos["org/odd"] = {**hub.repos["org/subsets"], "README.md": CARD.replace(b"train\n", b"first\n")}
    hub.repos["org/broken"] = {"data/train.parquet": b"PAR1 no more PAR1"}
    hub.repos["org/secret"] = {"data/train.parquet": parquet([0])}
    hub.gated.add("org/secret")

    def ask(*configs: dict[str, Any], **environment: str) -> list[Any]:
        result = subprocess.run(
            [sys.executable, "-c", CODE, json.dumps(configs)],
            env=hub.environment(tmp_path / "home") | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        assert "Traceback" not in result.stdout + result.stderr
        return [json.loads(line[7:]) for line in result.stdout.splitlines() if line.startswith("ANSWER ")]

    return ask


def test_splits_subsets_and_names(ask: Ask) -> None:
    plain, first, second = ask(
        {"hub": "org/plain"},
        {"hub": "org/subsets", "subset": "one", "splits": {"train": "train", "validation": "dev"}},
        {"hub": "org/subsets", "subset": "two", "revision": "main"},
    )
    assert plain == {
        "train": ["d: train, row 1", ["zebra", "ant", "zebra"], ["zebra", "ant"]],
        "test": ["d: test, row 1", [None, None], ["zebra", "ant"]],
    }
    assert first == {
        "train": ["d: train, row 1", ["ant"], ["zebra", "ant"]],
        "validation": ["d: validation, row 1", ["zebra", "ant"], ["zebra", "ant"]],
    }
    assert second == {"train": ["d: train, row 1", ["b"], ["b", "a"]]}


@pytest.mark.slow  # two processes that import everything
def test_a_second_load_reads_from_the_cache(ask: Ask, hub: Hub) -> None:
    first, second = ask({"hub": "org/plain"}, {"hub": "org/plain"})
    downloads = [line for line in hub.requests if line.startswith("GET") and line.endswith(".parquet")]
    assert len(downloads) == len(set(downloads)) == 2
    hub.requests.clear()
    offline, unknown = ask({"hub": "org/plain"}, {"hub": "org/subsets", "subset": "one"}, HF_HUB_OFFLINE="1")
    assert not hub.requests
    assert first == second == offline
    assert unknown.startswith("DataError: org/subsets (subset 'one'): cannot be loaded: Couldn't reach")


@pytest.mark.slow
def test_load_errors_state_the_cause_and_a_fix(ask: Ask) -> None:
    expected = {
        "org/missing: cannot be loaded: Dataset 'org/missing' doesn't exist on the Hub": {"hub": "org/missing"},
        "org/secret: cannot be loaded: Dataset 'org/secret' is a gated dataset": {"hub": "org/secret"},
        "org/broken: cannot be loaded: ": {"hub": "org/broken"},
        "org/subsets (subset 'six'): cannot be loaded: ": {"hub": "org/subsets", "subset": "six"},
        "org/plain (revision 'v9'): cannot be loaded: Revision 'v9'": {"hub": "org/plain", "revision": "v9"},
        "org/subsets (subset 'one'): no split 'final'; its splits are train, dev. Map names with": {
            "hub": "org/subsets",
            "subset": "one",
            "splits": {"train": "train", "test": "final"},
        },
        "org/odd (subset 'one'): none of train, validation, test; its splits are first, dev. Map names with": {
            "hub": "org/odd",
            "subset": "one",
        },
    }
    errors = ask(*expected.values())
    for error, start in zip(errors, expected, strict=True):
        assert error.startswith(f"DataError: {start}")
        assert "Map names with" in start or ("hf auth login" in error and "HF_HUB_OFFLINE" in error)


@pytest.mark.parametrize("header", ["ETag", "X-Repo-Commit"])
@pytest.mark.slow
def test_responses_that_contain_paths_are_refused(header: str, ask: Ask, hub: Hub, tmp_path: Path) -> None:
    outside = "../../../../outside"

    def rewrite(call: str, response: Response) -> Response:
        hostile = call == "dataset-head" and response.status == 200
        return replace(response, headers={**response.headers, header: f'"{outside}"'}) if hostile else response

    hub.rewrite = rewrite
    (error,) = ask({"hub": "org/subsets", "subset": "one"})
    assert "Nothing was written" in error
    assert not list(tmp_path.rglob("*outside*"))
