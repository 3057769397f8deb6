"""Files of a model directory that passes the checks of a push, without torch."""

from __future__ import annotations

import json
import struct
from pathlib import Path

PLAIN = {
    "config.json": json.dumps(
        {
            "model_type": "nlpmtl",
            "input_length": 128,
            "encoder_config": {"model_type": "bert"},
            "tasks": {"a": {"labels": []}},
        }
    ).encode(),
    "tokenizer.json": b'{"version": "1.0"}',
    "tokenizer_config.json": b"{}",
    "README.md": b"---\nlibrary_name: nlpmtl\n---\n\n# A model\n",
    "scores.json": b'{"mean": 0.5}',
    ".eval_results/nlpmtl.yaml": b"- value: 0.5\n",
    "images/scores.png": b"\x89PNG and so on",
}
"""All files except the weights, by path."""


def weights(seed: int, *, count: int = 5000) -> bytes:
    """Return a safetensors file."""
    head = json.dumps({"w": {"dtype": "U8", "shape": [count], "data_offsets": [0, count]}}).encode()
    return struct.pack("<Q", len(head)) + head + bytes((seed + i) % 251 for i in range(count))


def files(seed: int = 0) -> dict[str, bytes]:
    """Return all files of a model; another seed gives another model."""
    score = b'{"mean": %.3f}' % (seed / 1000)
    return {**PLAIN, "scores.json": score, "model.safetensors": weights(seed)}


def write(directory: Path, content: dict[str, bytes]) -> Path:
    """Write files to a directory, and return it."""
    for name, data in content.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(data)
    return directory


def read(directory: Path) -> dict[str, bytes]:
    """Return all files of a directory by path."""
    return {p.relative_to(directory).as_posix(): p.read_bytes() for p in directory.rglob("*") if p.is_file()}
