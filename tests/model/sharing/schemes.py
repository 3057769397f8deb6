"""Every sharing scheme on a tiny encoder, with different weights for each task."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel

from nlpmtl.model import Sharing, SharingOptions
from nlpmtl.registry import SHARINGS
from tests.architectures import write_architecture

CASES: dict[str, dict[str, Any]] = {
    "hard": {"kind": "hard"},
    "layers": {"kind": "layers", "shared": 1},
    "soft_l2": {"kind": "soft_l2", "strength": 0.1},
    "lora": {"kind": "lora", "rank": 3, "task_rank": 2},
    "adapters": {"kind": "adapters", "size": 5},
    "pal": {"kind": "adapters", "form": "pal", "size": 6},
    "cross_stitch": {"kind": "cross_stitch", "shared": 1},
}
TASKS = ("a", "type", "c-d")
LENGTHS = (5, 9, 3, 9, 1)
ROWS: dict[str, tuple[int, ...]] = {"a": (0, 1, 3), "type": (1, 2, 4), "c-d": (3,)}
"""Rows of each task; rows 1 and 3 belong to two tasks."""


def make_encoder(directory: Path, name: str = "bert", **config: Any) -> PreTrainedModel:
    layers = {"n_layers": 3} if name == "distilbert" else {"num_hidden_layers": 3}
    path = write_architecture(name, directory, **layers, **config)
    pooler = {} if name in ("distilbert", "electra", "deberta-v2", "modernbert") else {"add_pooling_layer": False}
    model = AutoModel.from_pretrained(path, **pooler)
    assert isinstance(model, PreTrainedModel)
    model.double().eval()
    return model


def make_sharing(encoder: PreTrainedModel, case: Mapping[str, Any], tasks: tuple[str, ...] = TASKS) -> Sharing:
    options = SHARINGS.parse(case)
    sharing = SHARINGS.build(options, Sharing, exclude=SharingOptions.model_fields, encoder=encoder, tasks=tasks)
    sharing.double().eval()
    stir(sharing)
    return sharing


@torch.no_grad()
def stir(sharing: Sharing) -> None:
    """Change task-specific and added weights deterministically, differently for each name and task."""
    for task in sharing.tasks:
        for number, (_, weight) in enumerate(sorted(sharing.task_parameters(task).items())):
            _move(weight, seed=1000 * sum(task.encode()) + number)
    for number, weight in enumerate(sharing.added_shared_parameters()):
        _move(weight, seed=number)


def _move(weight: nn.Parameter, *, seed: int) -> None:
    noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    weight.add_(noise.to(weight.dtype) * (0.001 if weight.dim() == 1 else 0.1))


def make_inputs(encoder: PreTrainedModel, lengths: tuple[int, ...] = LENGTHS) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    ids = torch.randint(5, encoder.config.vocab_size, mask.shape, generator=generator)
    return {"input_ids": torch.where(mask == 1, ids, encoder.config.pad_token_id), "attention_mask": mask}


def parts(rows: Mapping[str, tuple[int, ...]] = ROWS) -> dict[str, Tensor]:
    return {task: torch.tensor(indices, dtype=torch.long) for task, indices in rows.items()}


def masked(hidden: Mapping[str, Tensor], rows: Mapping[str, Tensor], mask: Tensor) -> dict[str, Tensor]:
    """Return hidden states with 0 on padding, where values are arbitrary."""
    return {task: hidden[task] * mask[indices].unsqueeze(-1) for task, indices in rows.items()}


def gradients(module: nn.Module, outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the gradients of a sum that differs between tasks."""
    module.zero_grad()
    sums = [(number + 1) * output.pow(3).sum() for number, (_, output) in enumerate(sorted(outputs.items()))]
    torch.stack(sums).sum().backward()
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}
