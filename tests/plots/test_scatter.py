"""Plot of predicted over true values."""

from __future__ import annotations

import numpy as np

from nlpmtl.plots.scatter import scatter_plot
from nlpmtl.tasks import RegressionPairs


def test_both_axes_have_one_scale_and_all_finite_points() -> None:
    (axes,) = scatter_plot("grade", RegressionPairs(np.array([1.0, 2.0, 3.0]), np.array([0.5, 2.0, np.inf]))).axes
    assert np.asarray(axes.collections[0].get_offsets()).tolist() == [[1.0, 0.5], [2.0, 2.0]]
    assert axes.get_xlim() == axes.get_ylim()
    assert axes.get_xlim()[0] < 0.5
    assert axes.get_xlim()[1] > 2.0
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("true", "predicted")
