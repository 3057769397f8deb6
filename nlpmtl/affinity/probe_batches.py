"""The rows that task affinity is measured on: some labelled rows per task, drawn again for each measurement."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from nlpmtl.data import TokenizedSplit


class ProbeBatches:
    """Draws rows without replacement, independently for each measurement.

    All tasks use the same random order of a dataset's rows, and each task takes the first ones with a label for it:
    tasks that are labelled on the same rows are measured on the same rows, as in the paper. The order depends only on
    the seed, the name of the dataset and the number of the measurement.

    Args:
        datasets: the train rows by dataset name, in the order in which rows refer to them.
        tasks: names of the tasks; each has labelled rows.
        count: maximum number of rows drawn for each task. A task may have labels in more rows, drawn for other tasks.
        seed: random seed, ≥ 0.
    """

    def __init__(self, datasets: Mapping[str, TokenizedSplit], *, tasks: Sequence[str], count: int, seed: int) -> None:
        self._names = list(datasets)
        self._sizes = [len(rows) for rows in datasets.values()]
        self._labelled: list[list[tuple[int, NDArray[np.intp]]]] = [
            [
                (dataset, np.flatnonzero(rows.labels[task].counts > 0))
                for dataset, rows in enumerate(datasets.values())
                if task in rows.labels
            ]
            for task in tasks
        ]
        self._count, self._seed = count, seed

    def draw(self, number: int) -> list[tuple[int, int]]:
        """Return the (dataset, row) pairs of a measurement, without duplicates, in the order of the datasets."""
        keys = [self._sort_keys(dataset, number) for dataset in range(len(self._sizes))]
        drawn: set[tuple[int, int]] = set()
        for labelled in self._labelled:
            rows = np.concatenate([indices for _, indices in labelled])
            datasets = np.concatenate([np.full(len(indices), dataset) for dataset, indices in labelled])
            row_keys = np.concatenate([keys[dataset][indices] for dataset, indices in labelled])
            first = np.argsort(row_keys, kind="stable")[: self._count]
            drawn.update(zip(datasets[first].tolist(), rows[first].tolist(), strict=True))
        return sorted(drawn)

    def _sort_keys(self, dataset: int, number: int) -> NDArray[np.float64]:
        """Return a random sort key in [0, 1) for each row of a dataset."""
        words = struct.unpack(">8I", hashlib.sha256(self._names[dataset].encode()).digest())
        generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([self._seed, *words, number])))
        return generator.random(self._sizes[dataset])
