"""Dynamic Weight Average (Liu et al., 2019), compared with TorchJD."""

from __future__ import annotations

import pytest
import torch
from torchjd.scalarization import DWA

from tests.weighting.observations import build, random_losses, seen


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_weights_equal_torchjd(temperature: float) -> None:
    ours, theirs = build("dwa", temperature=temperature, epoch_steps=4), DWA(temperature=temperature)
    for step, losses in enumerate(random_losses(20)):
        values = torch.tensor(list(losses.values()), dtype=torch.float64, requires_grad=True)
        theirs(values).backward()
        assert values.grad is not None
        weights = ours.compute_weights(seen(losses, step=step))
        assert list(weights.values()) == pytest.approx(values.grad.tolist(), rel=1e-12)
        ours.update(seen(losses, step=step), losses=losses, post_step_losses={})
        if step % 4 == 3:
            theirs.step()
    assert step > 8, "there were epochs to compare"


def test_at_most_three_epochs_are_kept() -> None:
    ours = build("dwa", epoch_steps=2)
    for step, losses in enumerate(random_losses(40)):
        ours.update(seen(losses, step=step), losses=losses, post_step_losses={})
    assert sorted(ours.state) == ["17", "18", "19"]


def test_a_task_without_rows_in_an_epoch_has_ratio_1() -> None:
    ours = build("dwa", epoch_steps=1, tasks=["a", "b"])
    ours.update(seen({"a": 2.0}), losses={"a": 2.0}, post_step_losses={})
    ours.update(seen({"a": 2.0, "b": 1.0}, step=1), losses={"a": 2.0, "b": 1.0}, post_step_losses={})
    assert ours.compute_weights(seen({"a": 1.0, "b": 1.0}, step=2)) == {"a": 1.0, "b": 1.0}
