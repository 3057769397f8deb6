"""Soft parameter sharing: the penalty and its gradient."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from tests.model.sharing.schemes import make_encoder, make_sharing


def test_the_penalty_is_the_squared_distance_to_the_mean(tmp_path: Path) -> None:
    sharing = make_sharing(make_encoder(tmp_path), {"kind": "soft_l2", "shared": 2, "strength": 0.3})
    parameters = {task: list(sharing.task_parameters(task).values()) for task in sharing.tasks}
    stacked = {
        task: torch.cat([weight.detach().flatten() for weight in weights]) for task, weights in parameters.items()
    }
    mean = sum(stacked.values()) / 3
    expected = 0.3 * sum(float((tensor - mean).pow(2).sum()) for tensor in stacked.values())
    penalty = sharing.penalty()
    assert penalty is not None
    assert float(penalty.detach()) == pytest.approx(expected, rel=1e-12)
    assert expected > 1
    penalty.backward()
    for task, weights in parameters.items():
        gradient = torch.cat([weight.grad.flatten() for weight in weights if weight.grad is not None])
        torch.testing.assert_close(gradient, 2 * 0.3 * (stacked[task] - mean))
    names = {id(weight): name for name, weight in sharing.named_parameters()}
    short = [weight for weights in parameters.values() for weight in weights if weight.numel() <= 32][::5]

    def penalty_of(*given: Tensor) -> Tensor:
        replaced = {names[id(weight)]: tensor for weight, tensor in zip(short, given, strict=True)}
        value: Tensor = functional_call(
            _Penalty(sharing), {f"sharing.{name}": tensor for name, tensor in replaced.items()}
        )
        return value

    assert torch.autograd.gradcheck(penalty_of, [weight.detach().clone().requires_grad_() for weight in short])


class _Penalty(torch.nn.Module):
    def __init__(self, sharing: torch.nn.Module) -> None:
        super().__init__()
        self.sharing = sharing

    def forward(self) -> Tensor:
        penalty: Tensor = self.sharing.penalty()  # type: ignore[operator]
        return penalty


def test_equal_copies_have_no_penalty(tmp_path: Path) -> None:
    sharing = make_sharing(make_encoder(tmp_path), {"kind": "soft_l2", "strength": 1.0})
    with torch.no_grad():
        for task in sharing.tasks[1:]:
            for weight, first in zip(
                sharing.task_parameters(task).values(), sharing.task_parameters(sharing.tasks[0]).values(), strict=True
            ):
                weight.copy_(first)
    penalty = sharing.penalty()
    assert penalty is not None
    assert float(penalty.detach()) == pytest.approx(0.0, abs=1e-25)
