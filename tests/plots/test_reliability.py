"""Reliability diagram."""

from __future__ import annotations

import numpy as np
import pytest

from nlpmtl.plots import describe_reliability, draw_reliability
from nlpmtl.plots.reliability import Reliability, reliability_diagram

CONFIDENCES = np.array([0.0, 0.55, 0.58, 0.6, 1.0])
CORRECT = np.array([False, True, False, True, True])


def test_predictions_are_counted_in_bins_that_include_their_upper_end() -> None:
    reliability = Reliability.from_predictions(CONFIDENCES, CORRECT)
    assert reliability.counts.tolist() == [1, 0, 0, 0, 0, 3, 0, 0, 0, 1]
    assert reliability.accuracy[[0, 5, 9]].tolist() == [0, pytest.approx(2 / 3), 1]
    assert reliability.confidence[5] == pytest.approx((0.55 + 0.58 + 0.6) / 3)
    assert np.isnan(reliability.accuracy[1])


def test_the_diagram_shows_confidence_and_accuracy_of_each_occupied_bin() -> None:
    axes, counts = reliability_diagram("topic", Reliability.from_predictions(CONFIDENCES, CORRECT)).axes
    diagonal, line = axes.get_lines()
    assert np.asarray(diagonal.get_xydata()).tolist() == [[0, 0], [1, 1]]
    assert len(np.asarray(line.get_xydata())) == len(axes.patches) == 3
    assert [bar.get_height() for bar in counts.patches] == [1, 0, 0, 0, 0, 3, 0, 0, 0, 1]  # type: ignore[attr-defined]


def test_the_alt_text_has_mean_confidence_and_accuracy() -> None:
    reliability = Reliability.from_predictions(CONFIDENCES, CORRECT)
    assert describe_reliability("topic", reliability) == (
        "Reliability diagram of topic: mean confidence 0.546, accuracy 0.600 of 5 predictions."
    )
    assert draw_reliability("topic", reliability).startswith(b"\x89PNG")
