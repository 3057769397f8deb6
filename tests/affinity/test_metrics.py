"""Task affinity and gradient cosines in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from nlpmtl.affinity.metrics import affinity, cosines, step_size


def test_a_lower_loss_is_a_positive_affinity() -> None:
    result = affinity(np.array([2.0, 4.0]), np.array([[1.0, 5.0], [2.0, 0.0]]))
    np.testing.assert_array_equal(result, [[0.5, -0.25], [0.0, 1.0]])


def test_the_affinity_to_a_loss_of_0_is_undefined() -> None:
    result = affinity(np.array([0.0, 1.0]), np.array([[0.1, 0.5], [0.1, 0.5]]))
    np.testing.assert_array_equal(result, [[np.nan, 0.5], [np.nan, 0.5]])


@pytest.mark.parametrize("scale", [1e-10, 1.0, 1e15])
def test_cosines_do_not_depend_on_lengths(scale: float) -> None:
    vectors = np.array([[1.0, 0.0], [3.0, 3.0], [-2.0, 0.0]]) * scale
    half = np.sqrt(0.5)
    np.testing.assert_allclose(
        cosines(vectors @ vectors.T), [[1, half, -1], [half, 1, -half], [-1, -half, 1]], atol=1e-15
    )


def test_the_cosine_of_a_zero_vector_is_undefined() -> None:
    np.testing.assert_array_equal(cosines(np.diag([4.0, 0.0])), [[1.0, np.nan], [np.nan, np.nan]])


def test_a_step_lowers_the_losses_by_the_given_share() -> None:
    losses, squares = np.array([1.0, 3.0]), np.array([2.0, 6.0])
    rate = step_size(losses, squares=squares, decrease=0.02)
    assert (rate * squares).sum() == pytest.approx(0.02 * losses.sum())
    assert step_size(losses, squares=np.zeros(2), decrease=0.02) == 0.0
