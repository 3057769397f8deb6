"""The adapters of a model that shares by LoRA, one directory for each task, in the format of the package peft."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import save_file

from nlpmtl.errors import ConfigError, ModelError, did_you_mean
from nlpmtl.fs import apply_umask, write_json
from nlpmtl.hub.model_directory import atomic_directory
from nlpmtl.model import Lora, MultiTaskModel


def export_lora(
    model: MultiTaskModel, *, directory: str | Path, base: str, tasks: Sequence[str] | None = None
) -> list[Path]:
    """Write each task's adapters as one LoRA that `peft.PeftModel.from_pretrained` puts on the encoder.

    The shared adapter and the task's stand one beside the other in it: its rank is the sum of theirs, and their scales
    are in its matrices. Heads are not part of it.

    Args:
        model: a model that shares by ``lora``.
        directory: a new or an empty one; each task gets a directory of its name there.
        base: the encoder that the model was trained from, by its Hub id or directory.
        tasks: which tasks; default: all.

    Returns:
        The tasks' directories.

    Raises:
        ConfigError: a task that the model does not have, or a directory that is not empty.
        ModelError: the model has no such adapters.
    """
    sharing = model.sharing
    if not isinstance(sharing, Lora):
        raise ModelError(f"this model has no LoRA adapters: it shares by {model.config.sharing['kind']!r}")
    for task in tasks or ():
        if task not in model.tasks:
            raise ConfigError(f"this model has no task {task!r}; {did_you_mean(task, model.tasks)}")
    named = list(model.tasks) if tasks is None else list(tasks)
    with atomic_directory(Path(directory)) as part:
        for task in named:
            _write(sharing, part / task, task=task, base=base)
    return [Path(directory) / task for task in named]


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
        "lora_alpha": rank,  # a scale of 1: those of the two adapters are in their matrices
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "target_modules": [name for name, _ in sharing.adapted()],
    }
    write_json(directory / "adapter_config.json", config)
    save_file(weights, directory / "adapter_model.safetensors", metadata={"format": "pt"})
    apply_umask(directory)
