"""Every task type exported and served: numbers compared with those of nlpmtl, or why it cannot be exported.

    python -m benchmarks.kind_exports [--output FILE.md]        (in the root of a checkout)

One model of all task types, a tiny random BERT trained for a few steps, and one with the decoder of a tiny T5. The
export to transformers, or for embeddings to sentence-transformers, is loaded and compared when it is written: the
table has the largest difference of a logit or an embedding. With ONNX and over HTTP, the predictions for 40 inputs per
task are compared with those of a `Predictor`: the largest difference of a number, all else being equal.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nlpmtl
from benchmarks.tables import facts, make_parser, write_report
from nlpmtl import MultiTaskModel, NlpmtlError, Predictor
from nlpmtl.export import export_onnx, export_sentence_transformer, export_task
from nlpmtl.tasks import Task
from tests.every_architecture import write_any_architecture
from tests.further_kinds import CHOICES, make_datasets
from tests.serving.conftest import running
from tests.tasks.language_datasets import language_datasets
from tests.tiny import WORDS, make_run

INPUTS = 40
TRAIN = {"steps": 4, "batch_size": 16, "lr": 1e-3}


def make_predictor(directory: Path) -> Predictor:
    """Train one model of every task type."""
    run = make_run(directory, rows=24, train=TRAIN, eval={"every": 4})
    for dataset in run["datasets"].values():
        dataset["tasks"] = {options["kind"]: options for options in dataset["tasks"].values()}
    run["datasets"] |= make_datasets(directory) | language_datasets(directory)
    crf = {"kind": "labeling", "label": "tags", "crf": True}
    run["datasets"]["more_words"] = {**run["datasets"]["words"], "tasks": {"labeling_crf": crf}}
    return Predictor.from_pretrained(nlpmtl.train(run).model_dir)


def make_translator(directory: Path) -> Predictor:
    """Train a model whose decoder is that of its checkpoint."""
    encoder = write_any_architecture("t5", directory / "t5", decoder_start_token_id=0)
    datasets = language_datasets(directory)["reversed"]
    datasets["tasks"] = {"translation": {"kind": "translation", "target": "other", "max_target": 8}}
    run = {"encoder": {"name": str(encoder), "max_length": 48}, "datasets": {"reversed": datasets}, "train": TRAIN}
    return Predictor.from_pretrained(nlpmtl.train(run, output=directory / "translator").model_dir)


def inputs_of(task: Task) -> Iterator[Any]:
    """Yield inputs that a task reads."""
    generator = random.Random(0)
    for _ in range(INPUTS):
        text, pair = (" ".join(generator.choices(WORDS, k=generator.randint(1, 20))) for _ in range(2))
        if "choices" in task.extra_inputs:
            yield {"text": text, "choices": generator.choice(CHOICES)}
        elif task.takes_pairs:
            yield {"text": text, "pair": pair}
        else:
            yield f"{text} [MASK]" if task.kind == "masked_lm" else text


def in_batch(value: Any) -> Any:
    """Return an input as an item of a batch in a request."""
    return [value] if isinstance(value, str) else value


def difference(first: Any, second: Any) -> float:
    """Return the largest difference of a number in two JSON values; infinity if they differ in anything else."""
    if isinstance(first, float) and isinstance(second, float):
        return abs(first - second)
    if isinstance(first, dict) and isinstance(second, dict) and list(first) == list(second):
        return max((difference(first[key], second[key]) for key in first), default=0.0)
    if isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        return max(map(difference, first, second), default=0.0)
    return 0.0 if first == second else float("inf")


def exported(model: MultiTaskModel, predictor: Predictor, *, task: str, directory: Path) -> str:
    """Return the format of the export of a task and its largest difference, or why there is none."""
    embeds = model.tasks[task].embeds
    export = export_sentence_transformer if embeds else export_task
    try:
        value = export(model, predictor.tokenizer, task=task, directory=directory)
    except NlpmtlError as error:
        return f"no: {str(error).partition(': ')[2].partition('. Export')[0]}"
    return f"{'sentence-transformers' if embeds else 'transformers'}, {value:.0e}"


def in_onnx(model: MultiTaskModel, predictor: Predictor, *, task: str, directory: Path) -> str:
    """Return the largest difference of a number that ONNX predicts, or why the task cannot be exported."""
    try:
        export_onnx(model, predictor.tokenizer, directory=directory, tasks=[task])
    except NlpmtlError as error:
        return f"no: {str(error).partition(': ')[2]}"
    inputs = list(inputs_of(model.tasks[task]))
    predictions = Predictor.from_pretrained(directory).predict(inputs, task=task)
    return f"{difference(predictions, predictor.predict(inputs, task=task)):.0e}"


def rows(predictor: Predictor, *, scratch: Path, note: str = "") -> Iterator[str]:
    """Yield the row of each task of a model."""
    model = predictor.model
    assert isinstance(model, MultiTaskModel)
    with running(predictor) as server:
        for number, (name, task) in enumerate(model.tasks.items()):
            inputs = list(inputs_of(task))
            expected = predictor.predict(inputs, task=name)
            with server.client() as client:
                bodies = [{"inputs": [in_batch(some)], "tasks": [name]} for some in inputs]
                served = [client.post("/predict", body).json[0][name] for body in bodies]
            cells = [
                name + note,
                exported(model, predictor, task=name, directory=scratch / f"stock-{number}"),
                in_onnx(model, predictor, task=name, directory=scratch / f"onnx-{number}"),
                f"{difference(served, expected):.0e}",
            ]
            yield f"| {' | '.join(cells)} |"


def main() -> None:
    output = make_parser(__doc__).parse_args().output
    lines = ["| task type | export | ONNX | server |", "|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        for name, make in {"all": make_predictor, "T5": make_translator}.items():
            (scratch / name).mkdir()
            note = ", decoder of T5" if name == "T5" else ""
            lines += rows(make(scratch / name), scratch=scratch / name, note=note)
    write_report([*lines, "", *facts("benchmarks.kind_exports", "onnx", "onnxruntime")], output)


if __name__ == "__main__":
    main()
