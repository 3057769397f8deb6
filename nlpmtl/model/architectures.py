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
        layers: name of the list of layers, relative to the encoder.
        attention: name of the last linear layer of the attention block, relative to the layer.
        feed_forward: name of the last linear layer of the feed-forward block, relative to the layer.
        position_projections: suffixes of linear layers that are also applied to relative position embeddings (without a
            batch dimension).
        modules_after: (module name, index of the layer after which it is applied); -1: the last layer.
    """

    layers: str
    attention: str
    feed_forward: str
    position_projections: tuple[str, ...] = ()
    modules_after: tuple[tuple[str, int], ...] = ()


_BERT = ArchitectureSpec("encoder.layer", "attention.output.dense", "output.dense")
_SPECS = {
    "bert": _BERT,
    "deberta-v2": _BERT._replace(
        position_projections=("query_proj", "key_proj"),
        modules_after=(("encoder.conv", 0),),
    ),
    "distilbert": ArchitectureSpec("transformer.layer", "attention.out_lin", "ffn.lin2"),
    "electra": _BERT,
    "modernbert": ArchitectureSpec("layers", "attn.Wo", "mlp.Wo", modules_after=(("final_norm", -1),)),
    "mpnet": _BERT._replace(attention="attention.attn.o"),
    "roberta": _BERT,
    "xlm-roberta": _BERT,
}


def architecture_spec(encoder: PreTrainedModel) -> ArchitectureSpec:
    """Return the names of the submodules of an encoder.

    Raises:
        ModelError: the architecture is not supported (see `_SPECS`).
    """
    model_type = encoder.config.model_type
    if model_type not in _SPECS:
        raise ModelError(
            f'sharing.kind: the architecture {model_type!r} supports only hard sharing: write "hard". The other '
            f"schemes support {', '.join(_SPECS)}"
        )
    return _SPECS[model_type]


def find_layers(encoder: PreTrainedModel) -> nn.ModuleList:
    """Return the list of an encoder's layers; replacing an element replaces the layer.

    Raises:
        ModelError: the architecture is not supported (see `_SPECS`).
    """
    return cast(nn.ModuleList, encoder.get_submodule(architecture_spec(encoder).layers))


def parameter_depths(encoder: PreTrainedModel, *, key: str) -> dict[str, int]:
    """Return the depth of each parameter of an encoder, by its name.

    Parameters of layer l (from 1), and of modules applied after it, have depth l. Embeddings, including relative
    position embeddings, have depth 0.

    Args:
        encoder: the encoder.
        key: the config key that needs the depths, for the error.

    Raises:
        ConfigError: the architecture is not supported (see `_SPECS`).
    """
    model_type = encoder.config.model_type
    if model_type not in _SPECS:
        raise ConfigError(
            f"{key}: not supported for the architecture {model_type!r}: remove this key. Supported: {', '.join(_SPECS)}"
        )
    spec, count = _SPECS[model_type], len(find_layers(encoder))
    depths = {f"{spec.layers}.{index}": index + 1 for index in range(count)}
    depths |= {module: index % count + 1 for module, index in spec.modules_after}
    return {
        name: next((depth for module, depth in depths.items() if name.startswith(f"{module}.")), 0)
        for name, _ in encoder.named_parameters()
    }


def clone_layer(layer: nn.Module) -> nn.Module:
    """Return a copy of a layer with separate parameters and the same config object."""
    configs = {id(module.config): module.config for module in layer.modules() if hasattr(module, "config")}
    return copy.deepcopy(layer, configs)


def replace_layers(encoder: PreTrainedModel, layers: Iterable[nn.Module]) -> PreTrainedModel:
    """Return a copy of an encoder with the given layers; all other modules are shared with the original."""
    *path, last = architecture_spec(encoder).layers.split(".")
    replaced = _shallow_copy(encoder)
    inner: nn.Module = replaced
    for name in path:
        inner._modules[name] = _shallow_copy(inner.get_submodule(name))
        inner = inner.get_submodule(name)
    inner._modules[last] = nn.ModuleList(layers)
    return cast(PreTrainedModel, replaced)


def matmul_parameters(module: nn.Module) -> int:
    """Return the number of weight-matrix parameters: multiplications per token, without attention scores."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.dim() > 1)


def _shallow_copy(module: nn.Module) -> nn.Module:
    copied = copy.copy(module)
    copied._modules = dict(module._modules)
    return copied
