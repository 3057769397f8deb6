"""Fingerprints of splits: digests of the texts and labels that a run reads, whatever file or format they come from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from nlpmtl.data.encode import Encoded
from nlpmtl.data.hashing import Hashes, combine, hash_strings, mix, parts
from nlpmtl.data.targets import ClassLabels, Labels, NumberLabels, SetLabels, TagLabels


def fingerprint(encoded: Encoded) -> dict[str, Any] | None:
    """What a split holds, in plain values; None for rows that were not read from a source.

    Returns:
        ``rows``: how many; ``inputs`` and ``labels`` (by task): digests in which the order of rows counts;
        ``unordered``: a digest of the same in which it does not; ``tokens``: a digest of the token ids.
    """
    if encoded.inputs is None:
        return None
    inputs, unordered = hashlib.sha256(), 0
    labels = {task: hashlib.sha256() for task in encoded.labels}
    for rows in parts(len(encoded)):
        own = encoded.inputs[rows]
        inputs.update(own.astype("<u8").tobytes())
        whole = own.astype(np.uint64)
        for task, values in encoded.labels.items():
            hashes = _hash_labels(values, rows)
            labels[task].update(hashes.astype("<u8").tobytes())
            whole = mix(whole + mix(hashes + hash_strings([task])))
        unordered += int(whole.sum(dtype=np.uint64))
    return {
        "rows": len(encoded),
        "inputs": inputs.hexdigest(),
        "labels": {task: digest.hexdigest() for task, digest in labels.items()},
        "unordered": f"{unordered % 2**64:016x}",
        "tokens": encoded.tokens,
    }


def describe_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """What differs between two fingerprints of a split, in words; None where they are the same."""
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
    """Hash the label of each of some rows, ``[rows]``; a row without a label is 0."""
    labelled = labels.labelled[rows]
    match labels:
        case NumberLabels():
            found = mix((labels.numbers[rows] + 0.0).astype("<f8").view("<u8").astype(np.uint64))  # −0.0 is 0.0
        case ClassLabels():
            found = _named(labels)[labels.ids[rows]]
        case SetLabels() | TagLabels():
            bounds = labels.ids.bounds[rows.start : rows.stop + 1]
            items = _named(labels)[labels.ids.values[bounds[0] : bounds[-1]]]
            found = combine(items, bounds - bounds[0], ordered=isinstance(labels, TagLabels))
        case _:
            raise TypeError(f"labels of type {type(labels).__name__} cannot be hashed")
    return np.where(labelled, found, np.uint64(0))


def _named(labels: Labels) -> Hashes:
    """The hash of each label's name by its id; the last, which −1 stands for, is that of no label."""
    return np.append(hash_strings(labels.names), np.uint64(0))
