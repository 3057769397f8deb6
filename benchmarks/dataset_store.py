"""Two stores of tokenized rows, memory-mapped arrays and `datasets.Dataset`: cost per batch, and memory.

    python -m benchmarks.dataset_store [--rows 1000000] [--labels 1] [--repeats 5] [--output FILE.md]

The rows are random: 5 to 35 tokens (20 on average), and the labels of one task or several. Each measurement is a
process of its own that opens the files and builds batches of 32 random rows, as training does: it fetches the rows,
pads them and gathers their labels.
Both stores end in the same NumPy code. The datasets are read in three ways: Python lists (the default), NumPy, and
Arrow arrays without conversion. Memory is that of the process (Linux, ``/proc/self/status``) above what it was before
the files were opened, after every row has been in a batch once: anonymous memory, and mapped file pages, which the
operating system takes back when it needs them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

STORES = ("arrays", "python", "numpy", "arrow")
BATCH, STEPS, FILES = 32, 300, (1, 10)
Rows = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
"""Token ids end to end, the length of each row, and its labels, ``[rows, tasks]``."""


def write(directory: Path, rows: int, tasks: int) -> None:
    """Write the same rows for both stores."""
    import pyarrow as pa
    from nlpmtl.data.arrays import ArrayWriter, RaggedWriter

    from nlpmtl.data.ragged import Ragged

    directory.mkdir()
    source = np.random.default_rng(0)
    ids = RaggedWriter(directory, "ids")
    labels = [ArrayWriter(directory, f"label{task}", dtype=np.int32) for task in range(tasks)]
    schema = pa.schema({"input_ids": pa.list_(pa.int32()), **{f"label{task}": pa.int32() for task in range(tasks)}})
    with pa.OSFile(str(directory / "data.arrow"), "wb") as file, pa.ipc.new_stream(file, schema) as stream:
        for start in range(0, rows, 1000):  # the batch size of `datasets`
            count = min(1000, rows - start)
            bounds = np.concatenate([[0], np.cumsum(source.integers(5, 36, count))])
            values = source.integers(0, 30_000, bounds[-1]).astype(np.int32)
            classes = source.integers(0, 5, (tasks, count)).astype(np.int32)
            ids.append(Ragged(values, bounds))
            for writer, values_of_task in zip(labels, classes, strict=True):
                writer.append(values_of_task)
            lists = pa.ListArray.from_arrays(pa.array(bounds, pa.int32()), pa.array(values))
            stream.write_batch(pa.record_batch([lists, *map(pa.array, classes)], schema=schema))
    ids.close()
    for writer in labels:
        writer.close()


def open_store(store: str, directory: Path, tasks: int) -> Callable[[NDArray[np.int64]], Rows]:
    """Open the files of a store; return a function that fetches rows by index."""
    if store == "arrays":
        from nlpmtl.data.arrays import memmap_array, memmap_ragged

        all_ids = memmap_ragged(directory, "ids")
        all_labels = [memmap_array(directory / f"label{task}.npy") for task in range(tasks)]

        def fetch_arrays(rows: NDArray[np.int64]) -> Rows:
            ids = all_ids.take(rows)
            return ids.values, ids.lengths, np.stack([labels[rows] for labels in all_labels], axis=1)

        return fetch_arrays
    from datasets import Dataset

    dataset = Dataset.from_file(str(directory / "data.arrow")).with_format(None if store == "python" else store)

    def fetch_dataset(rows: NDArray[np.int64]) -> Rows:
        batch = dataset[rows]
        labels = np.stack([np.asarray(batch[f"label{task}"]) for task in range(tasks)], axis=1)
        if store == "arrow":
            lists = batch["input_ids"].combine_chunks()
            lists = lists.chunk(0) if hasattr(lists, "chunk") else lists
            return lists.flatten().to_numpy(), np.diff(lists.offsets.to_numpy()), labels
        ids = [np.asarray(row) for row in batch["input_ids"]]
        return np.concatenate(ids), np.array([len(row) for row in ids]), labels

    return fetch_dataset


def collate(parts: Sequence[tuple[NDArray[np.int64], Rows]]) -> tuple[Any, Any, Any]:
    """Pad the rows of several datasets into one batch of tensors, as `nlpmtl.data.Collator` does."""
    import torch

    size = sum(len(places) for places, _ in parts)
    lengths = np.zeros(size, dtype=np.int64)
    classes = np.zeros((size, parts[0][1][2].shape[1]), dtype=np.int64)
    for places, (_, part_lengths, labels) in parts:
        lengths[places], classes[places] = part_lengths, labels
    ids = np.zeros((size, int(lengths.max())), dtype=np.int64)
    for places, (values, part_lengths, _) in parts:
        starts = np.cumsum(part_lengths) - part_lengths
        row = np.arange(len(part_lengths)).repeat(part_lengths)
        ids[places[row], np.arange(len(values)) - starts.repeat(part_lengths)] = values
    mask = (np.arange(ids.shape[1]) < lengths[:, None]).astype(np.int64)
    return torch.from_numpy(ids), torch.from_numpy(mask), torch.from_numpy(classes)


def memory() -> dict[str, float]:
    """Return this process's anonymous memory and mapped file pages, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines)
    return {key: int(status[key].split()[0]) / 1024 for key in ("RssAnon", "RssFile")}


def measure(store: str, directory: Path, rows: int, files: int, tasks: int) -> dict[str, float]:
    """Measure one store: CPU milliseconds per batch, and memory after every row was in a batch."""
    import torch

    torch.set_num_threads(1)
    if store != "arrays":
        import datasets  # noqa: F401
    collate([(np.arange(1), (np.ones(3), np.array([3]), np.zeros((1, 1))))])
    import nlpmtl.data.arrays  # noqa: F401 (imports are not part of the memory of a store)

    before = memory()
    stores = [open_store(store, directory / str(number), tasks) for number in range(files)]
    source = np.random.default_rng(1)
    size = rows // files

    def step(rows_of_step: NDArray[np.int64]) -> None:
        owners = rows_of_step // size
        parts = []
        for number in dict.fromkeys(owners.tolist()):
            places = np.flatnonzero(owners == number)
            parts.append((places, stores[number](rows_of_step[places] - number * size)))
        collate(parts)

    for _ in range(20):
        step(source.integers(0, size * files, BATCH))
    start = time.process_time()
    for _ in range(STEPS):
        step(source.integers(0, size * files, BATCH))
    milliseconds = (time.process_time() - start) / STEPS * 1000
    for number in range(files):  # every row once, in larger batches, because only the memory matters here
        for offset in range(0, size, 1000):
            collate(
                [(np.arange(min(1000, size - offset)), stores[number](np.arange(offset, min(offset + 1000, size))))]
            )
    after = memory()
    return {"milliseconds": milliseconds, **{key: after[key] - before[key] for key in after}}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--labels", type=int, default=1, help="tasks with a label on every row")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--measure", nargs=3, metavar=("STORE", "DIRECTORY", "FILES"))
    options = parser.parse_args(arguments)
    if options.measure:
        store, directory, count = options.measure
        print(json.dumps(measure(store, Path(directory), options.rows, int(count), options.labels)))
        return
    lines = [
        f"{options.rows:,} rows of 20 tokens on average, labels of {options.labels} task(s), batches of {BATCH}, "
        f"median (range) of {options.repeats} runs; "
        f"load average {os.getloadavg()[0]:.1f}.",
        "",
        "| store | datasets | CPU ms per batch | anonymous memory, MiB | mapped file pages, MiB |",
        "|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as scratch:
        for files in FILES:
            for number in range(files):
                (Path(scratch) / str(files)).mkdir(exist_ok=True)
                write(Path(scratch) / str(files) / str(number), options.rows // files, options.labels)
            results: dict[str, list[dict[str, float]]] = {store: [] for store in STORES}
            for _ in range(options.repeats):
                for store in STORES:
                    command = [sys.executable, "-m", "benchmarks.dataset_store", "--rows", str(options.rows)]
                    command += ["--labels", str(options.labels)]
                    command += ["--measure", store, str(Path(scratch) / str(files)), str(files)]
                    completed = subprocess.run(command, check=True, capture_output=True, text=True)
                    results[store].append(json.loads(completed.stdout))
            for store in STORES:
                times = [result["milliseconds"] for result in results[store]]
                anonymous, mapped = (median(r[key] for r in results[store]) for key in ("RssAnon", "RssFile"))
                name = "arrays of nlpmtl" if store == "arrays" else f"`datasets`, read as {store}"
                lines.append(
                    f"| {name} | {files} | {median(times):.2f} ({min(times):.2f} to {max(times):.2f}) "
                    f"| {anonymous:.0f} | {mapped:.0f} |"
                )
                print(lines[-1], flush=True)
    if options.output is not None:
        options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
