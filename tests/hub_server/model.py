"""A model directory that is whole to the eye, made without torch."""

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
"""Path = content, all but the weights."""


def weights(seed: int, *, count: int = 5000) -> bytes:
    """A file of safetensors."""
    head = json.dumps({"w": {"dtype": "U8", "shape": [count], "data_offsets": [0, count]}}).encode()
    return struct.pack("<Q", len(head)) + head + bytes((seed + i) % 251 for i in range(count))


def files(seed: int = 0) -> dict[str, bytes]:
    """All of a model; another seed is another model."""
    score = b'{"mean": %.3f}' % (seed / 1000)
    return {**PLAIN, "scores.json": score, "model.safetensors": weights(seed)}


def write(directory: Path, content: dict[str, bytes]) -> Path:
    """Write files."""
    for name, data in content.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(data)
    return directory


def read(directory: Path) -> dict[str, bytes]:
    """All files of a directory."""
    return {p.relative_to(directory).as_posix(): p.read_bytes() for p in directory.rglob("*") if p.is_file()}
