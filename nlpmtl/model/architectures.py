"""Locating and replacing the layers of an encoder; its forward is not rewritten."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import NamedTuple, cast

from torch import nn
from transformers import PreTrainedModel

from nlpmtl.errors import ConfigError, ModelError


class ArchitectureSpec(NamedTuple):
    """Names of the submodules of an architecture.

    Args:
        layers: list of layers, in the encoder.
        attention: last linear layer of the attention block, in a layer.
        feed_forward: last linear layer of the feed-forward block, in a layer.
        row_independent: suffixes of the names of linear layers whose input is not only hidden states of rows.
        after: modules that are computed after a layer, with the index of the layer; -1 is the last.
    """

    layers: str
    attention: str
    feed_forward: str
    row_independent: tuple[str, ...] = ()
    after: tuple[tuple[str, int], ...] = ()


_BERT = ArchitectureSpec("encoder.layer", "attention.output.dense", "output.dense")
_SPECS = {
    "bert": _BERT,
    "deberta-v2": _BERT._replace(
        row_independent=("query_proj", "key_proj"),  # they project relative positions too
        after=(("encoder.conv", 0),),
    ),
    "distilbert": ArchitectureSpec("transformer.layer", "attention.out_lin", "ffn.lin2"),
    "electra": _BERT,
    "modernbert": ArchitectureSpec("layers", "attn.Wo", "mlp.Wo", after=(("final_norm", -1),)),
    "mpnet": _BERT._replace(attention="attention.attn.o"),
    "roberta": _BERT,
    "xlm-roberta": _BERT,
}


def architecture_spec(encoder: PreTrainedModel) -> ArchitectureSpec:
    """Return the names of the submodules of an encoder.

    Raises:
        ModelError: the layers of this architecture cannot be adapted one by one.
    """
    kind = encoder.config.model_type
    if kind not in _SPECS:
        raise ModelError(
            f'sharing.kind: the architecture {kind!r} supports only hard sharing: write "hard". The other schemes '
            f"support {', '.join(_SPECS)}"
        )
    return _SPECS[kind]


def find_layers(encoder: PreTrainedModel) -> nn.ModuleList:
    """Return the list of an encoder's layers; replacing an element replaces the layer.

    Raises:
        ModelError: the layers of this architecture cannot be adapted one by one.
    """
    return cast(nn.ModuleList, encoder.get_submodule(architecture_spec(encoder).layers))


def parameter_depths(encoder: PreTrainedModel, *, key: str) -> dict[str, int]:
    """Return the depth of each parameter of an encoder, by its name.

    The depth is l in layer l, counted from 1, and in modules that are computed after it; and 0 in the embeddings, to
    which tables of relative positions belong.

    Args:
        encoder: the encoder.
        key: the config key that needs the depths, for the error.

    Raises:
        ConfigError: the layers of this architecture are not known.
    """
    kind = encoder.config.model_type
    if kind not in _SPECS:
        raise ConfigError(
            f"{key}: the layers of the architecture {kind!r} are not known: remove this key. It is supported for "
            f"{', '.join(_SPECS)}"
        )
    spec, count = _SPECS[kind], len(find_layers(encoder))
    depths = {f"{spec.layers}.{index}": index + 1 for index in range(count)}
    depths |= {module: index % count + 1 for module, index in spec.after}
    return {
        name: next((depth for module, depth in depths.items() if name.startswith(f"{module}.")), 0)
        for name, _ in encoder.named_parameters()
    }


def clone_layer(layer: nn.Module) -> nn.Module:
    """Return a copy of a layer with separate parameters and the same config object."""
    configs = {id(module.config): module.config for module in layer.modules() if hasattr(module, "config")}
    return copy.deepcopy(layer, configs)


def replace_layers(encoder: PreTrainedModel, layers: Iterable[nn.Module]) -> PreTrainedModel:
    """Return an encoder with other layers, which shares all other modules with the given one."""
    *path, last = architecture_spec(encoder).layers.split(".")
    replaced = _shallow_copy(encoder)
    inner: nn.Module = replaced
    for name in path:
        inner._modules[name] = _shallow_copy(inner.get_submodule(name))
        inner = inner.get_submodule(name)
    inner._modules[last] = nn.ModuleList(layers)
    return cast(PreTrainedModel, replaced)


def matmul_parameters(module: nn.Module) -> int:
    """Return the number of parameters in matrices: the multiplications per token, except those between tokens."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.dim() > 1)


def _shallow_copy(module: nn.Module) -> nn.Module:
    copied = copy.copy(module)
    copied._modules = dict(module._modules)
    return copied
