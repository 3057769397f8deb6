"""Comparison of a saved model's config with its file of weights."""

from __future__ import annotations

from math import prod
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from nlpmtl.errors import ModelError
from nlpmtl.model.multitask import MultiTaskConfig, MultiTaskModel
from nlpmtl.saved_config import weight_files


def check_shapes(directory: Path, config: MultiTaskConfig, *, failed: str) -> None:
    """Check that the weights in a directory have the shapes that its config describes, without allocating them.

    Names may differ, as transformers renames some weights when it reads them, but not the number of values.

    Args:
        directory: of the model.
        config: what is in its config.json.
        failed: how the message begins.

    Raises:
        ModelError: a tensor has another shape, or the file has more or fewer weights.
    """
    with torch.device("meta"):
        model = MultiTaskModel(config)
    expected: dict[str, Tensor] = model.state_dict(keep_vars=True)
    found: dict[str, list[int]] = {}
    for path in weight_files(directory, failed=failed):
        with safe_open(path, framework="pt") as file:
            found |= {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    for name, weight in expected.items():
        if name in found and found[name] != list(weight.shape):
            raise ModelError(
                f"{failed}: by config.json the tensor {name} has the shape {list(weight.shape)}, in the file of "
                f"weights it has {found[name]}: they are not of the same model"
            )
    different = {id(weight): weight for weight in expected.values()}  # tied weights are saved once
    count, stored = sum(weight.numel() for weight in different.values()), sum(map(prod, found.values()))
    missing, unknown = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    if count > stored and missing:
        raise ModelError(f"{failed}: it lacks weights: {', '.join(missing[:5])}")
    if count < stored and unknown:
        raise ModelError(f"{failed}: it has weights that config.json does not describe: {', '.join(unknown[:5])}")
