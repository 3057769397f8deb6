"""Export of a model to ONNX: one graph with one output per task, verified against PyTorch."""

from __future__ import annotations

import copy
import importlib.util
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from nlpmtl.config import check_output
from nlpmtl.data import Batch, without_truncation
from nlpmtl.errors import ConfigError, ModelError, did_you_mean
from nlpmtl.export.onnx_compare import max_logit_difference, random_batches
from nlpmtl.export.onnx_model import load_onnx, output_name
from nlpmtl.export.readme import onnx_readme
from nlpmtl.heads import named_outputs
from nlpmtl.hub.model_directory import atomic_directory
from nlpmtl.hub.model_files import GRAPH
from nlpmtl.model import MultiTaskModel

_PACKAGES = ("onnx", "onnxruntime", "onnxscript")
_OPSET = 18
"""The opset that torch writes without conversion; any onnxruntime of recent years reads it."""
_TOLERANCE = 1e-5


def export_onnx(
    model: MultiTaskModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    directory: str | Path,
    tasks: Sequence[str] | None = None,
) -> float:
    """Write a directory that `Predictor` runs with onnxruntime: graph, config, tokenizer and README.

    The graph takes ``input_ids``, ``attention_mask`` and, if the tokenizer makes them, ``token_type_ids``, each
    ``[batch_size, sequence_length]``, both of any size, and returns the logits of each task like
    `MultiTaskModel.forward`, in single precision.

    Args:
        model: the model, on any device and in any precision; it is not changed.
        tokenizer: its tokenizer.
        directory: where to write; must be empty or not exist.
        tasks: names of the tasks; default: all whose task type is exportable.

    Returns:
        Maximum difference between a logit of the graph and that of the torch model, over batches of many sizes and
        lengths, relative to the largest logit of the task (or to 1 if that is less).

    Raises:
        ConfigError: a task that the model does not have or that is not exportable, a directory that is not empty, or
            missing packages.
        ModelError: the logits of the graph differ by more than 1e-5. Nothing is written.
    """
    tasks = _check(model, tasks)
    exported = _copy(model, tasks)
    batches = list(random_batches(exported, tokenizer))
    with atomic_directory(check_output(directory, key="directory")) as part:
        _write_graph(exported, batches[0], part / GRAPH)
        exported.config.save_pretrained(part)
        without_truncation(tokenizer).save_pretrained(part)
        loaded, _ = load_onnx(part, device="cpu")
        differences = max_logit_difference(exported, loaded, batches)
        for name, difference in differences.items():
            if not difference <= _TOLERANCE:  # false for NaN, too
                raise ModelError(
                    f"task {name!r}: the logits of the ONNX graph differ from those of the torch model by "
                    f"{difference:.1e} (relative to the largest logit, or to 1 if that is larger; maximum: "
                    f"{_TOLERANCE:.0e}). Nothing was written"
                )
        difference = max(differences.values())
        outputs = _output_shapes(exported, batches[0])
        readme = onnx_readme(exported.tasks, outputs=outputs, difference=difference)
        (part / "README.md").write_text(readme, encoding="utf-8")
    return difference


def _check(model: MultiTaskModel, tasks: Sequence[str] | None) -> list[str]:
    """Return the names of the tasks to export."""
    if not all(importlib.util.find_spec(package) for package in _PACKAGES):
        raise ConfigError("the export to ONNX needs more packages: pip install 'nlpmtl[onnx]'")
    if tasks is not None and not tasks:
        raise ConfigError("tasks: the list is empty; specify at least one task")
    for name in tasks or ():
        if name not in model.tasks:
            raise ConfigError(f"this model has no task {name!r}; {did_you_mean(name, model.tasks)}")
        if not model.tasks[name].exportable:
            raise ConfigError(
                f"task {name!r} cannot be exported to ONNX: the head of its type, {model.tasks[name].kind!r}, cannot "
                "be traced"
            )
    names = [name for name, task in model.tasks.items() if task.exportable and (tasks is None or name in tasks)]
    if not names:
        kinds = ", ".join(f"{name!r} ({task.kind})" for name, task in model.tasks.items())
        raise ConfigError(f"no task of this model can be exported to ONNX: {kinds}: their heads cannot be traced")
    return names


def _copy(model: MultiTaskModel, tasks: Sequence[str]) -> MultiTaskModel:
    """Return the model to export: with those tasks, on the CPU, in single precision."""
    exported = copy.deepcopy(model)
    module: nn.Module = exported  # whose methods have types
    module.to("cpu", torch.float32).eval()
    encoder = exported.sharing.encoder
    if encoder.config._attn_implementation != "eager":  # the only one that every architecture has
        encoder.set_attn_implementation("eager")
    exported.tasks = {name: model.tasks[name] for name in tasks}
    exported.config.tasks = {name: task.to_config() for name, task in exported.tasks.items()}
    return exported


def _write_graph(model: MultiTaskModel, example: Batch, path: Path) -> None:
    axes = {0: "batch_size", 1: "sequence_length"}
    try:
        with _silenced(), torch.no_grad():
            program = torch.onnx.export(
                model,
                kwargs=example.inputs,
                input_names=list(example.inputs),
                dynamic_shapes=dict.fromkeys(example.inputs, axes),
                opset_version=_OPSET,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise ModelError(f"torch cannot write this model as an ONNX graph: {error}") from error
    assert program is not None, "torch returns the program unless it writes the file itself"
    _rename_outputs(program.model.graph, _output_names(model, example))
    program.save(path)


def _output_names(model: MultiTaskModel, example: Batch) -> list[str]:
    """Return the names of the graph's outputs, in their order."""
    with torch.no_grad():
        outputs = model(**example.inputs)
    return [output_name(task, name) for task in outputs for name in named_outputs(outputs[task])]


def _output_shapes(model: MultiTaskModel, example: Batch) -> dict[str, dict[str, str]]:
    """Return the shape of each output of each task, with the axes that have any size by name."""
    sequence_length = example.input_ids.shape[1]
    with torch.no_grad():
        outputs = model(**example.inputs)

    def shape(values: Tensor) -> str:
        sizes = [str(size) for size in values.shape[1:]]
        if values.dim() > 2 and values.shape[1] == sequence_length:
            sizes[0] = "sequence_length"
        return f"[{', '.join(['batch_size', *sizes])}]"

    return {
        task: {output_name(task, name): shape(values) for name, values in named_outputs(outputs[task]).items()}
        for task in outputs
    }


def _rename_outputs(graph: Any, outputs: Sequence[str]) -> None:
    """Name the outputs, rename inner values of those names, and remove the source positions of all nodes."""
    nodes = list(graph.all_nodes())
    for item in [graph, *nodes]:
        item.metadata_props.clear()
    for value in [*graph.initializers.values(), *(value for node in nodes for value in node.outputs)]:
        value.metadata_props.clear()
        if value.name in outputs:
            value.name = f"{value.name}.inner"
    for value, name in zip(graph.outputs, outputs, strict=True):
        value.name = name


@contextmanager
def _silenced() -> Iterator[None]:
    """Silence the exporter's log messages: the exported graph is verified anyway."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
