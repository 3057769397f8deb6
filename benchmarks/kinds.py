"""Every task type on public datasets: single-task models, and one model of all tasks, over several seeds.

    python -m benchmarks.kinds DATA_DIR [--seeds 3] [--only NAME …] [--output DIR]
        [--results FILE.jsonl] [--table FILE.md]

MiniLM-L6; scores are those of the test splits, of the checkpoint with the best validation score. A run that the file of
results has is not repeated, so that the runs can be made one after the other. `--only` takes names of tasks, or "all"
for the model of all tasks. A trivial prediction is, for example, the most frequent label; see `kinds_rows.py`. The
relations are generated sentences; all other rows are those of the datasets.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

import nlpmtl
from benchmarks.kinds_rows import (
    SPLITS,
    Row,
    add_entities,
    add_grades,
    copy_label,
    copy_or_frequent,
    most_frequent,
    no_answers,
    previous_word,
    random_choice,
    random_order,
    read_rows,
    relation_rows,
    unigram_perplexity,
    zero,
)
from benchmarks.same_scores import read_eleven
from benchmarks.tables import commit, facts, mean_spread, write_report

EPOCHS = 3
TRAIN: dict[str, Any] = {"epochs": EPOCHS, "batch_size": 32, "lr": 2e-4, "head_lr": 1e-3, "save_every": 100_000}
EVALUATIONS = 3
"""Evaluations of a run, at equal distances."""
SCORED = {"validation": 400, "test": 1000}
"""Maximum number of rows per split."""
Baseline = Callable[[Sequence[Row], Sequence[Row]], float]


class Dataset(NamedTuple):
    """Rows of a dataset.

    Args:
        source: directory with the published rows; None: generated.
        rows: maximum number of train rows.
        input: the table `[input]`.
        copies: how often each train row occurs in the train file.
        prepare: function applied to each row.
    """

    source: str | None
    rows: int
    input: dict[str, str]
    copies: int = 1
    prepare: Callable[[Row], Row] = dict


class TaskRun(NamedTuple):
    """A task and what is reported of it.

    Args:
        dataset: name of its dataset.
        config: the table of the task.
        baselines: metric = the score of a trivial prediction; None: that of the encoder without training.
    """

    dataset: str
    config: dict[str, Any]
    baselines: dict[str, Baseline | None]


DATASETS = {
    "trec": Dataset("trec", 3000, {"text": "sentence"}),
    "sentences": Dataset("sst2_sentences", 3000, {"text": "sentence"}),
    "emotions": Dataset("go_emotions", 10_000, {"text": "sentence"}),
    "banking": Dataset("banking77", 3000, {"text": "sentence"}, prepare=copy_label),
    "similar": Dataset("stsb", 2000, {"text": "sentence1", "pair": "sentence2"}, prepare=copy_label),
    "tweets": Dataset("wnut17", 3394, {"words": "tokens"}, prepare=add_entities),
    "trees": Dataset("ud_ewt_trees", 3000, {"words": "tokens"}),
    "endings": Dataset("codah", 1666, {"text": "question", "choices": "choices"}, prepare=add_grades),
    "questions": Dataset("xquad_en", 1066, {"text": "question", "pair": "context"}, copies=2),
    "english": Dataset("tatoeba_en_zh", 10_000, {"text": "source"}),
    "texts": Dataset("sst2_sentences", 3000, {"text": "sentence"}),
    "companies": Dataset(None, 600, {"text": "text"}),
}

TASKS = {
    "question_type": TaskRun(
        "trec", {"kind": "classification", "label": "label"}, {"accuracy": most_frequent("label")}
    ),
    "sentiment": TaskRun(
        "sentences",
        {"kind": "sentiment", "label": "label", "labels": ["negative", "positive"]},
        {"accuracy": most_frequent("label")},
    ),
    "emotions": TaskRun("emotions", {"kind": "multilabel", "label": "labels"}, {"micro_f1": zero}),
    "intent": TaskRun("banking", {"kind": "classification", "label": "label"}, {"accuracy": most_frequent("label")}),
    "intent_vector": TaskRun("banking", {"kind": "embedding", "label": "copy"}, {"recall_10": None}),
    "rating": TaskRun("similar", {"kind": "regression", "label": "label"}, {"pearson_spearman": zero}),
    "sentence_vector": TaskRun("similar", {"kind": "embedding", "label": "copy"}, {"spearman": None}),
    "entities": TaskRun("tweets", {"kind": "labeling", "label": "tags", "scheme": "bio"}, {"span_f1": zero}),
    "entities_crf": TaskRun(
        "tweets", {"kind": "labeling", "label": "tags", "scheme": "bio", "crf": True}, {"span_f1": zero}
    ),
    "entity_spans": TaskRun("tweets", {"kind": "spans", "label": "entities", "flat": True}, {"span_f1": zero}),
    "part_of_speech": TaskRun(
        "trees", {"kind": "labeling", "label": "upos", "scheme": "plain"}, {"token_accuracy": most_frequent("upos")}
    ),
    "parse": TaskRun(
        "trees",
        {"kind": "parsing", "heads": "heads", "deprels": "deprels"},
        {"uas": previous_word(labelled=False), "las": previous_word(labelled=True)},
    ),
    "ending": TaskRun("endings", {"kind": "multiple_choice", "label": "label"}, {"accuracy": random_choice}),
    "ending_order": TaskRun("endings", {"kind": "ranking", "label": "grades"}, {"ndcg_10": random_order}),
    "answer": TaskRun(
        "questions",
        {"kind": "question_answering", "label": "answers"},
        {"squad_f1": no_answers, "exact_match": no_answers},
    ),
    "chinese": TaskRun("english", {"kind": "translation", "target": "target"}, {"chrf": copy_or_frequent}),
    "words": TaskRun("texts", {"kind": "masked_lm"}, {"perplexity": unigram_perplexity}),
    "relations": TaskRun(
        "companies",
        {"kind": "spans", "label": "entities", "relations": "relations"},
        {"span_f1": zero, "relation_f1": zero},
    ),
}  # fmt: skip
TEXT = "Ada Lovelace wrote that the engine in London can play [MASK] , which made us all very happy ."
ALL = "all"
"""Name of the run of all tasks."""


def write_rows(data: Path, directory: Path) -> dict[str, dict[str, list[Row]]]:
    """Write the files of all datasets; return the rows of each dataset and split."""
    rows: dict[str, dict[str, list[Row]]] = {}
    directory.mkdir(parents=True, exist_ok=True)
    for name, dataset in DATASETS.items():
        rows[name] = {}
        for split in SPLITS:
            count = SCORED.get(split, dataset.rows)
            if dataset.source is None:
                kept = list(relation_rows(count, seed=split))
            else:
                kept = read_rows(data / dataset.source / f"{split}.jsonl.gz", count=count)
            rows[name][split] = kept = [dataset.prepare(row) for row in kept]
            repeated = kept * (dataset.copies if split == "train" else 1)
            lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in repeated]
            (directory / f"{name}-{split}.jsonl").write_text("".join(lines), encoding="utf-8")
    return rows


def run_config(tasks: Sequence[str], directory: Path, *, seed: int) -> dict[str, Any]:
    """Return the run of some tasks, whose rows are in a directory."""
    datasets: dict[str, Any] = {}
    steps = 0
    for name in tasks:
        dataset = TASKS[name].dataset
        if dataset not in datasets:
            files = {split: str(directory / f"{dataset}-{split}.jsonl") for split in SPLITS}
            datasets[dataset] = {"data": {"files": files}, "input": DATASETS[dataset].input, "tasks": {}}
            rows = (directory / f"{dataset}-train.jsonl").read_text(encoding="utf-8").count("\n")
            steps += -(-EPOCHS * rows // TRAIN["batch_size"])
        datasets[dataset]["tasks"][name] = TASKS[name].config
    return {
        "seed": seed,
        "encoder": read_eleven()["encoder"] | {"max_length": 256},
        "datasets": datasets,
        "train": TRAIN,
        "eval": {"every": -(-steps // EVALUATIONS)},
    }


def run_once(name: str, *, seed: int, rows: Path, output: Path) -> dict[str, Any]:
    """Train and score the model of a task, or of all; return the metrics of each task and the provenance."""
    tasks = list(TASKS) if name == ALL else [name]
    run = run_config(tasks, rows, seed=seed)
    started = time.perf_counter()
    directory = nlpmtl.train(
        run, output=output / f"{name}-{seed}", resume=(output / f"{name}-{seed}").exists()
    ).model_dir
    seconds = time.perf_counter() - started
    scores = nlpmtl.evaluate(directory, run, split="test")
    result = {task: {metric: scores.tasks[task][metric] for metric in TASKS[task].baselines} for task in tasks}
    record = {"run": name, "seed": seed, "scores": result, "seconds": round(seconds)}
    record |= {"threads": torch.get_num_threads(), "commit": commit()}
    if name == ALL:
        names, passes = predicted_at_once(directory)
        return {**record, "tasks predicted for a text": len(names), "encoder passes for it": passes}
    shutil.rmtree(output / f"{name}-{seed}")
    return record


def predicted_at_once(directory: Path) -> tuple[list[str], int]:
    """Return the tasks that a model predicts for a text with a mask token, and the encoder's forward passes for it."""
    predictor = nlpmtl.Predictor.from_pretrained(directory)
    model = predictor.model
    assert isinstance(model, nlpmtl.MultiTaskModel)
    names = [*predictor.predict_all(TEXT), *(name for name, task in model.tasks.items() if task.only_by_name)]
    passes: list[None] = []
    handle = model.sharing.encoder.register_forward_pre_hook(lambda module, arguments: passes.append(None))
    predictions = predictor.predict_all(TEXT, tasks=names)
    handle.remove()
    return list(predictions), len(passes)


def untrained(task: str, *, rows: Path, output: Path) -> dict[str, float]:
    """Return the test scores of a model with the checkpoint's weights, for a task without weights of its own."""
    run = run_config([task], rows, seed=0)
    run["train"] = {"steps": 1, "batch_size": 1, "lr": 1e-30, "weight_decay": 0.0}
    run["eval"] = {"every": 1}
    directory = nlpmtl.train(run, output=output / f"untrained-{task}").model_dir
    scores = nlpmtl.evaluate(directory, run, split="test").tasks[task]
    return {metric: scores[metric] or 0.0 for metric in TASKS[task].baselines}


def table(results: Sequence[dict[str, Any]], baselines: dict[str, dict[str, float]]) -> Iterator[str]:
    """Yield the table of scores: a line per task and metric."""
    yield "| task | task type | train rows × passes | metric | trivial prediction | single-task | all in one |"
    yield "|---|---|---|---|---|---|---|"
    for name, task in TASKS.items():
        dataset = DATASETS[task.dataset]
        kind = (
            task.config["kind"]
            + (", CRF" if "crf" in task.config else "")
            + (", relations" if "relations" in task.config else "")
        )
        size = f"{dataset.rows:,} × {EPOCHS * dataset.copies}"
        for metric in task.baselines:
            cells = [name, kind, size, metric, f"{baselines[name][metric]:.3f}"]
            for run in (name, ALL):
                values = [
                    result["scores"][name][metric]
                    for result in results
                    if result["run"] == run and name in result["scores"]
                ]
                cells.append(mean_spread(values, 3) if len(values) > 1 else "".join(f"{value:.3f}" for value in values))
            yield f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=[*TASKS, ALL], default=[*TASKS, ALL])
    parser.add_argument("--results", type=Path, default=Path("runs/bench-kinds/results.jsonl"))
    parser.add_argument("--output", type=Path, default=Path("runs/bench-kinds"))
    parser.add_argument("--table", type=Path)
    args = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    directory = (args.output / "rows").resolve()
    rows = write_rows(args.data, directory)
    args.results.touch()
    for seed in range(args.seeds):
        for name in args.only:
            done = [json.loads(line) for line in args.results.read_text(encoding="utf-8").splitlines()]
            if not any((result["run"], result["seed"]) == (name, seed) for result in done):
                result = run_once(name, seed=seed, rows=directory, output=args.output)
                print(json.dumps(result), flush=True)
                with args.results.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(result) + "\n")
    results = [json.loads(line) for line in args.results.read_text(encoding="utf-8").splitlines()]
    baselines = {}
    for name, task in TASKS.items():
        if None in task.baselines.values():
            baselines[name] = untrained(name, rows=directory, output=args.output)
        else:
            split = rows[task.dataset]
            baselines[name] = {
                metric: baseline(split["train"], split["test"])
                for metric, baseline in task.baselines.items()
                if baseline
            }
    write_report([*table(results, baselines), "", *facts("benchmarks.kinds DATA")], args.table)


if __name__ == "__main__":
    main()
