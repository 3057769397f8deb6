"""Sharded training (FSDP2): each rank holds a shard of the encoder's parameters, gradients and optimizer state.

Accelerate's configuration requests it, PyTorch's `fully_shard` implements it (Zhao et al., 2023, PyTorch FSDP). All
ranks gather the parameters of a layer while it computes, so all ranks run the same number of micro-batches. Heads are
not sharded: they are small, and a rank may have no rows for some of them.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping

import torch
import torch.distributed as dist
from accelerate.utils import FullyShardedDataParallelPlugin
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from nlpmtl.environment import USE_FSDP, is_true
from nlpmtl.errors import ConfigError
from nlpmtl.model import MultiTaskModel

_UNSUPPORTED = ("OFFLOAD_PARAMS", "CPU_RAM_EFFICIENT_LOADING", "ACTIVATION_CHECKPOINTING")


def is_requested() -> bool:
    """Return whether the ranks were started for sharded training.

    Raises:
        ConfigError: the FSDP configuration is not supported.
    """
    if not is_true(USE_FSDP):
        return False
    version = os.environ.get("FSDP_VERSION")
    if version != "2":
        setting = "no FSDP_VERSION, which means 1" if version is None else f"FSDP_VERSION = {version!r}"
        raise ConfigError(
            f"{USE_FSDP} = {os.environ[USE_FSDP]!r} in the environment, but only FSDP2 is supported: set "
            "FSDP_VERSION=2 (accelerate launch --use_fsdp --fsdp_version 2, or fsdp_config.fsdp_version in a file), "
            f"or unset {USE_FSDP}; found {setting}"
        )
    for name in _UNSUPPORTED:
        if is_true(f"FSDP_{name}"):
            raise ConfigError(
                f"FSDP_{name} (fsdp_config.fsdp_{name.lower()}): not supported: set false, found "
                f"{os.environ[f'FSDP_{name}']}"
            )
    return True


def apply_fsdp(model: MultiTaskModel, *, device: torch.device) -> MultiTaskModel:
    """Shard the encoder of a model.

    Args:
        model: the model on `device`, with the same parameters on all ranks.
        device: device of this rank.

    Returns:
        An unsharded copy on the CPU; `gather_full_model` copies the parameters of the model into it.

    Raises:
        ConfigError: the sharing scheme gives tasks parameters of their own inside the encoder.
    """
    kind = model.config.sharing["kind"]
    if kind != "hard":
        raise ConfigError(
            f'sharing.kind: FSDP shards an encoder that all tasks share: set kind = "hard", found {kind!r}'
        )
    encoder_ids = {id(parameter) for parameter in model.sharing.encoder.parameters()}
    tied = [name for name in model.tasks if any(id(p) in encoder_ids for p in model.head(name).parameters())]
    if tied:
        raise ConfigError(
            f"task {tied[0]!r}: FSDP shards the encoder, and the head of its type, {model.tasks[tied[0]].kind!r}, "
            "shares parameters with it: start the run without FSDP"
        )
    full_model = copy.deepcopy(model, {id(model.tasks): model.tasks}).cpu()
    encoder = model.sharing.encoder
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    reshard = FullyShardedDataParallelPlugin().reshard_after_forward
    for module in [*encoder_layers(encoder), encoder]:
        sharded = fully_shard(module, mesh=mesh, reshard_after_forward=reshard)
        sharded.set_gradient_divide_factor(1.0)  # each loss is already divided by a global count
        sharded.set_force_sum_reduction_for_comms(True)  # gloo supports no other reduction
    return full_model


def encoder_layers(encoder: nn.Module) -> nn.ModuleList:
    """Return the layers of an encoder of any architecture: its longest list of modules."""
    lists = (module for module in encoder.modules() if isinstance(module, nn.ModuleList))
    return max(lists, key=len, default=nn.ModuleList())


def is_sharded(model: nn.Module) -> bool:
    """Return whether any module of a model is sharded."""
    return any(isinstance(module, FSDPModule) for module in model.modules())


def gather_full_model(model: nn.Module, *, into: nn.Module) -> None:
    """Copy the parameters of a sharded model into an unsharded one; all ranks take part."""
    target = into.state_dict()
    for name, value in model.state_dict().items():  # one by one: all of them together may not fit into memory
        target[name].copy_(full_tensors({name: value})[name])


def full_tensors(values: Mapping[str, Tensor], *, keep: bool = True) -> dict[str, Tensor]:
    """Gather tensors that are sharded on the CPU; ranks that do not keep the result take part and get nothing."""
    full = dict(values)
    for name, value in values.items():
        if isinstance(value, DTensor):
            gathered = value.full_tensor()
            full[name] = gathered.cpu() if keep else gathered.new_empty(0)
    return full


def to_local(value: Tensor) -> Tensor:
    """Return this rank's shard of a tensor, or the tensor if it is not sharded."""
    return value.to_local() if isinstance(value, DTensor) else value


def shard_like(value: Tensor, like: Tensor) -> Tensor:
    """Return a tensor with the dtype, the device and the sharding of another one."""
    value = value.to(device=like.device, dtype=like.dtype)
    if not isinstance(like, DTensor):
        return value
    return distribute_tensor(value, like.device_mesh, like.placements, src_data_rank=None)
