"""Check that the saved weights of a model have the shapes that its config describes."""

from __future__ import annotations

from math import prod
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from nlpmtl.errors import ModelError
from nlpmtl.model.multitask import MultiTaskModel
from nlpmtl.model.multitask_config import MultiTaskConfig
from nlpmtl.saved_config import weight_files


def check_shapes(
    directory: Path, config: MultiTaskConfig, *, tokenizer: PreTrainedTokenizerBase, error_prefix: str
) -> None:
    """Check that the weights in a directory have the shapes that its config describes, without allocating them.

    Names may differ, because transformers renames some weights when it loads them; the number of values may not.

    Args:
        directory: model directory.
        config: its config.json.
        tokenizer: its tokenizer.
        error_prefix: start of the error message.

    Raises:
        ModelError: a tensor has another shape, or the files have more or fewer values.
    """
    with torch.device("meta"):
        model = MultiTaskModel(config, tokenizer=tokenizer)
    expected: dict[str, Tensor] = model.state_dict(keep_vars=True)
    shapes: dict[str, list[int]] = {}
    for path in weight_files(directory, error_prefix=error_prefix):
        with safe_open(path, framework="pt") as file:
            shapes |= {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    for name, weight in expected.items():
        if name in shapes and shapes[name] != list(weight.shape):
            raise ModelError(
                f"{error_prefix}: the tensor {name} has the shape {list(weight.shape)} in config.json, but "
                f"{shapes[name]} in the file of weights: they belong to different models"
            )
    untied = {id(weight): weight for weight in expected.values()}  # tied weights are saved once
    count, stored = sum(weight.numel() for weight in untied.values()), sum(map(prod, shapes.values()))
    missing, unknown = sorted(expected.keys() - shapes.keys()), sorted(shapes.keys() - expected.keys())
    if count > stored and missing:
        raise ModelError(f"{error_prefix}: weights are missing: {', '.join(missing[:5])}")
    if count < stored and unknown:
        names = ", ".join(unknown[:5])
        raise ModelError(f"{error_prefix}: there are weights that config.json does not describe: {names}")
