"""A model that onnxruntime runs: read from a directory, asked as a `MultiTaskModel` is asked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, PreTrainedTokenizerBase

from nlpmtl.data import Batch
from nlpmtl.errors import ConfigError, ModelError, NlpmtlError
from nlpmtl.hub.model_files import GRAPH
from nlpmtl.model import (
    MultiTaskConfig,
    check_files,
    check_length,
    check_logits,
    check_tokenizer,
    explain_load_error,
    load_tokenizer,
)
from nlpmtl.tasks import Task, task_from_config

_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_AUTO = "auto"
_NO_LOGGING = 4
"""Of onnxruntime's levels: what is fatal. All else that goes wrong it raises too."""


class OnnxModel:
    """A graph with an output for each task.

    Args:
        session: onnxruntime's `InferenceSession` of the graph.
        config: what is in its ``config.json``.

    Raises:
        ModelError: the graph does not have the outputs of a task of the config.
    """

    def __init__(self, session: Any, config: MultiTaskConfig) -> None:
        self.config = config
        self.tasks: dict[str, Task] = {name: task_from_config(name, spec) for name, spec in config.tasks.items()}
        self.session, self._inputs = session, {one.name for one in session.get_inputs()}
        widths = {one.name: one.shape[-1] for one in session.get_outputs()}
        for name, task in self.tasks.items():
            found = widths.get(output_name(name), "none")
            if found != task.outputs:
                raise ModelError(f"task {name!r} has {task.outputs} logits by config.json, and {found} in {GRAPH}")
        if unknown := sorted(widths.keys() - set(map(output_name, self.tasks))):
            raise ModelError(f"{GRAPH} has outputs that are no task of config.json: {', '.join(unknown[:5])}")

    @property
    def device(self) -> torch.device:
        """Where the graph computes."""
        return torch.device("cuda" if self.provider == _PROVIDERS["cuda"] else "cpu")

    @property
    def provider(self) -> str:
        """The execution provider of onnxruntime that computes, such as "CPUExecutionProvider"."""
        return str(self.session.get_providers()[0])

    def compute(self, ids: Tensor) -> dict[str, Tensor]:
        """Logits of all tasks for token ids without padding, ``[rows, time]``."""
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
        rows = dict.fromkeys(self.tasks, torch.arange(len(ids)))
        return self._run(Batch(**inputs, parts={}), rows)

    def predict_logits(self, batch: Batch, rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Logits of the rows that each task is asked about, as `MultiTaskModel.forward` gives them, on the CPU.

        Raises:
            ModelError: the graph cannot compute the batch, or a logit is not finite.
        """
        try:
            logits = self._run(batch, rows)
        except Exception as error:  # its errors have no base of their own
            raise ModelError(f"{GRAPH} cannot compute a batch: {error}") from error
        for task, values in logits.items():
            tokens = batch.attention_mask[rows[task]].bool()
            if not (values[tokens] if values.dim() > 2 else values).isfinite().all():
                raise ModelError(
                    f"task {task!r}: the logits of {GRAPH} are not finite for this input: the training diverged, or "
                    "the file is damaged. Export the model again"
                )
        return logits

    def _run(self, batch: Batch, rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
        given = {name: value.numpy() for name, value in batch.inputs.items() if name in self._inputs}
        found = self.session.run([output_name(task) for task in rows], given)
        return {task: torch.from_numpy(one[at.numpy()]) for (task, at), one in zip(rows.items(), found, strict=True)}


def output_name(task: str) -> str:
    """What a task's output is called in the graph: as the task, but where an input has that name."""
    return f"{task}.logits" if task in _INPUTS else task


def load_onnx(directory: str | Path, *, device: str) -> tuple[OnnxModel, PreTrainedTokenizerBase]:
    """A model and its tokenizer, from a directory with a ``model.onnx``.

    Args:
        directory: the directory.
        device: "cpu", "cuda", "cuda:1", or "auto": CUDA if the installed onnxruntime has it and it works.

    Raises:
        ConfigError: onnxruntime is not installed, or cannot compute on that device.
        ModelError: there is no such model, or it is not one of nlpmtl's.
    """
    session = _open(Path(directory) / GRAPH, device)
    failed = f"the model {str(directory)!r} cannot be loaded"
    try:
        check_files(str(directory), failed=failed)
        config = AutoConfig.from_pretrained(directory, trust_remote_code=False)
        if not isinstance(config, MultiTaskConfig):
            raise ModelError(f"{failed}: its config.json is not one of nlpmtl's: model_type is {config.model_type!r}")
        assert config.encoder_config is not None, "`check_files` refuses a config without it"
        tokenizer = load_tokenizer(str(directory), config=config.encoder_config)
    except NlpmtlError:
        raise
    except Exception as error:  # what transformers and tokenizers raise has no base of its own
        raise ModelError(f"{failed}: {explain_load_error(error)}") from error
    model = OnnxModel(session, config)
    check_length(config, positions=None, failed=failed)
    check_tokenizer(tokenizer, owner=f"{failed}: it", rows=None)
    check_logits(model.compute, tokenizer, length=min(config.input_length, 16), failed=failed)
    return model, tokenizer


def onnx_has_cuda() -> bool:
    """Whether onnxruntime is installed, and was built for CUDA."""
    try:
        import onnxruntime
    except ImportError:
        return False
    return _PROVIDERS["cuda"] in onnxruntime.get_available_providers()


def _open(graph: Path, device: str) -> Any:
    """Onnxruntime's session of a graph, on as many threads as torch uses."""
    try:
        import onnxruntime
    except ImportError:
        raise ConfigError("a model in ONNX needs onnxruntime: pip install 'nlpmtl[onnx]'") from None
    available = onnxruntime.get_available_providers()
    kind, _, number = device.partition(":")
    if kind == _AUTO:
        kind = "cuda" if _PROVIDERS["cuda"] in available else "cpu"
    provider, options = _PROVIDERS.get(kind, device), {"device_id": number} if number else {}
    if provider not in available:
        advice = "pip install onnxruntime-gpu" if kind == "cuda" else 'it is "cpu" or "cuda"'
        raise ConfigError(
            f"the installed onnxruntime cannot compute on the device {device!r}: {advice}; "
            f"it has {', '.join(available)}"
        )
    failed = f"the model {str(graph.parent)!r} cannot be loaded"
    if not graph.is_file():
        raise ModelError(f"{failed}: it has no file {graph.name}")
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = torch.get_num_threads()
    settings.log_severity_level = _NO_LOGGING
    try:
        session = onnxruntime.InferenceSession(str(graph), settings, providers=[(provider, options)])
    except Exception as error:  # its errors have no base of their own
        raise ModelError(f"{failed}: {error}") from error
    # Without a driver or a library that CUDA needs, it falls back to the CPU.
    if provider not in session.get_providers() and device != _AUTO:
        raise ConfigError(f"onnxruntime found no device {device!r} that works")
    return session
