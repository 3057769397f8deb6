"""Checks of a mixture of tasks: each has trained parameters, all datasets are drawn, the weighting has an effect."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from nlpmtl.errors import ConfigError
from nlpmtl.model import MultiTaskModel
from nlpmtl.sampling import Plan
from nlpmtl.weighting import Weighting


def check_trained(model: MultiTaskModel, *, tasks: Collection[str]) -> None:
    """Check that each task of a run trains a parameter.

    Args:
        model: the model, with the frozen parameters of the run.
        tasks: names of the tasks of the run.

    Raises:
        ConfigError: all parameters that the outputs of a task depend on are frozen.
    """
    if _shared(model):
        return
    for task in tasks:
        if not _specific(model, task):
            raise ConfigError(
                f"task {task!r} has no parameter to train: its head has none, and the encoder is frozen. Remove "
                'encoder.freeze, or train parameters inside the encoder, as with sharing.kind = "lora"'
            )


def sampling_notes(plan: Plan, *, total_steps: int, kind: str) -> Iterator[str]:
    """Yield a note about each dataset from which no step of a run draws rows.

    Args:
        plan: the sampling plan.
        total_steps: optimizer steps of the run.
        kind: kind of the sampler.

    Raises:
        RunError: the sampler does not return a probability for each dataset.
    """
    if plan.is_adaptive:  # the probabilities of later steps are not known
        return
    missing, improbable = set(range(len(plan.names))), set[int]()
    for step in range(total_steps):
        possible = {index for index in missing if plan.probabilities(step, {})[index] > 0}
        if possible:
            improbable |= possible
            missing -= set(plan.draw_datasets(step, {}))
        if not missing:
            return
    draws = total_steps * (plan.batch_size if plan.batches == "mixed" else 1)
    for index in sorted(missing):
        reason = f"is too small for so few draws ({draws:,})" if index in improbable else "is 0 in all steps"
        yield (
            f"no step draws rows from the dataset {plan.names[index]!r}, so its tasks are not trained on it: its "
            f"probability with sampling.kind = {kind!r} {reason}"
        )


def weighting_notes(
    weighting: Weighting, *, model: MultiTaskModel, plan: Plan, tasks: Collection[str], kind: str
) -> Iterator[str]:
    """Yield a note if the weighting has no effect on the run.

    Args:
        weighting: the weighting.
        model: the model, with the frozen parameters of the run.
        plan: the sampling plan.
        tasks: names of the tasks of the run.
        kind: kind of the weighting.
    """
    if len(tasks) < 2:
        return
    no_effect = f"weighting.kind = {kind!r} has no effect:"
    if weighting.compares_tasks and plan.batches == "single" and max(map(len, plan.sampler.tasks)) < 2:
        yield f'{no_effect} with sampling.batches = "single" each step has labels of one task; write batches = "mixed"'
    elif weighting.requires == "gradients":
        specific = [_specific(model, task) for task in tasks]
        if not _shared(model) and sum(map(len, specific)) == len(set().union(*specific)):
            yield f"{no_effect} it weights the gradients of parameters that several tasks train, and there are none"


def _specific(model: MultiTaskModel, task: str) -> set[int]:
    """Return the ids of the trained parameters in the head of a task, and of those in the encoder for this task."""
    parameters = [*model.head(task).parameters(), *model.sharing.task_parameters(task).values()]
    return {id(parameter) for parameter in parameters if parameter.requires_grad}


def _shared(model: MultiTaskModel) -> set[int]:
    """Return the ids of the trained parameters outside the heads that are not specific to a task."""
    trained = {id(parameter) for parameter in model.sharing.parameters() if parameter.requires_grad}
    return trained.difference(*(map(id, model.sharing.task_parameters(task).values()) for task in model.tasks))
