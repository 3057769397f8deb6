"""Depths of the parameters of an encoder, which learning-rate decay and freezing by layer read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from nlpmtl.errors import ConfigError
from nlpmtl.model import load_encoder, parameter_depths
from tests.architectures import ARCHITECTURES, write_architecture

KEY = "train.layer_decay"
KNOWN = [kind for kind in ARCHITECTURES if kind != "albert"]
CONVOLUTION: dict[str, Any] = {"conv_kernel_size": 3, "conv_act": "gelu"}
WITHOUT_EFFECT = ("key.bias", "k_lin.bias", "attn.k.bias", "key_proj.bias", "embeddings.token_type_embeddings.weight")
"""Parameters that change no hidden state, or only by rounding: the softmax removes a bias of the keys."""

FAST = ("bert", "distilbert", "modernbert")


def make_encoder(kind: str, directory: Path, **config: Any) -> PreTrainedModel:
    layers = {"n_layers": 3} if kind == "distilbert" else {"num_hidden_layers": 3}
    encoder = load_encoder(str(write_architecture(kind, directory, **layers, **config))).model
    encoder.double().eval()
    return encoder


@torch.no_grad()
def hidden_states(encoder: PreTrainedModel) -> list[torch.Tensor]:
    """Return the embeddings, the output of each layer, and that of the encoder."""
    ids = torch.arange(5, 17).view(2, 6)
    result = encoder(input_ids=ids, attention_mask=torch.ones_like(ids), output_hidden_states=True)
    return [*result.hidden_states, result.last_hidden_state]


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        *(pytest.param(kind, {}, marks=[] if kind in FAST else [pytest.mark.slow]) for kind in KNOWN),
        ("deberta-v2", CONVOLUTION),
    ],
    ids=str,
)
def test_a_parameter_changes_no_hidden_states_below_its_depth(
    kind: str, config: dict[str, Any], tmp_path: Path
) -> None:
    encoder = make_encoder(kind, tmp_path, **config)
    depths, before = parameter_depths(encoder, key=KEY), hidden_states(encoder)
    assert depths.keys() == dict(encoder.named_parameters()).keys()
    assert set(depths.values()) == {0, 1, 2, 3}
    for name, parameter in encoder.named_parameters():
        original = parameter.detach().clone()
        with torch.no_grad():
            parameter.add_(torch.randn_like(parameter))
        changed = [
            index
            for index, (first, other) in enumerate(zip(before, hidden_states(encoder), strict=True))
            if (first - other).abs().max() > 1e-9
        ]
        with torch.no_grad():
            parameter.copy_(original)
        if not changed:
            assert name.endswith(WITHOUT_EFFECT), name
        elif depths[name] == 0:
            assert changed[0] in (0, 1), "relative positions are read in the first layer"
        else:
            assert min(changed[0], 3) == depths[name], name


def test_an_unsupported_architecture_is_an_error(tmp_path: Path) -> None:
    encoder = load_encoder(str(write_architecture("albert", tmp_path))).model
    with pytest.raises(ConfigError, match=r"train\.layer_decay: not supported for the architecture 'albert'"):
        parameter_depths(encoder, key=KEY)
