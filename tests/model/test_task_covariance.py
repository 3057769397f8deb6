"""Task covariance (multi-task relationship learning), compared with its formulas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor, nn

from nlpmtl.errors import ModelError
from nlpmtl.model import MultiTaskModel, load_encoder
from nlpmtl.model.task_covariance import TaskCovariance
from nlpmtl.tasks import task_from_config
from tests.tiny import write_encoder

COMMON: dict[str, Any] = {"metrics": None, "input": "words"}
SPECS: dict[str, dict[str, Any]] = {
    "mood": {"kind": "classification", "labels": ["bad", "good"], **COMMON},
    "polite": {"kind": "classification", "labels": ["no", "yes"], **COMMON},
    "topic": {"kind": "classification", "labels": ["a", "b", "c"], **COMMON},
    "places": {"kind": "labeling", "labels": ["O", "B-x"], "scheme": "plain", **COMMON},
}


def weights(seed: int = 0) -> dict[str, dict[str, Tensor]]:
    """Four tasks: `u` and `v` in all, `w` in two, `z` with different shapes."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> nn.Parameter:
        return nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64))

    made: dict[str, dict[str, Tensor]] = {task: {"u": draw(3, 4), "v": draw(5)} for task in "abcd"}
    for task, size in zip("abcd", (2, 3, 2, 4), strict=True):
        made[task] |= {"w": draw(size), "z": draw(size, 1 + len(made[task]) + ord(task))}
    return made


def moved(made: dict[str, dict[str, Tensor]], start: dict[str, dict[str, Tensor]]) -> np.ndarray[Any, Any]:
    """Return W, ``[weights, tasks]``, for the weights that all four tasks have."""
    centre = {name: np.mean([start[task][name].detach().numpy() for task in "abcd"], axis=0) for name in "uv"}
    columns = [
        np.concatenate([(made[task][name].detach().numpy() - centre[name]).ravel() for name in "uv"]) for task in "abcd"
    ]
    return np.stack(columns, axis=1)


def reference(w: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    root = np.real(sqrtm(w.T @ w))
    matrix: np.ndarray[Any, Any] = root / np.trace(root)
    return matrix


def test_tasks_without_a_trainable_parameter_have_no_penalty() -> None:
    """A run that continues from a model trains only some of its tasks."""
    made = weights()
    covariance = TaskCovariance(weights(1), strength=0.3).double()
    for task in "abd":
        for parameter in made[task].values():
            parameter.requires_grad_(False)
    penalty = covariance.penalty(made)
    assert penalty is not None
    penalty.backward()
    assert made["c"]["u"].grad is not None
    made["c"] = {name: parameter.detach() for name, parameter in made["c"].items()}
    assert covariance.penalty(made) is None


def test_penalty_and_covariance_equal_the_paper() -> None:
    start, made = weights(0), weights(1)
    covariance = TaskCovariance(start, strength=0.3).double()
    covariance.start(start, fresh=())
    w = moved(made, start)
    pair = [(made[t]["w"] - (start["a"]["w"] + start["c"]["w"]) / 2).detach().numpy() for t in "ac"]
    for omega, small in (
        (np.eye(4) / 4, np.eye(2) / 2),
        (reference(w), reference(np.stack(pair, axis=1))),
    ):
        first, second = (group.covariance.numpy() for group in covariance._groups())
        np.testing.assert_allclose(first, omega, atol=1e-9)
        np.testing.assert_allclose(second, small, atol=1e-7)
        inverse, other = np.linalg.inv(omega + np.eye(4) * 0.01 / 4), np.linalg.inv(small + np.eye(2) * 0.01 / 2)
        expected = np.trace(w @ inverse @ w.T) + np.trace(np.stack(pair, axis=1) @ other @ np.stack(pair))
        penalty = covariance.penalty(made)
        assert penalty is not None
        assert float(penalty.detach()) == pytest.approx(0.3 * expected, rel=1e-7)
        covariance.update(made)


def test_the_gradient_of_the_penalty_equals_finite_differences() -> None:
    start, made = weights(0), weights(1)
    covariance = TaskCovariance(start, strength=0.3).double()
    covariance.start(start, fresh=())
    covariance.update(made)
    given = [made[task]["v"] for task in "abcd"]

    def penalty(*columns: Tensor) -> Tensor:
        changed = {task: {**made[task], "v": column} for task, column in zip("abcd", columns, strict=True)}
        value = covariance.penalty(changed)
        assert value is not None
        return value

    assert torch.autograd.gradcheck(penalty, given)


def test_unchanged_weights_leave_the_covariance_at_the_identity() -> None:
    start = weights()
    alike = {task: {"u": start["a"]["u"]} for task in "abc"}
    covariance = TaskCovariance(alike, strength=1.0).double()
    covariance.start(alike, fresh=())
    covariance.update(alike)
    (matrix,) = covariance.task_relations().values()
    assert matrix.tasks == ("a", "b", "c")
    torch.testing.assert_close(matrix.values, torch.eye(3, dtype=torch.float64))
    assert float(covariance.penalty(alike) or 0) == 0.0


def test_parallel_updates_are_correlated_and_orthogonal_ones_are_not() -> None:
    start = {task: {"u": torch.zeros(2, 3, dtype=torch.float64)} for task in "abcd"}
    covariance = TaskCovariance(start, strength=1.0).double()
    covariance.start(start, fresh=())
    direction, orthogonal = torch.eye(6, dtype=torch.float64)[:2].view(2, 2, 3)
    covariance.update(
        {"a": {"u": direction}, "b": {"u": 2 * direction}, "c": {"u": -direction}, "d": {"u": orthogonal}}
    )
    (matrix,) = covariance.task_relations().values()
    expected = torch.tensor([[1, 1, -1, 0], [1, 1, -1, 0], [-1, -1, 1, 0], [0, 0, 0, 1]], dtype=torch.float64)
    torch.testing.assert_close(matrix.values, expected, atol=1e-6, rtol=0)


def test_new_tasks_get_equal_weights_and_others_are_unchanged() -> None:
    made = weights()
    before = {task: parameters["u"].detach().clone() for task, parameters in made.items()}
    covariance = TaskCovariance(made, strength=1.0).double()
    covariance.start(made, fresh={"d", "b", "c"})
    for task, source in (("a", "a"), ("b", "b"), ("c", "b"), ("d", "b")):
        assert torch.equal(made[task]["u"], before[source])
    torch.testing.assert_close(
        next(iter(covariance._groups())).begin[:12], ((before["a"] + 3 * before["b"]) / 4).flatten()
    )


def test_a_single_task_has_no_covariance_and_tasks_without_common_weights_are_refused() -> None:
    parameters = {"a": {"u": torch.ones(2)}}
    assert TaskCovariance(parameters, strength=1.0).penalty(parameters) is None
    with pytest.raises(
        ModelError,
        match=r"sharing\.relations: the tasks a, b have no task-specific parameters of the same name and shape",
    ):
        TaskCovariance({**parameters, "b": {"u": torch.ones(3)}}, strength=1.0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> MultiTaskModel:
    encoder = load_encoder(str(write_encoder(tmp_path_factory.mktemp("encoder"))))
    sharing = {"kind": "soft_l2", "shared": 1, "relations": "covariance", "relations_strength": 0.1}
    tasks = [task_from_config(name, spec) for name, spec in SPECS.items()]
    return MultiTaskModel.from_encoder(encoder, tasks=tasks, sharing=sharing, input_length=48, seed=0)


def test_the_covariance_of_a_model_is_saved(model: MultiTaskModel, tmp_path: Path) -> None:
    before = model.penalty()
    assert before is not None
    assert float(before.detach()) == pytest.approx(0.0, abs=1e-9)
    with torch.no_grad():
        for task in ("mood", "polite"):
            for weight in [*model.head(task).parameters(), *model.sharing.task_parameters(task).values()]:
                weight.add_(0.01)
    moved = model.penalty()
    assert moved is not None
    assert float(moved.detach()) > 0.1
    model.post_step()
    relations = model.task_relations()
    assert [relation.tasks for relation in relations.values()] == [
        ("mood", "polite", "topic"),
        ("mood", "polite"),
        ("mood", "polite", "topic", "places"),
    ]
    for relation in relations.values():
        assert float(relation.values[0, 1]) == pytest.approx(1.0, abs=1e-3)
    model.save_pretrained(tmp_path)
    loaded = MultiTaskModel.from_pretrained(tmp_path)
    again = loaded.task_relations()
    assert again.keys() == relations.keys()
    for name, relation in relations.items():
        torch.testing.assert_close(again[name].values, relation.values)
    kept = loaded.penalty()
    after = model.penalty()
    assert kept is not None
    assert after is not None
    torch.testing.assert_close(kept, after)
