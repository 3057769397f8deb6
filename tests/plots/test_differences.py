"""Plot of score differences."""

from __future__ import annotations

import matplotlib.colors
import numpy as np

from nlpmtl.plots.canvas import BLUE, GREY, ORANGE
from nlpmtl.plots.differences import ScoreDifference, score_differences


def test_one_interval_per_task_coloured_by_significance() -> None:
    differences = [
        ScoreDifference("gains", 0.5, 0.75, (0.125, 0.375)),
        ScoreDifference("loses", 0.75, 0.5, (-0.375, -0.125)),
        ScoreDifference("unclear", 0.5, 0.625, (0.0, 0.25)),
    ]
    (axes,) = score_differences(differences, subtitle="subtitle").axes
    lines = [np.asarray(line.get_segments()[0])[:, 0].tolist() for line in axes.collections]  # type: ignore[attr-defined]
    assert lines == [list(difference.interval or ()) for difference in differences]
    points = [point for point in axes.lines if point.get_marker() == "o"]
    assert [np.asarray(point.get_xdata()).tolist() for point in points] == [[0.25], [-0.25], [0.125]]
    colours = [matplotlib.colors.to_hex(str(point.get_color())).upper() for point in points]
    assert colours == [BLUE, ORANGE, GREY]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["gains", "loses", "unclear"]
    assert {"0.500 → 0.750", "0.750 → 0.500", "0.500 → 0.625"} <= {text.get_text() for text in axes.texts}
    low, high = axes.get_ylim()
    assert low > high, "the first task is on top"
