"""Every part of `make faults` with few repetitions."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import (
    batch_dependence,
    damage,
    endurance,
    kills,
    long_texts,
    non_finite,
    resume,
    resume_faults,
    serving,
    signals,
    world_size,
)
from tests.faults.__main__ import page
from tests.faults.harness import FaultCount


def assert_all_passed(count: FaultCount, *, min_attempts: int) -> None:
    assert count.attempts >= min_attempts
    assert count.failures == []


def test_the_page_has_the_duration_and_where_each_part_ran() -> None:
    counted = {"what": "a fault", "tried": 3, "wrong": [], "date": "2026-11-30", "commit": "abc"}
    text = page(
        {
            "resume": {**counted, "seconds": 3000},
            "damage": {**counted, "seconds": 2400, "environment": "Python 3.11"},
            "signals": {**counted, "seconds": 600, "environment": "Python 3.11"},
        }
    )
    assert "takes 1.7 hours" in text
    assert text.endswith("- not recorded: resume.\n- Python 3.11: damage, signals.\n")


def test_every_pair_of_settings_is_covered() -> None:
    all_settings = resume.settings()
    chosen = resume.covering_pairs(all_settings)
    assert len(chosen) < len(all_settings) / 2
    for i, j in ((0, 1), (0, 3), (2, 3)):
        assert {(setting[i], setting[j]) for setting in chosen} == {
            (setting[i], setting[j]) for setting in all_settings
        }


@pytest.mark.slow
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    """With all stateful components at once, and with each sharing scheme; three micro-batches per step."""
    settings = [setting for setting in resume.settings() if setting[:3] == (1, 3, "mixed")]
    chosen = [setting for setting in settings if setting[3].startswith(("all", "relations", "sharing"))]
    assert_all_passed(resume.from_every_step(tmp_path, chosen, every=4, last=6), min_attempts=len(chosen))


@pytest.mark.slow
def test_resuming_with_each_pair_of_settings(tmp_path: Path) -> None:
    chosen = resume.covering_pairs(resume.settings())
    assert_all_passed(resume.from_every_step(tmp_path, chosen, every=13), min_attempts=3 * len(chosen))


@pytest.mark.slow
def test_the_latest_checkpoint_loads_after_kills_at_random_times(tmp_path: Path) -> None:
    assert_all_passed(kills.at_random(tmp_path, repetitions=4, finished=1), min_attempts=4)


@pytest.mark.slow
def test_kills_while_a_checkpoint_is_written(tmp_path: Path) -> None:
    assert_all_passed(kills.at_points(tmp_path, every=11), min_attempts=8)


@pytest.mark.slow
def test_kills_while_resuming(tmp_path: Path) -> None:
    assert_all_passed(resume_faults.killed(tmp_path, every=31), min_attempts=11)


@pytest.mark.slow
def test_resuming_with_other_data_is_refused(tmp_path: Path) -> None:
    assert_all_passed(resume_faults.other_data(tmp_path), min_attempts=8)


def test_damaged_checkpoints_are_detected(tmp_path: Path) -> None:
    assert_all_passed(damage.mutations(tmp_path, repetitions=24, resumed=1), min_attempts=24)


def test_without_an_intact_checkpoint_resuming_is_an_error(tmp_path: Path) -> None:
    assert_all_passed(damage.all_damaged(tmp_path), min_attempts=3)


def test_a_full_disk_is_a_plain_error(tmp_path: Path) -> None:
    assert_all_passed(damage.full_disk(tmp_path, repetitions=1), min_attempts=1)


@pytest.mark.slow
def test_a_signal_stops_all_processes_at_a_checkpoint(tmp_path: Path) -> None:
    assert_all_passed(signals.stop(tmp_path, repetitions=8), min_attempts=8)


@pytest.mark.slow
def test_a_killed_process_is_restarted(tmp_path: Path) -> None:
    assert_all_passed(signals.restart(tmp_path, repetitions=2), min_attempts=2)


@pytest.mark.slow
def test_the_number_of_processes_may_change(tmp_path: Path) -> None:
    assert_all_passed(world_size.change(tmp_path, batches=["mixed"], world_sizes=[(1, 2, 1)]), min_attempts=41)


@pytest.mark.slow
def test_a_non_finite_loss_stops_the_run(tmp_path: Path) -> None:
    assert_all_passed(non_finite.stop(tmp_path), min_attempts=3)


@pytest.mark.slow
def test_a_non_finite_step_is_skipped(tmp_path: Path) -> None:
    assert_all_passed(non_finite.skip(tmp_path, world_sizes=[1]), min_attempts=3)


@pytest.mark.slow
def test_out_of_memory_gives_the_same_weights_in_two_processes(tmp_path: Path) -> None:
    assert_all_passed(non_finite.out_of_memory(tmp_path, world_sizes=[2]), min_attempts=1)


@pytest.mark.slow
def test_out_of_memory_gives_the_same_weights(tmp_path: Path) -> None:
    assert_all_passed(non_finite.out_of_memory(tmp_path, world_sizes=[1]), min_attempts=1)


@pytest.mark.slow
def test_memory_and_open_files_do_not_grow(tmp_path: Path) -> None:
    assert_all_passed(endurance.steps(tmp_path, steps=1000), min_attempts=2)


@pytest.mark.slow
def test_slow_clients_do_not_block_other_requests(tmp_path: Path) -> None:
    assert_all_passed(serving.slow_clients(tmp_path, connections=50), min_attempts=127)


@pytest.mark.slow
def test_a_tokenizer_that_panics_fails_only_its_own_requests(tmp_path: Path) -> None:
    assert_all_passed(serving.panics(tmp_path, requests=60), min_attempts=61)


@pytest.mark.slow
def test_encoders_whose_padding_leaks_are_refused(tmp_path: Path) -> None:
    assert_all_passed(batch_dependence.batches(tmp_path, names=["bert", "canine", "fnet"]), min_attempts=3)


@pytest.mark.slow
def test_long_texts_take_bounded_memory(tmp_path: Path) -> None:
    assert_all_passed(long_texts.memory(tmp_path, cases=["a text"], size=250_000), min_attempts=1)
