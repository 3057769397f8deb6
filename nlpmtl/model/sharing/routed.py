"""Sharing inside the encoder: layers, or parts of them, that treat each task's rows in a way of their own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from nlpmtl.model.layers import anatomy
from nlpmtl.model.sharing.base import Sharing
from nlpmtl.model.streams import Route


class PerTask(nn.ModuleDict):
    """A module for each task.

    Args:
        tasks: their names.
        make: makes one.
    """

    def __init__(self, tasks: Iterable[str], make: Callable[[], nn.Module]) -> None:
        # A ModuleDict keeps some names, such as `type`, for itself.
        super().__init__({f"{task}_own": make() for task in tasks})

    def of(self, task: str) -> nn.Module:
        """The task's module."""
        return self[f"{task}_own"]


class ByTask(nn.Module):
    """Inside a layer: each task's rows go through its own module.

    Args:
        own: the modules, each from ``[rows, time, width]`` to ``[rows, time, any width]``.
        route: of the encoder.
    """

    def __init__(self, own: PerTask, *, route: Route) -> None:
        super().__init__()
        self.own, self.route = own, route

    def forward(self, x: Tensor) -> Tensor:
        now = self.route.now
        return now.join([self.own.of(stream.task)(now.part(x, stream)) for stream in now.streams])


class RoutedLayer(nn.Module, ABC):
    """What stands in a layer's place in its encoder.

    Args:
        layer: that layer.
        route: of the encoder.
        first: whether what comes in is the batch's rows, not yet the streams'.
    """

    def __init__(self, layer: nn.Module, *, route: Route, first: bool) -> None:
        super().__init__()
        self.route, self.first = route, first
        if hasattr(layer, "attention_type"):  # ModernBERT chooses a layer's mask by it
            self.attention_type = layer.attention_type

    def forward(self, hidden: Tensor, *args: Any, **kwargs: Any) -> Any:
        """As the layer's: ``[rows, time, width]`` and what else there is; a tensor, or a tuple that begins with it."""
        return self.compute(self.route.now.expand(hidden) if self.first else hidden, args, kwargs)

    @abstractmethod
    def compute(self, hidden: Tensor, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """From the streams' rows to the streams' rows; further arguments are still the batch's."""


class Together(RoutedLayer):
    """One layer for all streams; modules inside it may tell them apart."""

    def __init__(self, layer: nn.Module, *, route: Route, first: bool) -> None:
        super().__init__(layer, route=route, first=first)
        self.layer = layer

    def compute(self, hidden: Tensor, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        args, named = self.route.now.arguments(args, kwargs)
        return self.layer(hidden, *args, **named)


class Apart(RoutedLayer):
    """A layer for each task.

    Args:
        copies: the layers.
    """

    def __init__(self, copies: PerTask, *, route: Route, first: bool) -> None:
        super().__init__(next(iter(copies.values())), route=route, first=first)
        self.copies = copies

    def compute(self, hidden: Tensor, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        now, found = self.route.now, []
        for stream in now.streams:
            own, named = now.arguments(args, kwargs, stream=stream)
            found.append(self.copies.of(stream.task)(now.part(hidden, stream), *own, **named))
        if isinstance(found[0], Tensor):
            return now.join(found)
        return now.join([one[0] for one in found]), *found[0][1:]


class RoutedSharing(Sharing):
    """A scheme whose encoder has routed layers.

    Args:
        encoder: the pretrained encoder; its layers are replaced.
        tasks: the names of the tasks.
    """

    def __init__(self, *, encoder: PreTrainedModel, tasks: tuple[str, ...]) -> None:
        super().__init__(encoder=encoder, tasks=tasks)
        self.anatomy, self.route = anatomy(encoder), Route()

    def forward(self, inputs: Mapping[str, Tensor], rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return self.route.encode(self.encoder, inputs, rows)

    def own(self, task: str) -> dict[str, nn.Parameter]:
        return {
            f"{place}.{name}": parameter
            for place, module in self.named_modules()
            if isinstance(module, PerTask)
            for name, parameter in module.of(task).named_parameters()
        }


def first_seed(seed: int, number: int) -> int:
    """The seed of one module's first numbers: by a run's seed and the module's place, not by its task."""
    return (seed << 20) + number
