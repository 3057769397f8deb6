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
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from nlpmtl.artifact.files import new_directory
from nlpmtl.artifact.onnx_model import GRAPH, INPUTS, OnnxModel, open_session, output_name
from nlpmtl.data import Batch
from nlpmtl.errors import ConfigError, ModelError, did_you_mean
from nlpmtl.model import MultiTaskConfig, MultiTaskModel

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
    ``[rows, time]`` of any size. It gives the logits of each task as `MultiTaskModel.forward` does, in single precision.

    Args:
        model: the model, on any device and in any precision; it stays as it is.
        tokenizer: its tokenizer.
        directory: a new or an empty one.
        tasks: which tasks; left out: all.

    Returns:
        The largest difference of a logit from torch's, over batches of many sizes and lengths, as a fraction of the
        largest logit of its task (of 1, where that is less).

    Raises:
        ConfigError: a task that the model does not have, a directory that is not empty, or packages that are missing.
        ModelError: the graph's logits differ by more than 1e-5; nothing is left behind.
    """
    _check(model, tasks)
    own: Any = copy.deepcopy(model).to("cpu", torch.float32)
    own.eval()
    own.set_attn_implementation("eager")  # which every architecture has
    own.tasks = {name: task for name, task in model.tasks.items() if tasks is None or name in tasks}
    own.config.tasks = {name: own.config.tasks[name] for name in own.tasks}
    batches = list(_batches(own.config, tokenizer))
    with new_directory(Path(directory)) as made:
        _write_graph(own, batches[0], made / GRAPH)
        own.config.save_pretrained(made)
        tokenizer.save_pretrained(made)
        apart = _compare(own, OnnxModel(open_session(made / GRAPH), own.config), batches)
        if not apart <= _CLOSE:
            raise ModelError(f"the ONNX graph differs from torch by {apart:.1e} of the logits, more than {_CLOSE:.0e}")
        (made / "README.md").write_text(_readme(own.tasks, apart), encoding="utf-8")
    return apart


def _check(model: MultiTaskModel, tasks: Sequence[str] | None) -> None:
    if not all(importlib.util.find_spec(package) for package in _NEEDED):
        raise ConfigError("the export to ONNX needs more packages: pip install 'nlpmtl[onnx]'")
    if tasks is not None and not tasks:
        raise ConfigError("no task is named to export")
    for name in tasks or ():
        if name not in model.tasks:
            raise ConfigError(f"this model has no task {name!r}; {did_you_mean(name, model.tasks)}")


def _write_graph(model: MultiTaskModel, example: Batch, path: Path) -> None:
    axes = {0: "rows", 1: "time"}
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            model,
            kwargs=example.inputs,
            input_names=list(example.inputs),
            dynamic_shapes=dict.fromkeys(example.inputs, axes),
            opset_version=_OPSET,
            verbose=False,
        )
    assert program is not None
    _name(program.model.graph, [output_name(task) for task in model.tasks])
    program.save(path)


def _name(graph: Any, outputs: Sequence[str]) -> None:
    """Name the outputs, free those names inside, and forget where in whose source files each node comes from."""
    for node in graph.all_nodes():
        node.metadata_props.clear()
        for value in node.outputs:
            value.metadata_props.clear()
            if value.name in outputs:
                value.name = f"{value.name}.inner"
    for value, name in zip(graph.outputs, outputs, strict=True):
        value.name = name


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch's exporter says of itself and of packages that are not needed: the graph is compared."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _batches(config: MultiTaskConfig, tokenizer: PreTrainedTokenizerBase) -> Iterator[Batch]:
    """Random wordpieces in many shapes; in each the first row is whole and the others end anywhere."""
    random = torch.Generator().manual_seed(0)
    encoder: Any = config.encoder_config
    vocabulary, segments = min(len(tokenizer), encoder.vocab_size), min(2, getattr(encoder, "type_vocab_size", 1))
    for rows, most in (
        (3, 7),
        (1, 1),
        (1, 2),
        (4, 3),
        (17, 33),
        (1, 100),
        (1, config.input_length),
        (3, config.input_length),
    ):
        time = min(most, config.input_length)
        lengths = torch.randint(1, time + 1, (rows, 1), generator=random)
        lengths[0] = time
        mask = torch.arange(time) < lengths
        ids = torch.randint(vocabulary, (rows, time), generator=random).where(
            mask, torch.tensor(tokenizer.pad_token_id)
        )
        types = torch.randint(max(1, segments), (rows, time), generator=random) * mask
        yield Batch(ids, mask.long(), types if INPUTS[2] in tokenizer.model_input_names else None, {})


def _compare(model: MultiTaskModel, exported: OnnxModel, batches: Sequence[Batch]) -> float:
    """The largest difference, as `export_onnx` returns it; of logits of padding nothing is asked."""
    found: dict[str, list[Tensor]] = {task: [] for task in model.tasks}
    right: dict[str, list[Tensor]] = {task: [] for task in model.tasks}
    for batch in batches:
        every = dict.fromkeys(model.tasks, torch.arange(len(batch.input_ids)))
        with torch.inference_mode():
            for all_, logits in ((found, exported.infer(batch, every)), (right, model(**batch.inputs))):
                for task, of_task in logits.items():
                    real = batch.attention_mask == 1 if model.tasks[task].level == "token" else slice(None)
                    all_[task].append(of_task[real])
    apart = []
    for task in model.tasks:
        one, other = torch.cat(found[task]), torch.cat(right[task])
        apart.append((one - other).abs().max() / other.abs().max().clamp(min=1))
    return float(torch.stack(apart).max())  # not a number where one of them is none


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
        f"`{GRAPH}` is one graph: an encoder and {len(tasks)} head{'s' if len(tasks) > 1 else ''}. It takes wordpieces, "
        "`[rows, time]` of any size, and gives the logits of each task:",
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
