"""A model as one ONNX graph with an output for each task, compared with torch before it is there."""

from __future__ import annotations

import copy
import importlib.util
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from nlpmtl.data import Batch, without_truncation
from nlpmtl.errors import ConfigError, ModelError, did_you_mean
from nlpmtl.export.onnx_compare import max_logit_difference, random_batches
from nlpmtl.export.onnx_model import load_onnx, output_name
from nlpmtl.hub.model_directory import atomic_directory
from nlpmtl.hub.model_files import GRAPH
from nlpmtl.model import MultiTaskModel

_NEEDED = ("onnx", "onnxruntime", "onnxscript")
_OPSET = 18
"""What torch writes without converting; every onnxruntime of the last years reads it."""
_CLOSE = 1e-5


def export_onnx(
    model: MultiTaskModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    directory: str | Path,
    tasks: Sequence[str] | None = None,
) -> float:
    """Write a directory that `Predictor` runs without torch's weights: graph, config, tokenizer, README.

    The graph takes ``input_ids``, ``attention_mask`` and, where the tokenizer makes them, ``token_type_ids``, each
    ``[rows, time]`` of any size, and gives the logits of each task as `MultiTaskModel.forward` does, in single
    precision.

    Args:
        model: the model, on any device and in any precision; it stays as it is.
        tokenizer: its tokenizer.
        directory: a new or an empty one.
        tasks: which tasks; default: all.

    Returns:
        The largest difference of a logit from torch's, over batches of many sizes and lengths, as a fraction of the
        largest logit of its task (of 1, where that is less).

    Raises:
        ConfigError: a task that the model does not have, a directory that is not empty, or packages that are missing.
        ModelError: the graph's logits differ by more than 1e-5; nothing is left behind.
    """
    _check(model, tasks)
    own = _copy(model, tasks)
    batches = list(random_batches(own, tokenizer))
    with atomic_directory(Path(directory)) as made:
        _write_graph(own, batches[0], made / GRAPH)
        own.config.save_pretrained(made)
        without_truncation(tokenizer).save_pretrained(made)
        written, _ = load_onnx(made, device="cpu")
        apart = max_logit_difference(own, written, batches)
        for name, one in apart.items():
            if not one <= _CLOSE:  # as it is not where a logit is no number
                raise ModelError(
                    f"task {name!r}: the logits of the ONNX graph are not torch's: they differ by {one:.1e} of the "
                    f"largest, and {_CLOSE:.0e} is allowed. Nothing was written"
                )
        (made / "README.md").write_text(_readme(own.tasks, max(apart.values())), encoding="utf-8")
    return max(apart.values())


def _check(model: MultiTaskModel, tasks: Sequence[str] | None) -> None:
    if not all(importlib.util.find_spec(package) for package in _NEEDED):
        raise ConfigError("the export to ONNX needs more packages: pip install 'nlpmtl[onnx]'")
    if tasks is not None and not tasks:
        raise ConfigError("no task is named to export")
    for name in tasks or ():
        if name not in model.tasks:
            raise ConfigError(f"this model has no task {name!r}; {did_you_mean(name, model.tasks)}")


def _copy(model: MultiTaskModel, tasks: Sequence[str] | None) -> MultiTaskModel:
    """The model as it is exported: with those tasks, on the CPU, in single precision."""
    own = copy.deepcopy(model)
    module: nn.Module = own  # whose methods have types
    module.to("cpu", torch.float32).eval()
    encoder = own.sharing.encoder
    if encoder.config._attn_implementation != "eager":  # which every architecture has, some alone
        encoder.set_attn_implementation("eager")
    own.tasks = {name: task for name, task in model.tasks.items() if tasks is None or name in tasks}
    own.config.tasks = {name: task.to_config() for name, task in own.tasks.items()}
    return own


def _write_graph(model: MultiTaskModel, example: Batch, path: Path) -> None:
    axes = {0: "rows", 1: "time"}
    try:
        with _quiet(), torch.no_grad():
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
    assert program is not None, "it is written to a file by us"
    _name(program.model.graph, [output_name(task) for task in model.tasks])
    program.save(path)


def _name(graph: Any, outputs: Sequence[str]) -> None:
    """Name the outputs, free those names inside, and forget where in whose source files each node comes from."""
    nodes = list(graph.all_nodes())
    for one in [graph, *nodes]:
        one.metadata_props.clear()
    for value in [*graph.initializers.values(), *(value for node in nodes for value in node.outputs)]:
        value.metadata_props.clear()
        if value.name in outputs:
            value.name = f"{value.name}.inner"
    for value, name in zip(graph.outputs, outputs, strict=True):
        value.name = name


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says of itself and of packages that are not needed: its graph is compared."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _readme(tasks: Mapping[str, Any], apart: float) -> str:
    lines = [
        "---",
        "library_name: nlpmtl",
        "tags:",
        "- multi-task",
        "- onnx",
        "---",
        "",
        "# A multi-task text model in ONNX",
        "",
        f"`{GRAPH}` is one graph: an encoder and {len(tasks)} head{'s' if len(tasks) > 1 else ''}. "
        "It takes tokens, `[rows, time]` of any size, and gives the logits of each task:",
        "",
        "| task | kind | output | shape |",
        "|---|---|---|---|",
        *(
            f"| {name} | {task.kind} | `{output_name(name)}` | "
            f"`[rows, {'time, ' if task.level == 'token' else ''}{task.outputs}]` |"
            for name, task in tasks.items()
        ),
        "",
        f"The largest difference from the logits that torch gives was {apart:.0e} of the largest logit of its task. "
        "Labels, temperatures, thresholds and the scale of numbers are in `config.json`.",
        "",
        "```python",
        "import nlpmtl",
        "",
        'model = nlpmtl.Predictor.from_pretrained("this-directory")',
        'model.predict_all("A text.")',
        "```",
        "",
    ]
    return "\n".join(lines)
