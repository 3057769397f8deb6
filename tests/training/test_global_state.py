"""A run restores the global state of its process."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState

import nlpmtl
from nlpmtl.run import iter_train, load_config
from nlpmtl.training import global_state_restored, with_own_global_state
from tests.slow import slow_except
from tests.tiny import Trained, digest, make_run, read_json


@pytest.fixture(autouse=True)
def no_state() -> Iterator[None]:
    yield
    for state in (AcceleratorState, PartialState, GradientState):
        state._reset_state()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    run = make_run(tmp_path_factory.mktemp("run"), rows=20, train={"steps": 3, "batch_size": 4}, eval={"every": 3})
    run["datasets"] = {name: run["datasets"][name] for name in ("pairs", "texts")}
    return run


def drawn() -> list[Any]:
    return [torch.rand(3).tolist(), np.random.rand(3).tolist(), random.random()]


def start() -> None:
    torch.manual_seed(11)
    np.random.seed(11)
    random.seed(11)


def finish(run: dict[str, Any], output: Path) -> None:
    nlpmtl.train(run, output=output)


def close_early(run: dict[str, Any], output: Path) -> None:
    events: Any = iter_train(load_config(run), output=output)
    next(events)
    next(events)
    events.close()


def fail_early(run: dict[str, Any], output: Path) -> None:
    data = {"files": {"train": [{"text": "a", "label": "b", "tokens": ["a"]}]}}
    wrong = {"x": {"data": data, "input": {"text": "text"}, "tasks": {"t": {"kind": "regression", "label": "label"}}}}
    with pytest.raises(nlpmtl.errors.NlpmtlError):
        nlpmtl.train({**run, "datasets": wrong}, output=output)


def relate(run: dict[str, Any], output: Path) -> None:
    nlpmtl.relate(run, output=output, steps=20, encoders=1)


WAYS: list[Callable[[dict[str, Any], Path], None]] = [finish, close_early, fail_early, relate]


@pytest.mark.parametrize("exit_run", slow_except(WAYS, finish, close_early, fail_early))
def test_a_run_restores_the_random_generators(
    run: dict[str, Any], tmp_path: Path, exit_run: Callable[[dict[str, Any], Path], None]
) -> None:
    start()
    expected = drawn(), drawn()
    start()
    assert drawn() == expected[0]
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    exit_run(run, tmp_path / "out")
    assert drawn() == expected[1]
    assert (torch.get_num_threads(), torch.get_default_dtype()) == (threads, dtype)
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.slow
def test_a_comparison_restores_the_random_generators(run: dict[str, Any], tmp_path: Path) -> None:
    start()
    expected = drawn()
    start()
    nlpmtl.compare(run, output=tmp_path / "out", seeds=1)
    assert drawn() == expected


@pytest.mark.slow
def test_the_users_default_dtype_does_not_change_the_run(run: dict[str, Any], tmp_path: Path) -> None:
    nlpmtl.train(run, output=tmp_path / "one")
    torch.set_default_dtype(torch.float64)
    try:
        nlpmtl.train(run, output=tmp_path / "two")
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert read_json(tmp_path / "one/scores.json") == read_json(tmp_path / "two/scores.json")


@pytest.mark.parametrize("without_gradients", slow_except([torch.no_grad, torch.inference_mode], torch.inference_mode))
def test_a_run_trains_also_where_gradients_are_disabled(
    run: dict[str, Any], tmp_path: Path, without_gradients: Callable[[], AbstractContextManager[None]]
) -> None:
    with without_gradients():
        nlpmtl.train(run, output=tmp_path / "out")
        assert not torch.is_grad_enabled()
        assert torch.is_inference_mode_enabled() == (without_gradients is torch.inference_mode)
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("exit_run", WAYS)
@pytest.mark.slow
def test_an_accelerator_that_was_made_before_is_usable_after(
    run: dict[str, Any], tmp_path: Path, exit_run: Callable[[dict[str, Any], Path], None]
) -> None:
    mine = Accelerator(cpu=True, mixed_precision="bf16", gradient_accumulation_steps=3)
    exit_run(run, tmp_path / "out")
    assert mine.mixed_precision == "bf16"
    assert mine.gradient_accumulation_steps == 3
    assert mine.is_main_process
    assert mine.device == torch.device("cpu")
    model, optimizer = mine.prepare(model := torch.nn.Linear(2, 1), torch.optim.SGD(model.parameters(), lr=0.1))
    with mine.accumulate(model), mine.autocast():
        mine.backward(model(torch.ones(1, 2)).sum())
    optimizer.step()
    mine.wait_for_everyone()
    assert Accelerator(mixed_precision="bf16").state is not None, "a different one, as the state shows"


def test_an_accelerator_can_be_made_after(run: dict[str, Any], tmp_path: Path) -> None:
    nlpmtl.train(run, output=tmp_path / "out")
    assert AcceleratorState._shared_state == PartialState._shared_state == GradientState._shared_state == {}
    assert Accelerator(mixed_precision="bf16", cpu=True).mixed_precision == "bf16"


@pytest.mark.slow
def test_the_users_accelerator_does_not_change_the_run(run: dict[str, Any], tmp_path: Path) -> None:
    nlpmtl.train(run, output=tmp_path / "one", train={"precision": "fp32"})
    Accelerator(cpu=True, mixed_precision="bf16", gradient_accumulation_steps=3)
    nlpmtl.train(run, output=tmp_path / "two", train={"precision": "fp32"})
    assert read_json(tmp_path / "one/scores.json") == read_json(tmp_path / "two/scores.json")


def test_evaluate_does_not_use_the_global_random_state(trained: Trained) -> None:
    start()
    expected = drawn()
    start()
    nlpmtl.evaluate(trained.model_dir, trained.run)
    assert drawn() == expected


def test_each_ignored_setting_is_a_note_of_the_run(
    run: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "8")
    events: Any = iter_train(load_config(run), output=tmp_path / "out")
    started: Any = next(events)
    events.close()
    assert [note for note in started.notes if note.startswith("ACCELERATE_")] == [
        "ACCELERATE_GRADIENT_ACCUMULATION_STEPS = 8 is ignored: train.batch_size counts the rows of an optimizer step, "
        "and train.micro_tokens limits a forward pass"
    ]


@with_own_global_state
def events_of(seed: int) -> Iterator[list[Any]]:
    """Yield random numbers, as a run that seeds its generators and is then interrupted between its draws."""
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
    with torch.enable_grad():
        for _ in range(20):
            first = torch.rand(1).tolist(), np.random.rand(1).tolist()
            time.sleep(0.001)
            yield [first, drawn()]
    AcceleratorState._shared_state["of"] = seed


def test_the_events_of_runs_may_be_read_in_turn() -> None:
    start()
    expected, separate = drawn(), [list(events_of(seed)) for seed in (1, 2)]
    start()
    with torch.no_grad():
        pairs = zip(*map(events_of, (1, 2)), strict=True)
        first = next(pairs)
    assert drawn() == expected, "the caller has its own generators"
    assert [list(events) for events in zip(first, *pairs, strict=True)] == separate
    assert torch.is_grad_enabled()


def test_the_events_of_runs_may_be_read_by_several_threads() -> None:
    seeds = range(4)
    separate, together = [list(events_of(seed)) for seed in seeds], {}

    def read(seed: int) -> None:
        together[seed] = list(events_of(seed))

    threads = [threading.Thread(target=read, args=(seed,)) for seed in seeds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[seed] for seed in seeds] == separate


@pytest.mark.parametrize("enabled", [True, False])
def test_autocast_of_the_caller_is_disabled(enabled: bool) -> None:
    """Within a block of autocast, PyTorch would use the cast weights of the first step in all steps."""
    weight = torch.ones(2, 2, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
        with global_state_restored():
            assert not torch.is_autocast_enabled("cpu")
            for value in (1.0, 2.0):
                with torch.no_grad():
                    weight.fill_(value)
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    assert (weight @ torch.ones(2, 1)).tolist() == [[2 * value]] * 2
        assert torch.is_autocast_enabled("cpu") == enabled
        assert torch.is_autocast_cache_enabled()


@pytest.mark.slow
@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_autocast_of_the_caller_does_not_change_the_run(
    run: dict[str, Any], tmp_path: Path, precision: str, enabled: bool
) -> None:
    nlpmtl.train(run, output=tmp_path / "one", train={"precision": precision})
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
        nlpmtl.train(run, output=tmp_path / "two", train={"precision": precision})
    assert digest(tmp_path / "one/model") == digest(tmp_path / "two/model")


@pytest.mark.slow
def test_two_threads_may_train_while_a_third_evaluates(run: dict[str, Any], tmp_path: Path) -> None:
    precisions = ("fp32", "bf16")
    for precision in precisions:
        nlpmtl.train(run, output=tmp_path / precision, train={"precision": precision})
    threads = [
        threading.Thread(
            target=nlpmtl.train,
            args=[run],
            kwargs={"output": tmp_path / f"{precision}-2", "train": {"precision": precision}},
        )
        for precision in precisions
    ]
    for thread in threads:
        thread.start()
    nlpmtl.evaluate(tmp_path / "fp32/model", run)
    for thread in threads:
        thread.join()
    for precision in precisions:
        assert digest(tmp_path / precision / "model") == digest(tmp_path / f"{precision}-2/model")
