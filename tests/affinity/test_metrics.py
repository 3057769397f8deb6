from __future__ import annotations

import numpy as np
import pytest

from nlpmtl.affinity.metrics import affinity, cosines, step_size


def test_a_lower_loss_is_help_and_a_higher_one_harm() -> None:
    found = affinity(np.array([2.0, 4.0]), np.array([[1.0, 5.0], [2.0, 0.0]]))
    np.testing.assert_array_equal(found, [[0.5, -0.25], [0.0, 1.0]])


def test_there_is_no_share_of_a_loss_of_0() -> None:
    found = affinity(np.array([0.0, 1.0]), np.array([[0.1, 0.5], [0.1, 0.5]]))
    np.testing.assert_array_equal(found, [[np.nan, 0.5], [np.nan, 0.5]])


@pytest.mark.parametrize("scale", [1e-10, 1.0, 1e15])
def test_cosines_know_no_lengths(scale: float) -> None:
    vectors = np.array([[1.0, 0.0], [3.0, 3.0], [-2.0, 0.0]]) * scale
    half = np.sqrt(0.5)
    np.testing.assert_allclose(
        cosines(vectors @ vectors.T), [[1, half, -1], [half, 1, -half], [-1, -half, 1]], atol=1e-15
    )


def test_a_vector_of_0_has_no_direction() -> None:
    np.testing.assert_array_equal(cosines(np.diag([4.0, 0.0])), [[1.0, np.nan], [np.nan, np.nan]])


def test_a_step_lowers_losses_by_the_share() -> None:
    losses, squares = np.array([1.0, 3.0]), np.array([2.0, 6.0])
    rate = step_size(losses, squares=squares, share=0.02)
    assert (rate * squares).sum() == pytest.approx(0.02 * losses.sum())
    assert step_size(losses, squares=np.zeros(2), share=0.02) == 0.0
