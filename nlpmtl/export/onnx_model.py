"""An exported model that onnxruntime runs, with the prediction interface of `MultiTaskModel`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, PreTrainedTokenizerBase

from nlpmtl.data import Batch, without_truncation
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
"""The log level "fatal" of onnxruntime: it raises all other errors, too."""


class OnnxModel:
    """An ONNX graph with one output per task.

    Args:
        session: the `onnxruntime.InferenceSession` of the graph.
        config: the model's ``config.json``.

    Raises:
        ModelError: the graph does not have the outputs of a task of the config.
    """

    def __init__(self, session: Any, config: MultiTaskConfig) -> None:
        self.config = config
        self.tasks: dict[str, Task] = {name: task_from_config(name, spec) for name, spec in config.tasks.items()}
        self.session, self._inputs = session, {value.name for value in session.get_inputs()}
        shapes = {value.name: list(value.shape) for value in session.get_outputs()}
        self._outputs = {name: _outputs_of(name, shapes) for name in self.tasks}
        for name, task in self.tasks.items():
            width = shapes[output_name(name)][-1] if output_name(name) in shapes else "none"
            if not self._outputs[name] or (task.outputs is not None and width != task.outputs):
                raise ModelError(f"task {name!r} has {task.outputs} logits in config.json, but {width} in {GRAPH}")
        known = {output for outputs in self._outputs.values() for output in outputs.values()}
        if unknown := sorted(shapes.keys() - known):
            raise ModelError(f"{GRAPH} has outputs that are not tasks of config.json: {', '.join(unknown[:5])}")

    @property
    def device(self) -> torch.device:
        """Device on which the graph runs."""
        return torch.device("cuda" if self.provider == _PROVIDERS["cuda"] else "cpu")

    @property
    def provider(self) -> str:
        """Execution provider of onnxruntime, such as "CPUExecutionProvider"."""
        return str(self.session.get_providers()[0])

    def compute(self, ids: Tensor) -> dict[str, dict[str, Tensor]]:
        """Return the logits of all tasks for token ids without padding, ``[rows, sequence_length]``."""
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
        rows = dict.fromkeys(self.tasks, torch.arange(len(ids)))
        return self._run(Batch(**inputs, tasks={}), rows)

    def predict_logits(self, batch: Batch, rows: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
        """Return the logits of each task for its rows, like `MultiTaskModel.forward`, on the CPU.

        Raises:
            ModelError: the graph cannot compute the batch.
        """
        try:
            return self._run(batch, rows)
        except Exception as error:  # the errors of onnxruntime have no common base class
            raise ModelError(f"{GRAPH} cannot compute a batch: {error}") from error

    def reads_words(self, task: str) -> bool:
        """Return False: a graph has no input for the positions of words."""
        return False

    def _run(self, batch: Batch, rows: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
        inputs = {name: value.numpy() for name, value in batch.inputs.items() if name in self._inputs}
        outputs = {output: rows[task] for task in rows for output in self._outputs[task].values()}
        arrays = dict(zip(outputs, self.session.run(list(outputs), inputs), strict=True))
        values = {output: torch.from_numpy(arrays[output][indices.numpy()]) for output, indices in outputs.items()}
        return {task: {key: values[output] for key, output in self._outputs[task].items()} for task in rows}


def _outputs_of(task: str, names: Collection[str]) -> dict[str, str]:
    """Return the outputs of a task: name of the output -> its name in the graph."""
    named = {name.removeprefix(f"{task}."): name for name in names if name.startswith(f"{task}.")}
    return {"logits": task, **named} if task in names and task not in _INPUTS else named


def output_name(task: str, output: str = "logits") -> str:
    """Return the name of a task's output in the graph: that of the task for "logits", unless an input has it."""
    return task if output == "logits" and task not in _INPUTS else f"{task}.{output}"


def load_onnx(directory: str | Path, *, device: str) -> tuple[OnnxModel, PreTrainedTokenizerBase]:
    """Load a model and its tokenizer from a directory with a ``model.onnx``.

    Args:
        directory: the directory.
        device: "cpu", "cuda", "cuda:1", or "auto": CUDA if the installed onnxruntime supports it and it works.

    Raises:
        ConfigError: onnxruntime is not installed, or does not support the device.
        ModelError: the model does not exist, is invalid, or was not written by nlpmtl.
    """
    session = _open(Path(directory) / GRAPH, device)
    error_prefix = f"the model {str(directory)!r} cannot be loaded"
    try:
        check_files(str(directory), error_prefix=error_prefix)
        config = AutoConfig.from_pretrained(directory, trust_remote_code=False)
        if not isinstance(config, MultiTaskConfig):
            raise ModelError(
                f"{error_prefix}: its config.json is not that of an nlpmtl model: model_type is {config.model_type!r}"
            )
        assert config.encoder_config is not None, "`check_files` refuses a config without it"
        tokenizer = load_tokenizer(str(directory), config=config.encoder_config)
    except NlpmtlError:
        raise
    except Exception as error:  # the errors of transformers and tokenizers have no common base class
        raise ModelError(f"{error_prefix}: {explain_load_error(error)}") from error
    model = OnnxModel(session, config)
    for task in model.tasks.values():
        task.tokenizer = without_truncation(tokenizer)
    check_length(config, positions=None, error_prefix=error_prefix)
    check_tokenizer(tokenizer, owner=f"{error_prefix}: it", embedding_count=None)
    check_logits(model.compute, tokenizer, length=min(config.input_length, 16), error_prefix=error_prefix)
    return model, tokenizer


def onnx_has_cuda() -> bool:
    """Return whether onnxruntime is installed and was built for CUDA."""
    try:
        import onnxruntime
    except ImportError:
        return False
    return _PROVIDERS["cuda"] in onnxruntime.get_available_providers()


def _open(graph: Path, device: str) -> Any:
    """Open an inference session with the number of threads that torch uses."""
    try:
        import onnxruntime
    except ImportError:
        raise ConfigError("an ONNX model needs onnxruntime: pip install 'nlpmtl[onnx]'") from None
    available = onnxruntime.get_available_providers()
    kind, _, number = device.partition(":")
    if kind == _AUTO:
        kind = "cuda" if _PROVIDERS["cuda"] in available else "cpu"
    provider, options = _PROVIDERS.get(kind, device), {"device_id": number} if number else {}
    if provider not in available:
        advice = "pip install onnxruntime-gpu" if kind == "cuda" else 'write "cpu" or "cuda"'
        raise ConfigError(
            f"the installed onnxruntime does not support the device {device!r}: {advice}; "
            f"it supports {', '.join(available)}"
        )
    error_prefix = f"the model {str(graph.parent)!r} cannot be loaded"
    if not graph.is_file():
        raise ModelError(f"{error_prefix}: it has no file {graph.name}")
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = torch.get_num_threads()
    settings.log_severity_level = _NO_LOGGING
    try:
        session = onnxruntime.InferenceSession(str(graph), settings, providers=[(provider, options)])
    except Exception as error:  # the errors of onnxruntime have no common base class
        raise ModelError(f"{error_prefix}: {error}") from error
    # Without the driver or a library of CUDA, onnxruntime falls back to the CPU.
    if provider not in session.get_providers() and device != _AUTO:
        raise ConfigError(f"onnxruntime found no working device {device!r}")
    return session
