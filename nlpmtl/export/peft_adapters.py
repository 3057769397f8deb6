"""Export of LoRA adapters in the format of PEFT, one directory per task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import save_file

from nlpmtl.config import check_output
from nlpmtl.errors import ConfigError, ModelError, did_you_mean
from nlpmtl.fs import set_default_permissions, write_json
from nlpmtl.hub.model_directory import atomic_directory
from nlpmtl.model import Lora, MultiTaskModel


def export_lora(
    model: MultiTaskModel, *, directory: str | Path, base: str, tasks: Sequence[str] | None = None
) -> list[Path]:
    """Write the adapters of each task as one LoRA adapter that `peft.PeftModel.from_pretrained` adds to the encoder.

    It combines the shared adapter with the one of the task: its rank is the sum of their ranks, and their scales are
    folded into its matrices. Heads are not exported.

    Args:
        model: a model with ``sharing.kind = "lora"``.
        directory: where to write, one subdirectory per task; must be empty or not exist.
        base: Hub id or directory of the encoder that the model was trained from.
        tasks: names of the tasks; default: all.

    Returns:
        The directories of the tasks.

    Raises:
        ConfigError: the model has no such task, or the directory is not empty.
        ModelError: the model has no LoRA adapters.
    """
    sharing = model.sharing
    if not isinstance(sharing, Lora):
        raise ModelError(f"this model has no LoRA adapters: sharing.kind = {model.config.sharing['kind']!r}")
    for task in tasks or ():
        if task not in model.tasks:
            raise ConfigError(f"this model has no task {task!r}; {did_you_mean(task, model.tasks)}")
    names = list(model.tasks) if tasks is None else list(tasks)
    target = check_output(directory, key="directory")
    with atomic_directory(target) as part:
        for task in names:
            _write(sharing, part / task, task=task, base=base)
    return [target / task for task in names]


def _write(sharing: Lora, directory: Path, *, task: str, base: str) -> None:
    weights, ranks = {}, set()
    for name, linear in sharing.adapted():
        down, up = linear.combined(task)
        ranks.add(len(down))
        weights[f"base_model.model.{name}.lora_A.weight"] = down.detach().cpu().contiguous()
        weights[f"base_model.model.{name}.lora_B.weight"] = up.detach().cpu().contiguous()
    (rank,) = ranks
    config = {
        "peft_type": "LORA",
        "task_type": "FEATURE_EXTRACTION",
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": rank,  # lora_alpha / r = 1: the scales of both adapters are folded into the matrices
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "target_modules": [name for name, _ in sharing.adapted()],
    }
    write_json(directory / "adapter_config.json", config)
    save_file(weights, directory / "adapter_model.safetensors", metadata={"format": "pt"})
    set_default_permissions(directory)
