"""Flat arrays in .npy files: written in parts, read as memory maps; or kept in memory."""

from __future__ import annotations

import os
import stat
from io import BufferedReader
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
from numpy.lib import format as npy
from numpy.typing import DTypeLike, NDArray

from nlpmtl.data.ragged import Ragged


class ArrayWriter:
    """A writer of one array, part by part.

    Args:
        directory: where to write the file; None keeps the array in memory.
        name: the file name without extension.
        dtype: the type of the numbers.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(self, directory: Path | None, name: str, *, dtype: DTypeLike) -> None:
        self._dtype = np.dtype(dtype)
        self._length = 0
        self._parts: list[NDArray[Any]] = []
        self._path = None if directory is None else directory / f"{name}.npy"
        if self._path is not None:
            with self._path.open("xb") as file:
                self._write_header(file)

    def append(self, values: NDArray[Any]) -> None:
        """Add a part. The file is opened for each part, so that no error elsewhere leaves it open."""
        values = values.astype(self._dtype, casting="same_kind", copy=False)
        self._length += len(values)
        if self._path is None:
            self._parts.append(values)
        else:
            with self._path.open("ab") as file:
                file.write(np.ascontiguousarray(values).data)

    def close(self) -> NDArray[Any]:
        """Return the whole array: a memory map of the file, or an array in memory."""
        if self._path is None:
            return np.concatenate([np.zeros(0, dtype=self._dtype), *self._parts])
        with self._path.open("r+b") as file:
            self._write_header(file)
        return memmap_array(self._path)

    def _write_header(self, file: BinaryIO) -> None:
        """Write the header; NumPy pads it, so that it can be overwritten once the length is known."""
        header = {"descr": npy.dtype_to_descr(self._dtype), "fortran_order": False, "shape": (self._length,)}
        npy.write_array_header_1_0(file, header)


class RaggedWriter:
    """A writer of rows of different lengths, part by part: files ``<name>`` and ``<name>.bounds``."""

    def __init__(self, directory: Path | None, name: str, *, dtype: DTypeLike = np.int32) -> None:
        self._values = ArrayWriter(directory, name, dtype=dtype)
        self._bounds = ArrayWriter(directory, f"{name}.bounds", dtype=np.int64)
        self._bounds.append(np.zeros(1, dtype=np.int64))
        self._end = 0

    def append(self, rows: Ragged) -> None:
        """Append rows."""
        self._values.append(rows.values)
        self._bounds.append(rows.bounds[1:] + self._end)
        self._end += int(rows.bounds[-1])

    def close(self) -> Ragged:
        """Return all rows."""
        return Ragged(self._values.close(), self._bounds.close())


def memmap_array(path: Path) -> NDArray[Any]:
    """Memory-map a one-dimensional .npy file, read-only and without keeping it open.

    Only plain numbers are read: no pickle, no archive, no symbolic link.

    Raises:
        OSError, ValueError: the file is not such a file, or is damaged.
    """
    with open_regular_file(path) as file:
        version = npy.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"{path}: unsupported .npy version {version}")
        try:
            shape, _, dtype = npy.read_array_header_1_0(file)
        except (SyntaxError, TokenError, TypeError) as error:  # NumPy raises these for damaged headers
            raise ValueError(f"{path}: {error}") from error
        start, size = file.tell(), os.fstat(file.fileno()).st_size
    if dtype.hasobject or len(shape) != 1 or size != start + shape[0] * dtype.itemsize:
        raise ValueError(
            f"{path}: not a one-dimensional array of numbers: shape {shape}, type {dtype}, {size - start} bytes"
        )
    with pa.memory_map(str(path)) as mapped:
        return np.frombuffer(mapped.read_buffer(), dtype=dtype, offset=start)


def memmap_ragged(directory: Path, name: str) -> Ragged:
    """Memory-map the files of a `RaggedWriter`."""
    return Ragged(memmap_array(directory / f"{name}.npy"), memmap_array(directory / f"{name}.bounds.npy"))


def open_regular_file(path: Path) -> BufferedReader:
    """Open a regular file for reading; refuse links, devices and pipes.

    Raises:
        OSError: the path does not exist or is not a regular file.
    """
    if not stat.S_ISREG(path.lstat().st_mode):
        raise OSError(f"{path}: not a regular file")
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
    return os.fdopen(descriptor, "rb")
