"""Every sharing scheme from a run to its predictions."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from nlpmtl import Predictor
from nlpmtl.errors import ModelError, NlpmtlError
from nlpmtl.hub import load_model
from nlpmtl.model import MultiTaskModel, load_encoder
from nlpmtl.run import TrainingStarted, iter_train, load_config
from tests.model.sharing.schemes import CASES
from tests.slow import slow_except
from tests.tiny import Trained, checkpoint, make_run, max_weight_difference, numbers, train_tiny, weights

TRAIN: dict[str, Any] = {"steps": 4, "batch_size": 8, "lr": 1e-2, "save_every": 2}
TEXTS = ["ada lives in turin", "a good film or a bad book", "red"]
RELATED = {"relations": "covariance", "relations_strength": 0.01}


@pytest.fixture(scope="module")
def with_lora(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train_tiny(make_run(tmp_path_factory.mktemp("lora"), sharing={**CASES["lora"], **RELATED}, train=TRAIN))


@pytest.mark.parametrize("case", slow_except([case for case in CASES if case != "hard"], "lora"))
def test_a_scheme_is_trained_saved_loaded_and_predicts(case: str, with_lora: Trained, tmp_path: Path) -> None:
    trained = with_lora
    if case != "lora":
        trained = train_tiny(make_run(tmp_path, sharing={**CASES[case], **RELATED}, train=TRAIN))
    before = weights(checkpoint(trained.output, 2))
    after = weights(trained.model_dir)
    assert before.keys() == after.keys()
    predictor = Predictor.from_pretrained(trained.model_dir)
    assert isinstance(predictor.model, MultiTaskModel)
    kept = predictor.model.state_dict()
    assert all(torch.equal(kept[name], weight) for name, weight in after.items())
    for task in predictor.model.tasks:
        for name in predictor.model.sharing.task_parameters(task):
            assert torch.isfinite(predictor.model.sharing.task_parameters(task)[name]).all()
    together = predictor.predict_all(TEXTS)
    assert set(together[0]) == {"topic", "mood", "places", "kinds"}
    for task in together[0]:
        assert numbers([prediction[task] for prediction in together]) == pytest.approx(
            numbers(predictor.predict(TEXTS, task=task)), abs=1e-5
        )


def test_a_resumed_run_keeps_the_task_covariance(with_lora: Trained, tmp_path: Path) -> None:
    shutil.copytree(with_lora.output, tmp_path / "stopped")
    for name in ("model", "best"):
        shutil.rmtree(tmp_path / "stopped" / name)
    shutil.rmtree(checkpoint(tmp_path / "stopped", 4))
    resumed = train_tiny(with_lora.run, tmp_path / "stopped", resume=True)
    assert max_weight_difference(with_lora.model_dir, resumed.model_dir) == 0.0
    assert any("covariance" in name for name in weights(resumed.model_dir))


@pytest.mark.parametrize("extra", [{"gradient_checkpointing": True}, {"freeze": True}])
@pytest.mark.slow
def test_schemes_work_with_every_encoder_option(extra: dict[str, bool], tmp_path: Path) -> None:
    run = make_run(tmp_path, sharing={"kind": "layers", "shared": 1}, train=TRAIN, dropout=0.0)
    plain = train_tiny(run, tmp_path / "plain")
    configured = train_tiny({**run, "encoder": {**run["encoder"], **extra}}, tmp_path / "configured")
    if "freeze" not in extra:
        assert max_weight_difference(plain.model_dir, configured.model_dir) < 1e-5
        return
    first, last = weights(checkpoint(configured.output, 2)), weights(configured.model_dir)
    moved = {name for name in last if not torch.equal(first[name], last[name])}
    assert any(".copies." in name for name in moved)
    assert not any(".embeddings." in name or ".layer.0." in name for name in moved)


@pytest.mark.slow
def test_packed_and_padded_rows_give_the_same_weights(tmp_path: Path) -> None:
    train = {**TRAIN, "lr": 1e-3, "precision": "fp64", "micro_tokens": 60}
    run = make_run(tmp_path, dropout=0.0, train=train, sharing={"kind": "adapters", "form": "pal", "size": 6})
    packed = train_tiny(run, tmp_path / "packed")
    padded = train_tiny({**run, "encoder": {**run["encoder"], "attn_implementation": "sdpa"}}, tmp_path / "padded")
    assert max_weight_difference(packed.model_dir, padded.model_dir) < 1e-8


def test_the_cost_of_sharing_is_noted_except_for_hard_sharing(tmp_path: Path) -> None:
    notes = {}
    for kind in ("hard", "cross_stitch"):
        run = make_run(tmp_path, sharing={"kind": kind}, train=TRAIN)
        events = iter_train(load_config(run), output=tmp_path / kind)
        notes[kind] = next(event for event in events if isinstance(event, TrainingStarted)).notes
    assert not any("sharing" in note for note in notes["hard"])
    (note,) = [note for note in notes["cross_stitch"] if "sharing" in note]
    assert note.startswith("sharing by 'cross_stitch': ")
    # Five columns of layers; each mixing is 25 · 32 more to the 7,168 multiplications of a column's layer.
    assert note.endswith("tasks per row a forward pass costs 5.11 times that of hard sharing")


@pytest.mark.slow
def test_a_model_with_an_encoder_per_task_can_be_an_encoder_only_by_task(tmp_path: Path) -> None:
    trained = train_tiny(make_run(tmp_path, sharing={"kind": "lora"}, train=TRAIN))
    with pytest.raises(
        ModelError, match=r"has the sharing scheme 'lora', so its tasks do not share .*start from the export"
    ):
        load_encoder(str(trained.model_dir))
    predictor = Predictor.from_pretrained(trained.model_dir)
    predictor.export(tmp_path / "topic", task="topic")
    assert load_encoder(str(tmp_path / "topic")).head_init
    model, _ = load_model(str(trained.model_dir))
    stock = load_encoder(str(tmp_path / "topic")).model.state_dict()
    encoder = model.sharing.standalone_encoder("topic")
    assert encoder is not None
    assert all(torch.equal(stock[name], weight) for name, weight in encoder.state_dict().items())


def test_invalid_options_are_refused_with_their_key(tmp_path: Path) -> None:
    for sharing, message in (
        ({"kind": "layers", "shared": -1}, "sharing.shared"),
        ({"kind": "lora", "rank": 0}, "sharing.rank"),
        ({"kind": "adapters", "form": "pals"}, "sharing.form"),
        ({"kind": "hard", "relations": "covarianc"}, "sharing.relations"),
        ({"kind": "cross_stitch", "sped": 3}, "sharing.sped: unknown key; did you mean 'speed'"),
    ):
        with pytest.raises(NlpmtlError, match=message):
            load_config(make_run(tmp_path, sharing=sharing))


@pytest.mark.slow
def test_two_processes_give_the_weights_of_one_for_every_scheme(tmp_path: Path) -> None:
    """Compares all weights except the biases of keys.

    Softmax does not depend on those biases, so their gradient is 0 but for rounding. AdamW divides it by its own size,
    and the penalty of `soft_l2` passes the rounding of one copy on to the others.
    """
    train = {**TRAIN, "lr": 1e-3, "precision": "fp64", "save_every": 4}
    run = make_run(tmp_path, rows=20, dropout=0.0, train=train)
    runs = {case: {**run, "sharing": options} for case, options in CASES.items() if case != "hard"}
    model_dirs = {case: train_tiny(config, tmp_path / "one" / case).model_dir for case, config in runs.items()}
    configs = [{**config, "output": str(tmp_path / "two" / case)} for case, config in runs.items()]
    (tmp_path / "runs.json").write_text(json.dumps(configs), encoding="utf-8")
    script = tmp_path / "script.py"
    script.write_text(
        "import json, os, sys\nimport nlpmtl\nassert os.environ['WORLD_SIZE'] == '2'\n"
        "for run in json.load(open(sys.argv[1])):\n    nlpmtl.train(run)\n",
        encoding="utf-8",
    )
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    result = subprocess.run(
        [*start, str(script), str(tmp_path / "runs.json")], capture_output=True, text=True, timeout=600
    )
    assert result.returncode == 0, result.stderr[-4000:]
    for case, model_dir in model_dirs.items():
        single, distributed = weights(model_dir), weights(tmp_path / "two" / case / "model")
        assert single.keys() == distributed.keys()
        for name in single:
            if not name.endswith("attention.self.key.bias"):
                assert float((single[name] - distributed[name]).abs().max()) < 1e-10, (case, name)
