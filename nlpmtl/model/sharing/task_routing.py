"""Task routing inside the encoder: layers and modules that are specific to the task of a row.

A batch is expanded once, to the rows of one task after the other (`nlpmtl.model.task_segments.TaskSegments`); a row
that two tasks read is there twice. `SharedLayer` computes a shared layer for the rows of all tasks, `TaskSpecificLayer`
a separate layer per task, and `TaskRouted` a task-specific module inside a shared layer.

Example:
    >>> import torch
    >>> from torch import nn
    >>> from nlpmtl.model.sharing.task_routing import TaskModuleDict
    >>> modules = TaskModuleDict(["topic", "sentiment"], lambda: nn.Linear(4, 2))
    >>> modules.of("topic")(torch.zeros(3, 4)).shape
    torch.Size([3, 2])
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from nlpmtl.model.architectures import architecture_spec
from nlpmtl.model.sharing.base import Sharing
from nlpmtl.model.task_segments import RoutingContext


class TaskModuleDict(nn.ModuleDict):
    """One module per task.

    Args:
        tasks: names of the tasks.
        new_module: returns a new module; called once per task.
    """

    def __init__(self, tasks: Iterable[str], new_module: Callable[[], nn.Module]) -> None:
        # The suffix allows tasks with names that ModuleDict reserves, such as `type`.
        super().__init__({f"{task}_own": new_module() for task in tasks})

    def of(self, task: str) -> nn.Module:
        """Return the module of a task."""
        return self[f"{task}_own"]


class TaskRouted(nn.Module):
    """A module inside a layer that applies a task-specific module to the rows of each task.

    Args:
        modules: module of each task, from ``[rows, sequence_length, width]`` to ``[rows, sequence_length, any width]``.
        route: routing context of the encoder.
    """

    def __init__(self, modules: TaskModuleDict, *, route: RoutingContext) -> None:
        super().__init__()
        self.own, self.route = modules, route

    def forward(self, x: Tensor) -> Tensor:
        now = self.route.now
        return now.join([self.own.of(segment.task)(now.part(x, segment)) for segment in now.segments])


class RoutedLayer(nn.Module, ABC):
    """Replacement for an encoder layer.

    Args:
        layer: the layer that is replaced.
        route: routing context of the encoder.
        first: whether the input holds the rows of the batch, before they are repeated for each task.
    """

    def __init__(self, layer: nn.Module, *, route: RoutingContext, first: bool) -> None:
        super().__init__()
        self.route, self.first = route, first
        if hasattr(layer, "attention_type"):  # ModernBERT selects the attention mask of a layer by this attribute
            self.attention_type = layer.attention_type

    def forward(self, hidden: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Compute the layer.

        Args:
            hidden: hidden states, ``[rows, sequence_length, width]``.
            *args: further arguments of the layer.
            **kwargs: further keyword arguments of the layer.

        Returns:
            The output of the layer: hidden states, or a tuple whose first element they are.
        """
        return self.compute(self.route.now.expand(hidden) if self.first else hidden, args, kwargs)

    @abstractmethod
    def compute(self, hidden: Tensor, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Compute the layer on the rows of all tasks.

        Args:
            hidden: hidden states of the rows of all tasks.
            args: further arguments of the layer, for the rows of the batch.
            kwargs: further keyword arguments of the layer, for the rows of the batch.

        Returns:
            The output of the layer for the rows of all tasks.
        """


class SharedLayer(RoutedLayer):
    """A layer that all tasks share; modules inside it may be task-specific (`TaskRouted`).

    Args:
        layer: the layer.
        route: routing context of the encoder.
        first: whether the input holds the rows of the batch, before they are repeated for each task.
    """

    def __init__(self, layer: nn.Module, *, route: RoutingContext, first: bool) -> None:
        super().__init__(layer, route=route, first=first)
        self.layer = layer

    def compute(self, hidden: Tensor, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        args, named = self.route.now.arguments(args, kwargs)
        return self.layer(hidden, *args, **named)


class TaskSpecificLayer(RoutedLayer):
    """A separate layer per task.

    Args:
        copies: layer of each task.
        route: routing context of the encoder.
        first: whether the input holds the rows of the batch, before they are repeated for each task.
    """

    def __init__(self, copies: TaskModuleDict, *, route: RoutingContext, first: bool) -> None:
        super().__init__(next(iter(copies.values())), route=route, first=first)
        self.copies = copies

    def compute(self, hidden: Tensor, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        now, outputs = self.route.now, []
        for segment in now.segments:
            task_args, task_kwargs = now.arguments(args, kwargs, segment=segment)
            outputs.append(self.copies.of(segment.task)(now.part(hidden, segment), *task_args, **task_kwargs))
        if isinstance(outputs[0], Tensor):
            return now.join(outputs)
        return now.join([output[0] for output in outputs]), *outputs[0][1:]


class RoutedSharing(Sharing):
    """A sharing scheme that replaces layers of the encoder by routed ones.

    Args:
        encoder: pretrained encoder, whose layers are replaced.
        tasks: names of the tasks.
    """

    def __init__(self, *, encoder: PreTrainedModel, tasks: tuple[str, ...]) -> None:
        super().__init__(encoder=encoder, tasks=tasks)
        self.architecture, self.route = architecture_spec(encoder), RoutingContext()

    def forward(self, inputs: Mapping[str, Tensor], rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return self.route.encode(self.encoder, inputs, rows)

    def task_parameters(self, task: str) -> dict[str, nn.Parameter]:
        return {
            f"{prefix}.{name}": parameter
            for prefix, module in self.named_modules()
            if isinstance(module, TaskModuleDict)
            for name, parameter in module.of(task).named_parameters()
        }


def init_seed(seed: int, number: int) -> int:
    """Return the seed for the initialisation of a module: a function of its number, and not of its task."""
    return (seed << 20) + number
