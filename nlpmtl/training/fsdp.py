"""A model whose encoder is in slices, one in each process: its weights, their gradients, the optimizer's moments.

A file of Accelerate's configuration asks for it, PyTorch's `fully_shard` does it (FSDP2; Zhao et al. 2023, PyTorch
FSDP). A layer is put together when it computes and dropped again, in which all processes take part: so all compute as
many micro-batches. Heads stay whole in every process: they are small, and a process may have no row for some of them.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence

import torch
import torch.distributed as dist
from accelerate.utils import FullyShardedDataParallelPlugin, parse_flag_from_env
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from nlpmtl.errors import ConfigError
from nlpmtl.model import MultiTaskModel
from nlpmtl.training.distributed import all_reduce_sum

ASKED = "ACCELERATE_USE_FSDP"
"""What `accelerate launch` sets in the environment where its configuration says ``distributed_type: FSDP``."""
_REFUSED = ("OFFLOAD_PARAMS", "CPU_RAM_EFFICIENT_LOADING", "ACTIVATION_CHECKPOINTING")


def is_asked_for() -> bool:
    """Whether the processes were started to hold slices of a model.

    Raises:
        ConfigError: in a way that is not supported.
    """
    if not parse_flag_from_env(ASKED):
        return False
    version = os.environ.get("FSDP_VERSION", "1")
    if version != "2":
        raise ConfigError(f"fsdp_config.fsdp_version: only FSDP2 is supported: say 2, found {version}")
    for name in _REFUSED:
        if parse_flag_from_env(f"FSDP_{name}"):
            raise ConfigError(f"fsdp_config.fsdp_{name.lower()}: it is not supported: say false, found true")
    return True


def apply_fsdp(model: MultiTaskModel, *, device: torch.device) -> MultiTaskModel:
    """Leave each process its slice of the encoder's weights.

    Args:
        model: the model, where it computes, with the same weights in all processes.
        device: where that is.

    Returns:
        A copy that is whole, on the CPU; `gather_full_model` gives it the weights of the model.

    Raises:
        ConfigError: tasks have weights of their own inside the encoder.
    """
    kind = model.config.sharing["kind"]
    if kind != "hard":
        raise ConfigError(f'sharing.kind: FSDP slices an encoder that all tasks share: say "hard", found {kind!r}')
    twin = copy.deepcopy(model, {id(model.tasks): model.tasks}).cpu()
    encoder = model.sharing.encoder
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    reshard = FullyShardedDataParallelPlugin().reshard_after_forward
    for unit in [*layers(encoder), encoder]:
        sliced = fully_shard(unit, mesh=mesh, reshard_after_forward=reshard)
        sliced.set_gradient_divide_factor(1.0)  # a loss is a sum over a count: nothing is averaged over processes
        sliced.set_force_sum_reduction_for_comms(True)  # plainly summed: gloo can do no other
    return twin


def layers(encoder: nn.Module) -> nn.ModuleList:
    """Those of any encoder: the longest list of modules that it has."""
    return max((one for one in encoder.modules() if isinstance(one, nn.ModuleList)), key=len, default=nn.ModuleList())


def is_sharded(model: nn.Module) -> bool:
    """Whether it is in slices."""
    return any(isinstance(module, FSDPModule) for module in model.modules())


def gather_full_model(model: nn.Module, *, into: nn.Module) -> None:
    """Give a whole model the weights of one in slices; all processes take part."""
    own = into.state_dict()
    for name, value in model.state_dict().items():
        own[name].copy_(full_tensor(value))


def full_tensor(value: Tensor, *, keep: bool = True) -> Tensor:
    """All of a tensor that may be in slices, brought to the CPU; processes that do not keep it take part too."""
    if not isinstance(value, DTensor):
        return value
    full = value.full_tensor()
    return full.cpu() if keep else full.new_empty(0)


def to_local(value: Tensor) -> Tensor:
    """What this process has of a tensor that may be in slices."""
    return value.to_local() if isinstance(value, DTensor) else value


def shard_like(value: Tensor, like: Tensor) -> Tensor:
    """This process's slice of a tensor, if another is in slices; where that is, and of its type."""
    value = value.to(device=like.device, dtype=like.dtype)
    if not isinstance(like, DTensor):
        return value
    return distribute_tensor(value, like.device_mesh, like.placements, src_data_rank=None)


def total_norm(gradients: Sequence[Tensor]) -> Tensor:
    """The norm of gradients of which some may be in slices, a scalar; all processes take part."""
    slices = [one.to_local() for one in gradients if isinstance(one, DTensor)]
    rest = get_total_norm([one for one in gradients if not isinstance(one, DTensor)])
    if not slices:
        return rest
    return torch.sqrt(all_reduce_sum(get_total_norm(slices).square()) + rest.square())


def clip(parameters: Sequence[nn.Parameter], *, most: float, norm: Tensor) -> None:
    """Scale gradients down to a norm."""
    for in_slices in (False, True):
        some = [one for one in parameters if isinstance(one, DTensor) == in_slices]
        clip_grads_with_norm_(some, most, norm)
