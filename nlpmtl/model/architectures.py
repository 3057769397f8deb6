"""The layers inside an encoder: where they are, and how others are put in their place. No forward is rewritten."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import NamedTuple, cast

from torch import nn
from transformers import PreTrainedModel

from nlpmtl.errors import ModelError


class ArchitectureSpec(NamedTuple):
    """Where things are in an architecture.

    Args:
        layers: the list of layers, in the encoder.
        attention: the linear layer that ends the attention, in a layer.
        feed_forward: the one that ends the feed-forward block, in a layer.
        beyond_rows: ends of the names of linear layers that are also given something that belongs to no row.
    """

    layers: str
    attention: str
    feed_forward: str
    beyond_rows: tuple[str, ...] = ()


_BERT = ArchitectureSpec("encoder.layer", "attention.output.dense", "output.dense")
_SPECS = {
    "bert": _BERT,
    "deberta-v2": _BERT._replace(beyond_rows=("query_proj", "key_proj")),  # relative positions pass through them
    "distilbert": ArchitectureSpec("transformer.layer", "attention.out_lin", "ffn.lin2"),
    "electra": _BERT,
    "modernbert": ArchitectureSpec("layers", "attn.Wo", "mlp.Wo"),
    "mpnet": _BERT._replace(attention="attention.attn.o"),
    "roberta": _BERT,
    "xlm-roberta": _BERT,
}


def architecture_spec(encoder: PreTrainedModel) -> ArchitectureSpec:
    """Where things are in an encoder.

    Raises:
        ModelError: its layers are not a list of their own each.
    """
    kind = encoder.config.model_type
    if kind not in _SPECS:
        raise ModelError(
            f'sharing.kind: an encoder of the architecture {kind!r} can only be shared whole: say "hard". The other '
            f"kinds work inside the layers of {', '.join(_SPECS)}"
        )
    return _SPECS[kind]


def find_layers(encoder: PreTrainedModel) -> nn.ModuleList:
    """The list of an encoder's layers; what is put into it runs in their place.

    Raises:
        ModelError: there is no such list.
    """
    return cast(nn.ModuleList, encoder.get_submodule(architecture_spec(encoder).layers))


def clone_layer(layer: nn.Module) -> nn.Module:
    """A layer with weights of its own, which still follows what its encoder's config says."""
    configs = {id(one.config): one.config for one in layer.modules() if hasattr(one, "config")}
    return copy.deepcopy(layer, configs)


def replace_layers(encoder: PreTrainedModel, layers: Iterable[nn.Module]) -> PreTrainedModel:
    """The same encoder with other layers; all else is not copied, but the same."""
    *path, last = architecture_spec(encoder).layers.split(".")
    twin = _twin(encoder)
    inner: nn.Module = twin
    for name in path:
        inner._modules[name] = _twin(inner.get_submodule(name))
        inner = inner.get_submodule(name)
    inner._modules[last] = nn.ModuleList(layers)
    return cast(PreTrainedModel, twin)


def matmul_parameters(module: nn.Module) -> int:
    """The numbers in a module's matrices: its multiplications for a token, those between tokens left out."""
    return sum(weight.numel() for weight in module.parameters() if weight.dim() > 1)


def _twin(module: nn.Module) -> nn.Module:
    twin = copy.copy(module)
    twin._modules = dict(module._modules)
    return twin
