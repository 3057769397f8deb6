"""Predict a dataset on several machines with Ray Data: actors that each hold a Predictor.

    pip install 'nlpmtl[ray]'
    python examples/predict_with_ray.py

A model is trained for a few steps. Then a Parquet file is predicted by actors that Ray starts as there are free CPUs or
GPUs. On a cluster, the same script uses all machines: RAY_ADDRESS=auto python examples/predict_with_ray.py
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import nlpmtl

OUTPUT = Path("runs/examples/ray")
MESSAGES = ["My lamp has not arrived.", "Thank you, the kettle works again!", "How do I change my password?"]


class TopicPredictor:
    """An actor with a model: Ray creates it once per process and calls it with batches of rows.

    Args:
        model: a model directory that all machines can read, or a Hub id.
    """

    def __init__(self, model: str) -> None:
        self.predictor = nlpmtl.Predictor.from_pretrained(model)

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Return the rows with two more columns."""
        predictions = self.predictor.predict(rows, task="topic")
        rows = rows.append_column("topic", pa.array([prediction["label"] for prediction in predictions]))
        return rows.append_column("topic_score", pa.array([prediction["score"] for prediction in predictions]))


def predict(model: str, source: str, target: str, *, actors: int = 2, gpus: float = 0) -> None:
    """Predict Parquet files, and write a directory of Parquet files.

    Args:
        model: a model directory, or a Hub id.
        source: a Parquet file, or a directory or bucket of them.
        target: the directory or bucket to write to.
        actors: the largest number of actors; a CPU must be left for reading the files.
        gpus: GPUs of each actor.
    """
    import ray

    ray.data.DataContext.get_current().execution_options.preserve_order = True
    rows = ray.data.read_parquet(source)
    predicted = rows.map_batches(
        TopicPredictor,
        fn_constructor_args=[model],
        batch_size=2048,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=actors),
        num_gpus=gpus,
    )
    predicted.write_parquet(target)


def main(**overrides: Any) -> None:
    """Train, write some rows, and predict them; `overrides` are config keys, as `nlpmtl.train` takes them."""
    shutil.rmtree(OUTPUT, ignore_errors=True)
    result = nlpmtl.train("quickstart", output=str(OUTPUT / "run"), **{"train.steps": 4, **overrides})
    source, target = (OUTPUT / "new.parquet").resolve(), (OUTPUT / "predicted").resolve()
    ids = [f"{index:05}" for index in range(3000)]
    pq.write_table(pa.table({"id": ids, "text": MESSAGES * 1000}), source)
    predict(str(result.model_dir.resolve()), str(source), str(target))
    predicted = pq.read_table(target)
    print(predicted.num_rows, predicted.column_names, predicted.column("id").to_pylist() == ids)


if __name__ == "__main__":
    main()
