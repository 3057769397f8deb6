"""Stages: what is reported, and durations without those of stages inside."""

from __future__ import annotations

from typing import Any

import pytest

from nlpmtl.stages import StageProgress, Stages, StopRequested


def test_the_duration_of_a_stage_excludes_the_stages_within_it() -> None:
    stages = Stages(now=iter([0.0, 1.0, 5.0, 7.0]).__next__)
    with stages.stage("training"), stages.stage("evaluating"):
        pass
    assert stages.seconds == {"training": 3.0, "evaluating": 4.0}


def test_a_repeated_stage_is_summed_also_if_it_raises() -> None:
    stages = Stages(now=iter([0.0, 1.0, 5.0, 7.0]).__next__)
    for _ in range(2):
        with pytest.raises(ValueError, match="plugin"), stages.stage("evaluating"):
            raise ValueError("plugin")
    assert stages.seconds == {"evaluating": 3.0}


def test_what_is_reported() -> None:
    events: list[Any] = []
    stages = Stages(events.append, now=iter([0.0, 2.0]).__next__)
    with stages.stage("tokenizing", total=3) as advance:
        advance(2)
        stages.stop_requested(2)
    assert events == [
        StageProgress("tokenizing", 0, 3),
        StageProgress("tokenizing", 2, 3),
        StopRequested(2),
        StageProgress("tokenizing", 2, 3, seconds=2.0),
    ]
