"""Plot of the task affinities."""

from __future__ import annotations

import numpy as np

from nlpmtl.plots.affinity import affinity_map

MEAN = np.array([[0.02, 0.01, -0.002], [0.004, 0.03, np.nan], [-0.01, 0.0, 0.01]])
SIGNIFICANT = np.array([[True, True, False], [True, True, False], [True, False, True]])


def test_significant_effects_have_a_colour() -> None:
    (axes,) = affinity_map(("a", "b", "c"), MEAN, significant=SIGNIFICANT).axes
    printed = [text.get_text() for text in axes.texts]
    assert printed == ["+2.00", "+1.00", "-0.20", "+0.40", "+3.00", "?", "-1.00", "+0.00", "+1.00"]
    colours = axes.images[0].get_array()
    assert colours is not None
    white = (np.asarray(colours)[:, :, :3] == 1).all(axis=2)
    np.testing.assert_array_equal(white, ~SIGNIFICANT)
    helps, hurts = np.asarray(colours)[0, 1], np.asarray(colours)[2, 0]
    assert helps[2] > helps[0], "blue"
    assert hurts[0] > hurts[2], "orange"
    assert (np.asarray(colours)[0, 1, :3] < np.asarray(colours)[1, 0, :3]).all(), "stronger effects are darker"
