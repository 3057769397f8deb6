"""Training jobs for `benchmarks.identity`: a tiny encoder, rows for five task types, and the runs.

    PYTHONPATH=DIRECTORY python -P benchmarks/identity_jobs.py JOBS.json

trains every job of the file with the nlpmtl in DIRECTORY and predicts with its model. JOBS.json maps the name of a job
to `{"config": …, "output": DIRECTORY, "inputs": FILE.jsonl}`. Only nlpmtl's public Python is used, with configs that
0.1 and later versions read. This file imports no other file of the repository, because it runs with other versions.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

PREDICTIONS: Final = "predictions.jsonl"
SCORES: Final = "scores.json"
ERROR: Final = "error.txt"
"""The traceback of a job that failed."""

REQUIRED_OPTIONS: Final[Mapping[str, Mapping[str, Any]]] = {"sharing/layers": {"shared": 1}}
"""Options of registered members that have no default."""

READ_LOSSES: Final = frozenset(
    {
        *("sampling/exp3", "sampling/loss_ratio", "sampling/uncertainty"),
        *("weighting/dwa", "weighting/famo", "weighting/geometric"),
        *("weighting/gradnorm", "weighting/scale", "weighting/uncertainty"),
        "relate",
    }
)
"""Jobs that read losses, so that their last bit has an effect."""

WITHOUT_MODEL: Final = frozenset({"relate"})
"""Jobs that write only values."""

_PLACES, _PERSONS = ("turin", "rome", "paris"), ("ada", "grace")
_TOPICS = {"animals": ("cat", "dog", "bird"), "things": ("lamp", "kettle", "book"), "films": ("film", "story", "scene")}
_MOODS = {"negative": ("bad", "awful"), "neutral": ("plain", "usual"), "positive": ("good", "great")}
_COLOURS = ("red", "blue", "green")
_FILLERS = ("a", "the", "and", "is", "was", "in", "of", "today", "small", "big")
_INPUTS: tuple[str | tuple[str, str] | list[str], ...] = (
    "the great cat of ada lovelace was in turin today",
    "an awful film",
    "Ada, Grace and a usual dog: red, blue & green!",
    "Zürich is not in the vocabulary",
    "red",
    " ".join(["the blue story of grace hopper in rome was plain and the kettle of ada in paris is bad"] * 5),
    ("a good book", "a bad book"),
    ("the cat is in rome", "rome is the cat"),
    ("today the lamp of ada is great and green", "the usual bird"),
    ["the", "red", "bird", "of", "grace", "hopper", "is", "in", "paris"],
    ["a", "plain", "lamp", ",", "Turin"],
    ["great"],
)


def write_encoder(directory: Path, *, width: int = 32, dropout: float = 0.1) -> Path:
    """Write config, random weights and tokenizer of a BERT of two layers.

    Args:
        directory: output directory.
        width: size of the hidden states.
        dropout: dropout probability of hidden states and of attention.
    """
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = {word for group in (*_TOPICS.values(), *_MOODS.values()) for word in group}
    words |= {*_PLACES, *_PERSONS, *_COLOURS, *_FILLERS, *letters, *(f"##{letter}" for letter in letters), *".,:!&"}
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted(words)]
    tokenizer = BertTokenizer(vocab={token: i for i, token in enumerate(vocabulary)}, model_max_length=64)
    tokenizer.save_pretrained(directory)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=width,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=width * 3 // 2,
        max_position_embeddings=64,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    torch.manual_seed(0)
    BertModel(config).save_pretrained(directory)
    return directory


def make_rows(count: int, *, seed: int) -> list[dict[str, Any]]:
    """Make rows with labels for the five task types of `make_config`, which can be learned from single words.

    In every fifth row a label is missing.
    """
    generator = random.Random(seed)
    rows = []
    for i in range(count):
        topic, mood = generator.choice([*_TOPICS]), generator.choice([*_MOODS])
        colours = generator.sample(_COLOURS, generator.randint(1, 3))
        tagged = [(word, "O") for word in generator.choices(_FILLERS, k=generator.randint(1, 6))]
        tagged += [(generator.choice(_TOPICS[topic]), "O"), (generator.choice(_MOODS[mood]), "O")]
        tagged += [(colour, "O") for colour in colours]
        tagged += [(place, "B-place") for place in generator.sample(_PLACES, generator.randint(0, 2))]
        generator.shuffle(tagged)
        if i % 3 == 0:
            tagged += [(generator.choice(_PERSONS), "B-person"), (generator.choice(["lovelace", "hopper"]), "I-person")]
        words = [word for word, _ in tagged]
        row: dict[str, Any] = {
            "tokens": words,
            "text": " ".join(words),
            "other": " ".join(generator.sample(words, len(words) // 2)),
            "topic": topic,
            "mood": mood,
            "grade": [*_MOODS].index(mood) + len(words) / 20,
            "colours": sorted(colours),
            "tags": [tag for _, tag in tagged],
        }
        if i % 5 == 0:
            row[generator.choice(["topic", "mood", "grade", "colours", "tags"])] = None
        rows.append(row)
    return rows


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write rows as JSON Lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_inputs(path: Path) -> Path:
    """Write twelve inputs to predict for: texts (one of them long), pairs of texts, lists of words."""
    rows: list[dict[str, Any]] = []
    for value in _INPUTS:
        if isinstance(value, tuple):
            rows.append({"text": value[0], "pair": value[1]})
        else:
            rows.append({"words": value} if isinstance(value, list) else {"text": value})
    return write_rows(path, rows)


def make_config(directory: Path, *, width: int = 32) -> dict[str, Any]:
    """Write an encoder and rows, and return the config of a run of 60 steps over five task types.

    The types are classification, sentiment, labeling, regression and multilabel.
    Four datasets: lists of words with three tasks, others with one of these tasks, pairs of texts, and texts.
    """
    files = {
        name: {
            split: str(write_rows(directory / "data" / f"{name}-{split}.jsonl", make_rows(count, seed=seed + count)))
            for split, count in (("train", size), ("validation", 16))
        }
        for seed, (name, size) in enumerate({"words": 60, "more_words": 40, "pairs": 30, "texts": 20}.items())
    }
    topic = {"kind": "classification", "label": "topic", "labels": [*_TOPICS]}
    mood = {"kind": "sentiment", "label": "mood", "labels": [*_MOODS], "label_smoothing": 0.1}
    tags = {"kind": "labeling", "label": "tags", "labels": ["O", "B-person", "I-person", "B-place"]}
    return {
        "seed": 5,
        "encoder": {"name": str(write_encoder(directory / "encoder", width=width)), "max_length": 48},
        "datasets": {
            "words": {
                "data": {"files": files["words"]},
                "input": {"words": "tokens"},
                "tasks": {"topic": topic, "mood": mood, "names": tags},
            },
            "more_words": {
                "data": {"files": files["more_words"]},
                "input": {"words": "tokens"},
                "tasks": {"topic": topic},
            },
            "pairs": {
                "data": {"files": files["pairs"]},
                "input": {"text": "text", "pair": "other"},
                "tasks": {"grade": {"kind": "regression", "label": "grade"}},
            },
            "texts": {
                "data": {"files": files["texts"]},
                "input": {"text": "text"},
                "tasks": {"colours": {"kind": "multilabel", "label": "colours"}},
            },
        },
        "train": {
            "steps": 60,
            "batch_size": 16,
            "micro_tokens": 128,
            "lr": 5e-3,
            "precision": "fp32",
            "save_every": 20,
        },
        "eval": {"every": 20},
    }


def member_table(table: str, name: str) -> dict[str, Any]:
    """Return the table of a config that chooses a registered member, such as `{"kind": "hard"}`."""
    return {"kind": name, **REQUIRED_OPTIONS.get(f"{table}/{name}", {})}


def member_configs(config: Mapping[str, Any], members: Mapping[str, Iterable[str]]) -> dict[str, dict[str, Any]]:
    """Return one config for each registered sampler, weighting and sharing scheme, and for some options.

    Args:
        config: what all have in common.
        members: table of the config, such as "sampling", to the registered names.
    """
    configs = {
        f"{table}/{name}": {**config, table: member_table(table, name)}
        for table, names in members.items()
        for name in names
    }
    encoder, train = config["encoder"], config["train"]
    options: dict[str, dict[str, Any]] = {
        "bf16": {"train": {**train, "precision": "bf16"}},
        "frozen_encoder": {"encoder": {**encoder, "freeze": True}},
        "gradient_checkpointing": {"encoder": {**encoder, "gradient_checkpointing": True}},
        "projected_attention": {"sharing": {"kind": "adapters", "form": "pal"}},
        "related_tasks": {"sharing": {"kind": "lora", "relations": "covariance"}},
        "single_dataset_batches": {"sampling": {"kind": "proportional", "batches": "single"}},
    }
    return configs | {f"options/{name}": {**config, **tables} for name, tables in options.items()}


def select_jobs(names: Sequence[str], only: Sequence[str]) -> list[str]:
    """Return the jobs that are named, or whose group is: "weighting" and "weighting/dwa" both select `weighting/dwa`.

    Raises:
        SystemExit: a name is neither a job nor a group.
    """
    for name in only:
        if not any(name in (job, job.partition("/")[0]) for job in names):
            raise SystemExit(f"no job {name!r}; jobs: {', '.join(names)}")
    return [job for job in names if not only or any(name in (job, job.partition("/")[0]) for name in only)]


def to_toml(config: Mapping[str, Any]) -> str:
    """Write a config as TOML, its tables inline."""

    def write(value: object) -> str:
        if isinstance(value, Mapping):
            return "{" + ", ".join(f"{key} = {write(inner)}" for key, inner in value.items()) + "}"
        return json.dumps(value)

    return "".join(f"{key} = {write(value)}\n" for key, value in config.items())


def run_job(config: Mapping[str, Any], *, output: Path, inputs: Path) -> None:
    """Train, and write the predictions of all tasks for the inputs to `predictions.jsonl` in the output directory."""
    import nlpmtl

    result = nlpmtl.train(dict(config), output=output)
    predictor = nlpmtl.Predictor.from_pretrained(result.model_dir)
    rows = [json.loads(line) for line in inputs.read_text(encoding="utf-8").splitlines()]
    values = [(row["text"], row["pair"]) if "pair" in row else row if "words" in row else row["text"] for row in rows]
    predictions = predictor.predict_all(values, all_scores=True)
    write_rows(output / PREDICTIONS, [{**row, "predictions": p} for row, p in zip(rows, predictions, strict=True)])


def _run_reporting(job: Mapping[str, Any]) -> None:
    """Run a job, and write the traceback to `error.txt` in its output directory if it fails."""
    output = Path(job["output"])
    try:
        run_job(job["config"], output=output, inputs=Path(job["inputs"]))
    except Exception:
        output.mkdir(parents=True, exist_ok=True)
        (output / ERROR).write_text(traceback.format_exc(), encoding="utf-8")


def main() -> None:
    from transformers.utils import logging

    import nlpmtl

    nlpmtl.train, nlpmtl.Predictor  # noqa: B018 - their imports take seconds, so every job inherits them
    logging.disable_progress_bar()
    jobs = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    for name, job in jobs.items():
        print(f"  {name}", flush=True)
        # A process per job, so that no job depends on the random state and the settings that another one leaves.
        process = multiprocessing.get_context("fork").Process(target=_run_reporting, args=(job,))
        process.start()
        process.join()


if __name__ == "__main__":
    main()
