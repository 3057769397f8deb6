"""Models with the kinds, metrics and sharing schemes of a plugin, wherever a model is loaded."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import nlpmtl
from nlpmtl import ConfigError, ModelError, Predictor
from nlpmtl.cli import app
from nlpmtl.plugins import import_plugins
from nlpmtl.registry import METRICS, SHARINGS, TASKS
from nlpmtl.run_config import load_run
from tests.tiny import make_run, train_tiny

CODE = '''
from nlpmtl.metrics import Metric
from nlpmtl.model.sharing.hard import Hard
from nlpmtl.plugins import import_plugins
from nlpmtl.registry import METRICS, SHARINGS, TASKS
from nlpmtl.tasks import Classification


@METRICS.register("share_right")
class ShareRight(Metric):
    """Fraction of correct labels."""

    name = "share_right"
    reads = frozenset({"label"})

    def score(self, predictions, references):
        return sum(a == b for a, b in zip(predictions, references)) / len(references)


@TASKS.register("own_kind")
class OwnKind(Classification):
    """A classification of the plugin."""

    kind = "own_kind"
    metrics = ("share_right",)


@SHARINGS.register("own_sharing")
class OwnSharing(Hard):
    """A sharing scheme of the plugin."""
'''


def forget(name: str) -> None:
    """Leave the registries as they are in a process that has not imported the plugin."""
    for registry, member in ((METRICS, "share_right"), (TASKS, "own_kind"), (SHARINGS, "own_sharing")):
        registry._members.pop(member, None)
    sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def plugin_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("plugins")
    (directory / "own_kinds_of_test.py").write_text(CODE)
    return directory


@pytest.fixture(autouse=True)
def in_plugin_dir(plugin_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(plugin_dir)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    forget("own_kinds_of_test")


@pytest.fixture(scope="module")
def models(plugin_dir: Path) -> dict[str, Path]:
    """Models with a task type and a sharing scheme of the plugin, and with only a metric of it."""
    model_dirs = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(plugin_dir)
        for name, kind, sharing in (("kind", "own_kind", "own_sharing"), ("metric", "classification", "hard")):
            run = make_run(plugin_dir / name, train={"steps": 1, "batch_size": 4}, plugins=["own_kinds_of_test"])
            task = {"kind": kind, "label": "topic", "metrics": ["share_right"]}
            run["datasets"] = {"texts": {**run["datasets"]["texts"], "tasks": {"topic": task}}}
            model_dirs[name] = train_tiny({**run, "sharing": {"kind": sharing}}).model_dir
            forget("own_kinds_of_test")
    return model_dirs


def test_a_metric_is_not_needed_to_load_a_model(models: Mapping[str, Path]) -> None:
    predictor = Predictor.from_pretrained(models["metric"])
    assert set(predictor.predict("a cat", task="topic")) == {"label", "score"}
    assert predictor.tasks["topic"].to_config()["metrics"] == ["share_right"]
    assert predictor.model.config.tasks["topic"]["metrics"] == ["share_right"]


def test_an_unknown_kind_says_that_a_plugin_may_register_it(models: Mapping[str, Path]) -> None:
    with pytest.raises(ModelError, match=r"'own_kind'.*--plugins MODULE, or plugins=\[…\] in Python"):
        Predictor.from_pretrained(models["kind"])
    assert "own_kinds_of_test" not in sys.modules


def test_plugins_of_the_predictor(models: Mapping[str, Path]) -> None:
    predictor = Predictor.from_pretrained(models["kind"], plugins=["own_kinds_of_test"])
    assert set(predictor.predict("a cat", task="topic")) == {"label", "score"}


def test_an_unknown_sharing_scheme_says_so_too(models: Mapping[str, Path]) -> None:
    nlpmtl.plugins.import_plugins(["own_kinds_of_test"])
    SHARINGS._members.pop("own_sharing")
    with pytest.raises(ModelError, match=r"unknown sharing scheme 'own_sharing'.*--plugins MODULE"):
        Predictor.from_pretrained(models["kind"])


def data_file(plugin_dir: Path, kind: str, to_toml: Callable[[Mapping[str, Any]], str]) -> Path:
    dataset = make_run(plugin_dir / "data")["datasets"]["texts"]
    task = {"kind": kind, "label": "topic"}
    path = plugin_dir / f"{kind}.toml"
    path.write_text(to_toml({**dataset, "tasks": {"topic": task}}))
    return path


def test_scoring_takes_plugins(
    models: Mapping[str, Path], plugin_dir: Path, to_toml: Callable[[Mapping[str, Any]], str]
) -> None:
    plain = data_file(plugin_dir, "classification", to_toml)
    with pytest.raises(ConfigError, match=r"unknown metric 'share_right'.*--plugins MODULE"):
        nlpmtl.evaluate(models["metric"], plain)
    scores = nlpmtl.evaluate(models["metric"], plain, plugins=["own_kinds_of_test"])
    assert set(scores["topic"]) == {"share_right", "score", "rows"}
    forget("own_kinds_of_test")
    dataset = data_file(plugin_dir, "own_kind", to_toml)
    scores = nlpmtl.evaluate(models["kind"], dataset, plugins=["own_kinds_of_test"])
    assert set(scores["topic"]) == {"share_right", "score", "rows"}


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.slow
def test_every_command_that_loads_a_model_takes_plugins(
    models: Mapping[str, Path], plugin_dir: Path, to_toml: Callable[[Mapping[str, Any]], str]
) -> None:
    plugin_model, data = models["kind"], data_file(plugin_dir, "own_kind", to_toml)
    commands: dict[str, tuple[object, ...]] = {
        "predict": ("predict", plugin_model, "a cat"),
        "evaluate": ("evaluate", plugin_model, "--data", data),
        "show": ("show", plugin_model),
    }
    for name, command in commands.items():
        forget("own_kinds_of_test")
        refused = invoke(*command)
        assert refused.exit_code == 2, name
        assert "unknown task type 'own_kind'" in refused.stderr
        result = invoke(*command, "--plugins", "own_kinds_of_test")
        assert (result.exit_code, result.exception) == (0, None), name
    forget("own_kinds_of_test")
    assert "own_kind" in invoke("show", "kinds", "--plugins", "own_kinds_of_test").stdout
    for verb in ("predict", "evaluate", "serve", "export", "submit", "show"):
        assert "--plugins" in invoke(verb, "--help").stdout


@pytest.mark.slow
def test_a_kind_of_a_plugin_is_exported_to_onnx(models: Mapping[str, Path], plugin_dir: Path) -> None:
    result = invoke(
        "export", models["kind"], "--to", "onnx", "--output", plugin_dir / "onnx", "--plugins", "own_kinds_of_test"
    )
    assert (result.exit_code, result.exception) == (0, None)
    forget("own_kinds_of_test")
    with pytest.raises(ModelError, match=r"unknown task type 'own_kind'.*--plugins"):
        Predictor.from_pretrained(plugin_dir / "onnx")
    assert Predictor.from_pretrained(plugin_dir / "onnx", plugins=["own_kinds_of_test"]).predict_all("a cat")


@pytest.mark.parametrize(
    ("plugins", "message"),
    [
        (["no_such_module"], "plugins: 'no_such_module' cannot be imported"),
        (["broken_of_test"], "plugins: 'broken_of_test' cannot be imported: ZeroDivisionError"),
        (
            ["constant_of_test"],
            r"cannot be imported: `size = 16` in a task type has no annotation: write .* for a constant$",
        ),
        (["old_of_test"], r"`default_metrics = .*` in a task type is written for nlpmtl 0.1: .* now called `metrics`$"),
        (["script_of_test"], "plugins: 'script_of_test' cannot be imported: SystemExit: 3"),
        (["own_kinds_of_test.py"], r"cannot be imported.*write 'own_kinds_of_test', without the ending"),
        ("own_kinds_of_test", "plugins: a list of module names was expected"),
        ([3], "plugins: the name of a module was expected, found 3"),
        (3, "plugins: a list of module names was expected"),
        ([""], "plugins: '' cannot be imported"),
        ([".own"], "plugins: '.own' cannot be imported"),
        (["../own"], "plugins: '../own' cannot be imported: it is not the name of a module"),
        (
            ["kinds/own.py"],
            r"it is not the name of a module.*\(write 'kinds.own', without the ending; the module is searched for in",
        ),
        (["/a/own.py"], r"\(write 'own', and put its directory on PYTHONPATH: PYTHONPATH=/a; or run from /a\)$"),
        (["../own.py"], r"\(write 'own', and put its directory on PYTHONPATH: PYTHONPATH=\.\.; or run from \.\.\)$"),
        (["~/kinds/own"], r"\(write 'own', and put its directory on PYTHONPATH: PYTHONPATH=~/kinds; or run from"),
        (["C:\\a\\own.py"], r"\(write 'own', and put its directory on PYTHONPATH: PYTHONPATH=C:"),
        (["/a/my-kinds.py"], r"\(rename it: a module has a name of letters, digits and _, not 'my-kinds'\)$"),
    ],
)
def test_a_plugin_that_cannot_be_imported(
    models: Mapping[str, Path], plugin_dir: Path, plugins: Any, message: str
) -> None:
    (plugin_dir / "broken_of_test.py").write_text("1 / 0")
    (plugin_dir / "script_of_test.py").write_text("raise SystemExit(3)")
    (plugin_dir / "constant_of_test.py").write_text(
        "from nlpmtl.tasks import Regression\n\nclass Constant(Regression):\n    kind = 'constant'\n    size = 16\n"
    )
    (plugin_dir / "old_of_test.py").write_text(
        "from nlpmtl.tasks import Regression\n\nclass Old(Regression):\n    default_metrics = ('mae',)\n"
    )
    before = list(sys.path)
    with pytest.raises(ConfigError, match=message):
        Predictor.from_pretrained(models["kind"], plugins=plugins)
    assert sys.path == before


@pytest.mark.parametrize("plugins", ["own_kinds_of_test", 3, {"own_kinds_of_test": True}], ids=repr)
def test_invalid_plugins_of_a_run_are_reported_before_its_kinds(plugins: Any) -> None:
    tasks = {"topic": {"kind": "own_kind", "label": "topic"}}
    data = {"data": {"files": {"train": [{"text": "a", "topic": "x"}]}}, "input": {"text": "text"}, "tasks": tasks}
    run = {"encoder": {"name": "no/such-encoder"}, "datasets": {"d": data}, "output": "never", "plugins": plugins}
    with pytest.raises(ConfigError, match="config: plugins: a list of module names was expected, such as "):
        nlpmtl.train(run)


def test_a_run_is_resumed_whose_dataset_file_has_a_kind_of_a_plugin(tmp_path: Path) -> None:
    tasks = '[tasks.topic]\nkind = "own_kind"\nlabel = "topic"\n'
    (tmp_path / "texts.toml").write_text(f'[data]\nfiles.train = "a.jsonl"\n[input]\ntext = "text"\n{tasks}')
    output = tmp_path / "out"
    tables = '[encoder]\nname = "some/encoder"\n[datasets.texts]\nextends = "texts.toml"\n'
    (tmp_path / "run.toml").write_text(f'plugins = ["own_kinds_of_test"]\noutput = "{output.as_posix()}"\n{tables}')
    output.mkdir()
    (output / "run.json").write_text('{"overrides": {"seed": 9}}')
    config, overrides = load_run(tmp_path / "run.toml", output=None, resume=True, overrides={})
    assert (config.tasks["topic"].kind, config.seed, overrides) == ("own_kind", 9, {"seed": 9})


@pytest.mark.parametrize("first", [True, False], ids=["python -m nlpmtl", "console script"])
@pytest.mark.parametrize("leaves", [True, False], ids=["", "the plugin removes the directory"])
def test_a_plugin_imports_a_module_next_to_it_later(
    first: bool, leaves: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    others = [path for path in sys.path if path != str(tmp_path)]
    monkeypatch.setattr(sys, "path", [str(tmp_path), *others] if first else [*others])
    suffix = f"{first}_{leaves}".lower()
    code = "" if leaves else f"import sys\nsys.path.remove({str(tmp_path)!r})\n"
    (tmp_path / f"later_{suffix}.py").write_text(
        f"{code}def read():\n    import next_{suffix} as m\n    return m.VALUE\n"
    )
    (tmp_path / f"next_{suffix}.py").write_text("VALUE = 3\n")
    for _ in range(2):
        import_plugins([f"later_{suffix}"])
        if leaves:
            assert sys.path == ([str(tmp_path), *others] if first else [*others, str(tmp_path)])
            assert sys.modules[f"later_{suffix}"].read() == 3
