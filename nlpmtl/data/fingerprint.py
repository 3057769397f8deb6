"""Fingerprints of splits: digests of the inputs and labels of a run, independent of the file format."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from nlpmtl.data.computed_targets import ComputedLabels
from nlpmtl.data.hashing import Hashes, combine, hash_strings, mix, parts
from nlpmtl.data.targets import ClassLabels, Labels, NumberLabels, SetLabels, TagLabels
from nlpmtl.data.tokenized_split import TokenizedSplit


def fingerprint(encoded: TokenizedSplit) -> dict[str, Any] | None:
    """Return the fingerprint of a split as plain values; None for rows that were not read from a source.

    Returns:
        ``rows``: the number of rows; ``inputs`` and ``labels`` (per task): digests that depend on the order of rows;
        ``unordered``: a digest of the same that does not; ``tokens``: a digest of the token ids.
    """
    input_hashes = encoded.input_hashes
    if input_hashes is None:
        return None
    inputs, unordered = hashlib.sha256(), 0
    labels = {task: hashlib.sha256() for task in encoded.labels}
    for rows in parts(len(encoded)):
        row_inputs = input_hashes[rows]
        inputs.update(row_inputs.astype("<u8").tobytes())
        row_hashes = row_inputs.astype(np.uint64)
        for task, values in encoded.labels.items():
            hashes = _hash_labels(values, rows)
            if task in encoded.weights:
                hashes = mix(hashes + encoded.weights[task][rows].astype("<f8").view("<u8").astype(np.uint64))
            labels[task].update(hashes.astype("<u8").tobytes())
            row_hashes = mix(row_hashes + mix(hashes + hash_strings([task])))
        unordered += int(row_hashes.sum(dtype=np.uint64))
    return {
        "rows": len(encoded),
        "inputs": inputs.hexdigest(),
        "labels": {task: digest.hexdigest() for task, digest in labels.items()},
        "unordered": f"{unordered % 2**64:016x}",
        "tokens": encoded.token_digest,
    }


def describe_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """Describe the difference between two fingerprints of a split; None if they are equal."""
    if before["rows"] != now["rows"]:
        return f"rows {before['rows']} → {now['rows']}"
    changed = [f"the labels of task {task!r}" for task in now["labels"] if _differs(before, now, task)]
    if before["inputs"] != now["inputs"]:
        changed.insert(0, "the texts")
    if changed and before["unordered"] == now["unordered"]:
        return "the same rows are in another order"
    if changed:
        return f"{' and '.join(changed)} changed"
    if before["tokens"] != now["tokens"]:
        return "the encoder's tokenizer splits the same texts into other tokens"
    return None


def _differs(before: Mapping[str, Any], now: Mapping[str, Any], task: str) -> bool:
    return bool(before["labels"].get(task) != now["labels"][task])


def _hash_labels(labels: Labels, rows: slice) -> Hashes:
    """Hash the labels of some rows, ``[rows]``; the hash of an unlabelled row is 0."""
    labelled = labels.labelled[rows]
    match labels:
        case ComputedLabels():
            assert labels.hashes is not None, "the targets are computed"
            hashes = labels.hashes[rows].astype(np.uint64)
        case NumberLabels():
            hashes = mix((labels.numbers[rows] + 0.0).astype("<f8").view("<u8").astype(np.uint64))  # −0.0 is 0.0
        case ClassLabels():
            hashes = _named(labels)[labels.ids[rows]]
        case SetLabels() | TagLabels():
            bounds = labels.ids.bounds[rows.start : rows.stop + 1]
            items = _named(labels)[labels.ids.values[bounds[0] : bounds[-1]]]
            hashes = combine(items, bounds - bounds[0], ordered=isinstance(labels, TagLabels))
        case _:
            raise TypeError(f"labels of type {type(labels).__name__} cannot be hashed")
    return np.where(labelled, hashes, np.uint64(0))


def _named(labels: Labels) -> Hashes:
    """Hash the label names, by id; the last entry, index −1, is for no label."""
    return np.append(hash_strings(labels.names), np.uint64(0))
