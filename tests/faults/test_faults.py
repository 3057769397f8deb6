"""Each fault of `make faults`, a few times: enough to see it fail, little enough for every change."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import (
    damage,
    encoders,
    endurance,
    killing,
    long_texts,
    numbers,
    resumed,
    resuming,
    serving,
    stopping,
    worlds,
)
from tests.faults.harness import Count


def all_right(count: Count, *, least: int) -> None:
    assert count.tried >= least
    assert count.wrong == []


def test_every_pair_of_settings_is_covered() -> None:
    whole = resuming.settings()
    chosen = resuming.in_pairs(whole)
    assert len(chosen) < len(whole) / 2
    for i, j in ((0, 1), (0, 3), (2, 3)):
        assert {(one[i], one[j]) for one in chosen} == {(one[i], one[j]) for one in whole}


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    """With all that may remember something at once, and with each way of sharing, in three micro-batches a step."""
    whole = [one for one in resuming.settings() if one[:3] == (1, 3, "mixed")]
    chosen = [one for one in whole if one[3].startswith(("all", "relations", "sharing"))]
    all_right(resuming.from_every_step(tmp_path, chosen, every=4, last=6), least=len(chosen) - 1)


@pytest.mark.slow
def test_resuming_with_each_pair_of_settings(tmp_path: Path) -> None:
    chosen = resuming.in_pairs(resuming.settings())
    all_right(resuming.from_every_step(tmp_path, chosen, every=13), least=3 * len(chosen))


def test_the_latest_checkpoint_loads_after_kills_at_random_times(tmp_path: Path) -> None:
    all_right(killing.at_random(tmp_path, many=4, finished=1), least=4)


@pytest.mark.slow
def test_kills_at_each_fsync(tmp_path: Path) -> None:
    all_right(killing.at_points(tmp_path, times=1), least=8)


@pytest.mark.slow
def test_kills_while_resuming(tmp_path: Path) -> None:
    all_right(resumed.killed(tmp_path, every=11), least=8)


def test_resuming_with_other_data_is_refused(tmp_path: Path) -> None:
    all_right(resumed.other_data(tmp_path), least=8)


def test_damaged_checkpoints_are_detected(tmp_path: Path) -> None:
    all_right(damage.mutations(tmp_path, many=24), least=24)


def test_without_an_intact_checkpoint_resuming_is_an_error(tmp_path: Path) -> None:
    all_right(damage.all_damaged(tmp_path), least=3)


def test_a_full_disk_is_a_plain_error(tmp_path: Path) -> None:
    all_right(damage.full_disk(tmp_path, many=2), least=2)


@pytest.mark.slow
def test_a_signal_stops_all_processes_at_a_checkpoint(tmp_path: Path) -> None:
    all_right(stopping.signals(tmp_path, many=8), least=8)


@pytest.mark.slow
def test_a_killed_process_is_restarted(tmp_path: Path) -> None:
    all_right(stopping.replaced(tmp_path, many=2), least=2)


@pytest.mark.slow
def test_the_number_of_processes_may_change(tmp_path: Path) -> None:
    all_right(worlds.changing(tmp_path, kinds=["mixed"], orders=[(1, 2, 1)]), least=41)


def test_a_non_finite_loss_stops_the_run(tmp_path: Path) -> None:
    all_right(numbers.stopped(tmp_path), least=3)


def test_a_non_finite_step_is_skipped(tmp_path: Path) -> None:
    all_right(numbers.left_out(tmp_path, worlds=[1]), least=3)


@pytest.mark.slow
def test_out_of_memory_gives_the_same_weights_in_two_processes(tmp_path: Path) -> None:
    all_right(numbers.memory(tmp_path, worlds=[2]), least=1)


def test_out_of_memory_gives_the_same_weights(tmp_path: Path) -> None:
    all_right(numbers.memory(tmp_path, worlds=[1]), least=1)


@pytest.mark.slow
def test_memory_and_open_files_do_not_grow(tmp_path: Path) -> None:
    all_right(endurance.steps(tmp_path, many=1000), least=2)


@pytest.mark.slow
def test_slow_clients_do_not_block_other_requests(tmp_path: Path) -> None:
    all_right(serving.slow_clients(tmp_path, connections=50), least=127)


@pytest.mark.slow
def test_a_tokenizer_that_panics_fails_only_its_own_requests(tmp_path: Path) -> None:
    all_right(serving.panics(tmp_path, requests=60), least=61)


def test_encoders_whose_padding_leaks_are_refused(tmp_path: Path) -> None:
    all_right(encoders.batches(tmp_path, names=["bert", "canine", "fnet"]), least=3)


@pytest.mark.slow
def test_long_texts_take_bounded_memory(tmp_path: Path) -> None:
    all_right(long_texts.memory(tmp_path, cases=["a text"], size=250_000), least=1)
