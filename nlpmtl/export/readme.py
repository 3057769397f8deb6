"""README files of exported models."""

from __future__ import annotations

from collections.abc import Mapping

from nlpmtl.hub.model_files import GRAPH
from nlpmtl.strict_json import dumps
from nlpmtl.tasks import StockModel, Task, example_call


def transformers_readme(task: Task, *, stock: StockModel, max_length: int) -> str:
    """Return the README of one task that was exported as a transformers model.

    Args:
        task: the task.
        stock: how the exported model predicts.
        max_length: maximum input length in tokens.
    """
    labels = ", ".join(f"`{label}`" for label in task.labels) or f"none: {task.describe_output()}"
    pairs = task.takes_pairs or stock.pairs or stock.by_choice
    lines = [
        "---",
        "library_name: transformers",
        f"pipeline_tag: {task.pipeline_tag}",
        "tags:",
        "- nlpmtl",
        "---",
        "",
        f"# {task.name}",
        "",
        f"The task `{task.name}` of a multi-task model trained with nlpmtl, exported as a transformers model.",
        "",
        f"- Task type: {task.kind}",
        f"- Input: {'a pair of texts' if pairs else 'a text'}, at most {max_length} tokens",
        f"- Labels: {'none: a logit for each choice' if stock.by_choice else labels}",
        "",
        "```python",
        _pipeline_call(task, stock, pairs=pairs) if stock.usage is None else stock.usage,
        "```",
        "",
        "## Folded into the last layer",
        "",
        *(f"- {sentence}" for sentence in stock.folded or ("Nothing.",)),
        "",
        "## Not exported",
        "",
        *(f"- {sentence}" for sentence in stock.omitted or (f"Nothing: {_same(stock)} the same as nlpmtl.",)),
        "",
    ]
    return "\n".join(lines)


def _pipeline_call(task: Task, stock: StockModel, *, pairs: bool) -> str:
    return f"""\
from transformers import pipeline

pipe = pipeline("{stock.pipeline or task.pipeline_tag}", model="this-directory-or-repository")
pipe({_arguments(stock, pairs=pairs)})"""


def _same(stock: StockModel) -> str:
    return "the code above predicts" if stock.usage else "the pipeline predicts"


def _arguments(stock: StockModel, *, pairs: bool) -> str:
    text = '{"text": "A text.", "text_pair": "Another."}' if pairs else '"A text."'
    options = (f"{name}={dumps(value) if isinstance(value, str) else value}" for name, value in stock.arguments.items())
    return ", ".join([text, *options])


def sentence_transformers_readme(task: Task) -> str:
    """Return the README of one task that was exported for sentence-transformers."""
    lines = [
        "---",
        "library_name: sentence-transformers",
        f"pipeline_tag: {task.pipeline_tag}",
        "tags:",
        "- sentence-transformers",
        "- nlpmtl",
        "---",
        "",
        f"# {task.name}",
        "",
        f"The task `{task.name}` of a multi-task model trained with nlpmtl, exported for sentence-transformers: "
        f"{task.describe_output()}.",
        "",
        "```python",
        "from sentence_transformers import SentenceTransformer",
        "",
        'model = SentenceTransformer("this-directory-or-repository")',
        'embeddings = model.encode(["A text.", "Another."])',
        "```",
        "",
    ]
    return "\n".join(lines)


def onnx_readme(tasks: Mapping[str, Task], *, outputs: Mapping[str, Mapping[str, str]], difference: float) -> str:
    """Return the README of an ONNX export.

    Args:
        tasks: the exported tasks by name.
        outputs: for each task, the shape of each output of the graph by its name, as text.
        difference: maximum difference of a logit from torch's, relative to the largest logit of its task.
    """
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
        "It takes tokens, `[batch_size, sequence_length]` of any size, and returns the logits of each task:",
        "",
        "| task | type | output | shape |",
        "|---|---|---|---|",
        *(
            f"| {name} | {task.kind} | `{output}` | `{shape}` |"
            for name, task in tasks.items()
            for output, shape in outputs[name].items()
        ),
        "",
        f"The largest difference from the logits of the PyTorch model was {difference:.0e} of the largest logit of the "
        "task. Labels, temperatures, thresholds and the scale of regression targets are in `config.json`.",
        "",
        "```python",
        "import nlpmtl",
        "",
        'model = nlpmtl.Predictor.from_pretrained("this-directory")',
        f"model.{example_call(tasks.values())}",
        "```",
        "",
    ]
    return "\n".join(lines)
