"""Parameters with several names in a model, such as output embeddings that are tied to the input embeddings.

They are found by identity. Their first name is that in the encoder, which a model registers before its heads, so they
belong to its parameters: they have the learning rate of the encoder, and are frozen and saved with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor, nn


def shared_parameters(model: nn.Module) -> dict[str, str]:
    """Return every further name of a parameter of a model -> its first name."""
    first: dict[int, str] = {}
    names = ((name, first.setdefault(id(p), name)) for name, p in model.named_parameters(remove_duplicate=False))
    return {name: original for name, original in names if name != original}


def without_shared(values: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Return the values of a model's state dict with each parameter once, by its first name."""
    shared = shared_parameters(model)
    return {name: value for name, value in values.items() if name not in shared}


def with_shared(values: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Return values by all names of the parameters of a model, given those by first names."""
    shared = shared_parameters(model)
    return {**values, **{name: values[first] for name, first in shared.items() if first in values}}


def own_parameters(head: nn.Module, encoder: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield the names and parameters of a head that are not parameters of the encoder."""
    encoder_ids = {id(parameter) for parameter in encoder.parameters()}
    yield from ((name, p) for name, p in head.named_parameters() if id(p) not in encoder_ids)
