"""Run files: error messages, and that any input gives a RunConfig or a ConfigError."""

from __future__ import annotations

import copy
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import nlpmtl.model
import nlpmtl.sampling
import nlpmtl.tasks
import nlpmtl.weighting  # noqa: F401
from nlpmtl.config import RunConfig, SgdOptions, TrainConfig, parse_run, read_run
from nlpmtl.errors import ConfigError
from nlpmtl.registry import SAMPLERS


def valid() -> dict[str, Any]:
    """A run with a key in each table."""
    mood = {"kind": "sentiment", "label": "mood", "labels": ["low", "high"], "metrics": ["accuracy"]}
    tags = {"kind": "labeling", "label": "tags", "scheme": "bio", "labels": ["O", "B-x", "I-x"]}
    same = {"kind": "classification", "label": "label", "labels": ["no", "yes"], "pos_label": "yes"}
    pairs = {"hub": "nyu-mll/glue", "subset": "mrpc", "splits": {"train": "train"}, "validation": 0.1}
    return {
        "seed": 17,
        "output": "runs/demo",
        "plugins": [],
        "encoder": {"name": "some/encoder", "max_length": 64, "sha256": "0" * 64, "freeze": False},
        "datasets": {
            "notes": {
                "data": {"files": {"train": "a.jsonl"}, "on_bad_row": "skip"},
                "input": {"words": "tokens"},
                "tasks": {"mood": mood, "tags": tags},
                "limit": {"train": 5},
            },
            "pairs": {"data": pairs, "input": {"text": "one", "pair": "two"}, "tasks": {"same": same}},
        },
        "sampling": {"kind": "temperature", "temperature": 2.0},
        "weighting": {"kind": "constant"},
        "sharing": {"kind": "hard"},
        "train": {"epochs": 3, "lr": 1e-4, "schedule": "cosine", "trackers": ["tensorboard"]},
        "eval": {"every": 5, "select": "tags", "patience": 2},
    }


def parse(raw: Any) -> RunConfig:
    return parse_run(raw, where="run.toml")


def changed(key: str, value: Any) -> dict[str, Any]:
    return read_run(valid(), overrides={key: value})


def problem(key: str, value: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(changed(key, value))
    return str(caught.value)


def test_a_valid_run() -> None:
    run = parse(valid())
    assert list(run.tasks) == ["mood", "tags", "same"]
    assert run.output == Path("runs/demo")
    assert (run.train.epochs, run.train.head_lr, run.train.batch_size) == (3, None, 32)


def test_a_minimal_run() -> None:
    raw = valid()
    run = parse({"encoder": {"name": "e"}, "datasets": raw["datasets"]})
    assert (run.sampling.kind, run.weighting.kind, run.sharing.kind) == ("proportional", "constant", "hard")
    assert (run.seed, run.output, run.eval.select, run.train.epochs, run.train.steps) == (0, None, "mean", None, None)


@pytest.mark.parametrize("section", ["encoder", "datasets"])
def test_a_missing_section(section: str) -> None:
    raw = valid()
    del raw[section]
    with pytest.raises(
        ConfigError, match=rf"^run\.toml: {section}: this table is missing; write \[{section}(\.NAME)?\] \("
    ):
        parse(raw)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("sed", "sed: unknown key; did you mean 'seed'?"),
        ("encoder.nme", "encoder.nme: unknown key; did you mean 'name'?"),
        ("train.learning_rate", "train.learning_rate: unknown key; write train.lr"),
        ("eval.selct", "eval.selct: unknown key; did you mean 'select'?"),
        ("sampling.temprature", "sampling.temprature: unknown key; did you mean 'temperature'?"),
        ("weighting.wieghts", "weighting.wieghts: unknown key; did you mean 'weights'?"),
        ("datasets.pairs.limt", "datasets.pairs.limt: unknown key; did you mean 'limit'?"),
        ("datasets.pairs.data.sub", "datasets.pairs.data.sub: unknown key; did you mean 'subset'?"),
        ("datasets.pairs.tasks.same.lable", "datasets.pairs.tasks.same.lable: unknown key; did you mean 'label'?"),
    ],
)
def test_an_unknown_key_suggests_the_nearest(key: str, message: str) -> None:
    assert f"run.toml: {message}" in problem(key, 1)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", "some"),
        ("seed", -1),
        ("seed", 1.5),
        ("output", 3),
        ("plugins", "module"),
        ("encoder", "some/encoder"),
        ("encoder.name", 3),
        ("encoder.max_length", "long"),
        ("encoder.max_length", 3),
        ("encoder.sha256", "short"),
        ("encoder.freeze", 2),
        ("datasets", {}),
        ("datasets", []),
        ("datasets.pairs", 3),
        ("sampling.temperature", "hot"),
        ("sampling.temperature", 0),
        ("train.epochs", 0),
        ("train.steps", 0),
        ("train.batch_size", 0.5),
        ("train.lr", "3e-5 or so"),
        ("train.lr", 0),
        ("train.lr", float("nan")),
        ("train.schedule", "cosinus"),
        ("train.warmup", 1),
        ("train.max_grad_norm", -1),
        ("train.precision", "fp16"),
        ("train.keep", 0),
        ("eval.every", 0),
        ("eval.patience", -1),
    ],
)
def test_a_wrong_value_names_the_key_and_the_value(key: str, value: object) -> None:
    message = problem(key, value)
    assert f"run.toml: {key}: " in message
    assert f"(found {value!r})" in message


def test_an_unknown_tracker() -> None:
    assert "run.toml: train.trackers.0: " in problem("train.trackers", ["tensorbord"])


def test_epochs_or_steps_but_not_both() -> None:
    assert "run.toml: train: `epochs` and `steps` are mutually exclusive: write one of them" in problem(
        "train", {"epochs": 1, "steps": 5}
    )


@pytest.mark.parametrize(
    ("section", "kind", "message"),
    [
        ("sampling", "temprature", "unknown sampler 'temprature'; did you mean 'temperature'?"),
        ("weighting", "konstant", "unknown weighting 'konstant'; did you mean 'constant'?"),
        ("sharing", "hart", "unknown sharing scheme 'hart'; did you mean 'hard'?"),
        ("datasets.pairs.tasks.same", "regresion", "unknown task type 'regresion'; did you mean 'regression'?"),
    ],
)
def test_an_unknown_kind(section: str, kind: str, message: str) -> None:
    assert f"run.toml: {section}: {message}" in problem(f"{section}.kind", kind)


@pytest.mark.parametrize("section", ["sampling", "weighting", "sharing"])
def test_a_section_without_a_kind(section: str) -> None:
    assert f"run.toml: {section}: `kind` is missing; known: " in problem(section, {})


@pytest.mark.parametrize("name", ["a/b", "1a", "x" * 65])
def test_invalid_dataset_names(name: str) -> None:
    assert problem(f"datasets.{name}", valid()["datasets"]["pairs"]).startswith(f"run.toml: datasets.{name}: ")


def test_a_task_may_have_different_columns_in_two_datasets() -> None:
    other = copy.deepcopy(valid()["datasets"]["pairs"])
    other["tasks"]["same"]["label"] = "gold"
    assert list(parse(changed("datasets.other", other)).tasks) == ["mood", "tags", "same"]


SAME = {"kind": "classification", "label": "l", "labels": ["no", "yes"], "pos_label": "yes"}


@pytest.mark.parametrize(
    "task",
    [
        SAME | {"labels": ["yes", "no"]},
        SAME | {"labels": ["no", "maybe", "yes"]},
        SAME | {"metrics": ["macro_f1"]},
        SAME | {"pos_label": "no"},
        {"kind": "sentiment", "label": "l", "labels": ["no", "yes"]},
    ],
)
def test_a_task_with_two_definitions(task: dict[str, Any]) -> None:
    other = valid()["datasets"]["pairs"] | {"tasks": {"same": SAME}}
    assert "other" in parse(changed("datasets.other", other)).datasets
    message = problem("datasets.other", other | {"tasks": {"same": task}})
    assert "run.toml: task 'same' is defined differently in " in message


def test_eval_task_must_be_a_task_of_the_run() -> None:
    assert "run.toml: eval.select: no task 'tag'; did you mean 'tags'?" in problem("eval.select", "tag")
    assert parse(changed("eval.select", "mean")).eval.select == "mean"


def test_a_dumped_run_parses_to_the_same() -> None:
    run = parse(valid())
    assert parse(run.model_dump(mode="json")) == run


leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=8)
    | st.sampled_from(
        ["mean", "sentiment", "temperature", "~", "~nobody-here", "a\0b", "x" * 300, "a/b", "\ud800", "{said}"]
    )
)
keys = st.text(max_size=5) | st.sampled_from(["kind", "label", "labels", "extends", "files", "hub", "steps", "pair"])
values = st.recursive(leaves, lambda v: st.lists(v, max_size=3) | st.dictionaries(keys, v, max_size=3), max_leaves=5)


def tables(node: Any) -> list[Any]:
    """Yield every nested table and list, including the value itself."""
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    inside = [table for child in children for table in tables(child)]
    return [node, *inside] if isinstance(node, dict | list) else inside


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """A valid run with a few random insertions, replacements and removals."""
    raw = valid()
    for _ in range(draw(st.integers(1, 3))):
        node = draw(st.sampled_from(tables(raw)))
        if isinstance(node, list):
            node.append(draw(values))
            continue
        key = draw(st.sampled_from(sorted(node)) | keys) if node else draw(keys)
        if key in node and draw(st.booleans()):
            del node[key]
        else:
            node[key] = draw(values)
    return raw


@pytest.mark.parametrize(
    ("train", "rows", "length"),
    [
        ({"epochs": 2, "batch_size": 10}, 95, (20, 10)),
        ({"epochs": 0.25, "batch_size": 10}, 95, (3, 10)),
        ({"epochs": 1.1, "batch_size": 10}, 1000, (110, 100)),
        ({"batch_size": 10}, 100, (30, 10)),
        ({"steps": 7, "batch_size": 10}, 101, (7, 11)),
    ],
)
def test_epochs_and_steps(train: dict[str, Any], rows: int, length: tuple[int, int]) -> None:
    assert TrainConfig(**train).length(rows) == length


@given(mutated())
@example({"encoder": {"name": "e"}, "\ud800": 1})
@example({"encoder": {"name": "e"}, "datasets": {"\ud800": {}}})
@example({"encoder": {"name": "~nobody-here"}})
@example({"encoder": {"name": "e"}, "datasets": {"a": {"extends": "a\0b"}}})
@settings(max_examples=100, deadline=None)
def test_random_runs_give_a_run_config_or_a_config_error(raw: dict[str, Any]) -> None:
    with suppress(ConfigError):
        assert isinstance(parse(read_run(raw)), RunConfig)


def test_an_empty_name_of_an_encoder_and_an_empty_output_are_refused() -> None:
    expected = "encoder.name: a string that is not empty was expected (found '')"
    assert problem("encoder.name", "") == f"run.toml: {expected}"
    with pytest.raises(ConfigError, match=re.escape(expected)):
        parse(read_run({**valid(), "encoder": {"name": ""}}))
    assert problem("output", "") == "run.toml: output: a path was expected, such as \"runs/first\" (found '')"


def test_the_mean_of_several_tasks_is_not_the_score_of_a_task() -> None:
    raw = valid()
    raw["datasets"]["pairs"]["tasks"] = {"mean": raw["datasets"]["pairs"]["tasks"].pop("same")}
    for select in ({"select": "mean"}, {}):
        with pytest.raises(ConfigError, match="is the mean score of all tasks: give the task 'mean' another name"):
            parse({**raw, "eval": select})
    assert parse({**raw, "eval": {"select": "tags"}}).eval.select == "tags"
    assert parse({**raw, "datasets": {"pairs": raw["datasets"]["pairs"]}, "eval": {}}).eval.select == "mean"


def test_options_of_another_registry_are_refused() -> None:
    sgd, temperature = SgdOptions(kind="sgd"), SAMPLERS.options("temperature")(kind="temperature")
    raw = valid()
    assert parse({**raw, "optimizer": sgd, "sampling": temperature}).optimizer == sgd
    for key, options in (("sampling", sgd), ("optimizer", temperature), ("sampling", SgdOptions(kind="temperature"))):
        with pytest.raises(ConfigError, match=f"{key}: (unknown .* kind|unknown|the options of the sampler)"):
            parse({**raw, key: options})
