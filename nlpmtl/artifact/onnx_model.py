"""A model that onnxruntime runs: read from a directory or the Hub, asked as a `MultiTaskModel` is asked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from torch import Tensor
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerBase

from nlpmtl.data import Batch
from nlpmtl.errors import ConfigError, ModelError
from nlpmtl.model import MultiTaskConfig
from nlpmtl.tasks import Task, task_from_spec

GRAPH = "model.onnx"
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_FILES = [f"{GRAPH}*", "*.json", "*.txt", "*.model"]
_ERRORS_ALONE = 3
"""Of onnxruntime's levels of logging."""


class OnnxModel:
    """A graph with an output for each task.

    Args:
        session: onnxruntime's `InferenceSession` of the graph.
        config: what is in its ``config.json``.

    Raises:
        ModelError: the graph lacks a task of the config, or has other outputs for it.
    """

    def __init__(self, session: Any, config: MultiTaskConfig) -> None:
        self.config = config
        self.tasks: dict[str, Task] = {name: task_from_spec(name, spec) for name, spec in config.tasks.items()}
        self._session, self._inputs = session, {one.name for one in session.get_inputs()}
        widths = {one.name: one.shape[-1] for one in session.get_outputs()}
        for name, task in self.tasks.items():
            if widths.get(output_name(name)) != task.outputs:
                found = widths.get(output_name(name), "no")
                raise ModelError(f"task {name!r} of this model has {task.outputs} outputs, and its graph {found}")

    def infer(self, batch: Batch, rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Logits of the rows that each task is asked about, as `MultiTaskModel.forward` gives them, on the CPU."""
        given = {name: value.numpy() for name, value in batch.inputs.items() if name in self._inputs}
        found = self._session.run([output_name(task) for task in rows], given)
        return {task: torch.from_numpy(one)[at] for (task, at), one in zip(rows.items(), found, strict=True)}


def output_name(task: str) -> str:
    """What a task's output is called in the graph: as the task, but where an input has that name."""
    return f"{task}.logits" if task in INPUTS else task


def load_onnx(name: str, *, device: str) -> tuple[OnnxModel, PreTrainedTokenizerBase]:
    """A model and its tokenizer, from a directory with a ``model.onnx`` or a Hub id.

    Args:
        name: the directory, or the Hub id.
        device: "cpu", "cuda" or "cuda:1".

    Raises:
        ConfigError: onnxruntime is not installed, or does not know that device.
        ModelError: there is no such model, or it is not one of nlpmtl's.
    """
    provider = _provider(device)
    try:
        path = Path(name) if Path(name).is_dir() else Path(snapshot_download(name, allow_patterns=_FILES))
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"the model {name!r} cannot be loaded: {error}") from error
    if not isinstance(config, MultiTaskConfig):
        raise ModelError(f"the model {name!r} was not exported by nlpmtl: its config.json says {config.model_type!r}")
    return OnnxModel(open_session(path / GRAPH, provider=provider), config), tokenizer


def open_session(graph: Path, *, provider: Any = "CPUExecutionProvider") -> Any:
    """Onnxruntime's session of a graph, on as many threads as torch uses, quiet.

    Raises:
        ModelError: it cannot be loaded.
    """
    import onnxruntime

    if not graph.is_file():
        raise ModelError(f"the model {str(graph.parent)!r} cannot be loaded: it has no {GRAPH}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = _ERRORS_ALONE
    try:
        session = onnxruntime.InferenceSession(str(graph), options, providers=[provider])
    except Exception as error:  # its errors have no base of their own
        raise ModelError(f"the model {str(graph.parent)!r} cannot be loaded: {error}") from error
    return session


def _provider(device: str) -> Any:
    """What onnxruntime computes with on a device."""
    try:
        import onnxruntime
    except ImportError:
        raise ConfigError("a model in ONNX needs onnxruntime: pip install 'nlpmtl[onnx]'") from None
    kind, _, number = device.partition(":")
    wanted = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}.get(kind)
    if wanted not in onnxruntime.get_available_providers():
        raise ConfigError(
            f"this onnxruntime cannot compute on the device {device!r}: pip install onnxruntime-gpu for cuda"
        )
    return (wanted, {"device_id": number}) if number else wanted
