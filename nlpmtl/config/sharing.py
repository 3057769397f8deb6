"""Options of the sharing schemes.

They are separate from the schemes, which are PyTorch modules, so that a config is validated without importing torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from nlpmtl.registry import SHARINGS, KindOptions


class SharingOptions(KindOptions):
    """Options that all built-in sharing schemes have."""

    other_names: ClassVar[str] = "hard_sharing hard_parameter_sharing full full_sharing none"

    relations: Literal["covariance"] | None = None
    """"covariance": learn the covariance of the task-specific parameters and regularise related tasks towards each
    other; default: none."""
    relations_strength: float = Field(0.001, gt=0)
    """Strength of the covariance regularisation."""


class LayersOptions(SharingOptions):
    """Options of `Layers`."""

    other_names: ClassVar[str] = "layer partial partial_sharing split"
    other_keys: ClassVar[Mapping[str, str]] = {
        "shared": "shared_layers num_shared_layers n_shared_layers layers num_layers n_layers",
    }

    shared: int | None = Field(None, ge=0)
    """Number of layers, from the lowest up, that all tasks share; each task has a copy of the others. Default: half of
    the encoder's layers."""


class SoftL2Options(SharingOptions):
    """Options of `SoftL2`."""

    other_names: ClassVar[str] = "soft soft_sharing soft_parameter_sharing"
    other_keys: ClassVar[Mapping[str, str]] = {
        "shared": "shared_layers num_shared_layers n_shared_layers layers num_layers n_layers",
        "strength": "l2 weight lambda lambda_ penalty reg coefficient",
    }

    shared: int = Field(0, ge=0)
    """Number of layers, from the lowest up, that all tasks share; each task has a copy of the others."""
    strength: float = Field(0.01, ge=0)
    """Weight of the L2 penalty; 0 leaves the copies independent."""


class AdaptersOptions(SharingOptions):
    """Options of `Adapters`."""

    other_names: ClassVar[str] = "adapter houlsby pfeiffer bottleneck pal pals"
    other_keys: ClassVar[Mapping[str, str]] = {
        "form": "type adapter_type",
        "size": "adapter_size hidden_size bottleneck_size bottleneck_dim adapter_dim bottleneck dim",
        "size, the hidden size of the encoder divided by the factor": "reduction_factor",
    }

    form: Literal["bottleneck", "pal"] = "bottleneck"
    """"bottleneck": two bottleneck adapters per layer, with a frozen encoder; "pal": projected attention layers in
    parallel to each layer, with a trained encoder."""
    size: int = Field(64, gt=0)
    """Hidden size of the adapters; Houlsby et al. take 8 to 256, PALs 204."""


class LoraOptions(SharingOptions):
    """Options of `Lora`."""

    other_names: ClassVar[str] = "mtl_lora peft"
    other_keys: ClassVar[Mapping[str, str]] = {
        "rank": "r lora_r lora_rank lora_dim shared_rank",
        "task_rank": "task_r lora_task_rank task_lora_r",
        "alpha": "lora_alpha scaling scale",
    }

    rank: int = Field(8, gt=0)
    """Rank of the adapter that all tasks share."""
    task_rank: int = Field(4, gt=0)
    """Rank of the task-specific adapters."""
    alpha: float = Field(16.0, gt=0)
    """Scaling: the output of an adapter is multiplied by alpha / rank."""


class CrossStitchOptions(SharingOptions):
    """Options of `CrossStitch`."""

    other_keys: ClassVar[Mapping[str, str]] = {
        "shared": "shared_layers num_shared_layers n_shared_layers layers num_layers n_layers",
        "speed": "lr learning_rate lr_factor lr_scale",
    }

    shared: int = Field(0, ge=0)
    """Number of layers, from the lowest up, that all tasks share; each task has its own copy of the others."""
    speed: float = Field(100.0, gt=0)
    """Factor on the learning rate of the cross-stitch coefficients; Misra et al. try 1 to 1000."""


SHARINGS.register_lazily("hard", SharingOptions, module="nlpmtl.model.sharing.hard")
SHARINGS.register_lazily("layers", LayersOptions, module="nlpmtl.model.sharing.split_encoder")
SHARINGS.register_lazily("soft_l2", SoftL2Options, module="nlpmtl.model.sharing.soft_l2")
SHARINGS.register_lazily("adapters", AdaptersOptions, module="nlpmtl.model.sharing.adapters")
SHARINGS.register_lazily("lora", LoraOptions, module="nlpmtl.model.sharing.lora")
SHARINGS.register_lazily("cross_stitch", CrossStitchOptions, module="nlpmtl.model.sharing.cross_stitch")
