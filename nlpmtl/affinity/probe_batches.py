"""Which rows are measured on: of each task some that carry a label for it, others at each measurement."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from nlpmtl.data import Encoded


class ProbeBatches:
    """Draws rows without replacement, anew for each measurement.

    In each dataset rows stand in one order for all its tasks, and each task takes the first that carry a label for it:
    tasks that are labelled on the same rows are measured on the same rows, as in the paper. An order depends on the
    seed, the name of the dataset and the number of the measurement alone.

    Args:
        datasets: the train rows by the dataset's name, in the order that rows refer to them.
        tasks: the names of the tasks; each has labelled rows.
        many: rows for each task, or all that it has.
        seed: ≥ 0.
    """

    def __init__(self, datasets: Mapping[str, Encoded], *, tasks: Sequence[str], many: int, seed: int) -> None:
        self._names = list(datasets)
        self._sizes = [len(rows) for rows in datasets.values()]
        self._labelled: list[list[tuple[int, NDArray[np.intp]]]] = [
            [
                (d, np.flatnonzero(rows.labels[task].counts > 0))
                for d, rows in enumerate(datasets.values())
                if task in rows.labels
            ]
            for task in tasks
        ]
        self._many, self._seed = many, seed

    def draw(self, number: int) -> list[tuple[int, int]]:
        """The (dataset, row) pairs of a measurement, each once, in the order of the datasets."""
        places = [self._order(d, number) for d in range(len(self._sizes))]
        drawn: set[tuple[int, int]] = set()
        for labelled in self._labelled:
            rows = np.concatenate([own for _, own in labelled])
            owners = np.concatenate([np.full(len(own), d) for d, own in labelled])
            first = np.argsort(np.concatenate([places[d][own] for d, own in labelled]), kind="stable")[: self._many]
            drawn.update(zip(owners[first].tolist(), rows[first].tolist(), strict=True))
        return sorted(drawn)

    def _order(self, dataset: int, number: int) -> NDArray[np.float64]:
        """Where each row stands, from 0 to 1."""
        words = struct.unpack(">8I", hashlib.sha256(self._names[dataset].encode()).digest())
        source = np.random.Generator(np.random.PCG64(np.random.SeedSequence([self._seed, *words, number])))
        return source.random(self._sizes[dataset])
