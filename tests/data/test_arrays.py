"""Memory-mapped arrays: round trips, and refusal of damaged or hostile files."""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.lib import format as npy

from nlpmtl.data.arrays import ArrayWriter, RaggedWriter, memmap_array, memmap_ragged, open_regular_file
from nlpmtl.data.ragged import Ragged

QUICK = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
DTYPES = [np.bool_, np.int8, np.int32, np.int64, np.float64]
REFUSED = (OSError, ValueError)


def write_array(directory: Path, *parts: Any, name: str = "a", dtype: Any = np.int32) -> Path:
    writer = ArrayWriter(directory, name, dtype=dtype)
    for part in parts:
        writer.append(np.array(part, dtype=dtype))
    writer.close()
    return directory / f"{name}.npy"


def count_open() -> int:
    """Return the number of open files of this process, if the system provides it."""
    return len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0


class _Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("dtype", DTYPES)
@QUICK
@given(parts=st.lists(st.lists(st.integers(0, 100), max_size=5), max_size=5))
def test_written_parts_are_read_as_one_array(tmp_path: Path, dtype: Any, parts: list[list[int]]) -> None:
    (tmp_path / "a.npy").unlink(missing_ok=True)
    expected = np.array([value for part in parts for value in part]).astype(dtype)
    in_memory, mapped = ArrayWriter(None, "a", dtype=dtype), ArrayWriter(tmp_path, "a", dtype=dtype)
    for part in parts:
        in_memory.append(np.array(part).astype(dtype))
        mapped.append(np.array(part).astype(dtype))
    for loaded in (in_memory.close(), mapped.close(), memmap_array(tmp_path / "a.npy"), np.load(tmp_path / "a.npy")):
        assert loaded.dtype == dtype
        assert loaded.tolist() == expected.tolist()


@QUICK
@given(parts=st.lists(st.lists(st.lists(st.integers(-100, 100), max_size=4), max_size=4), max_size=4))
def test_written_parts_are_read_as_the_same_rows(tmp_path: Path, parts: list[list[list[int]]]) -> None:
    for path in tmp_path.iterdir():
        path.unlink()
    in_memory, mapped = RaggedWriter(None, "a"), RaggedWriter(tmp_path, "a")
    for part in parts:
        in_memory.append(Ragged.pack(part))
        mapped.append(Ragged.pack(part))
    rows = [row for part in parts for row in part]
    for loaded in (in_memory.close(), mapped.close(), memmap_ragged(tmp_path, "a")):
        assert [loaded[i].tolist() for i in range(len(loaded))] == rows
        assert [loaded.values.dtype, loaded.bounds.dtype] == [np.dtype(np.int32), np.dtype(np.int64)]


def test_parts_may_be_non_contiguous_and_of_another_dtype(tmp_path: Path) -> None:
    for directory in (None, tmp_path):
        writer = ArrayWriter(directory, "a", dtype=np.int32)
        writer.append(np.arange(10, dtype=np.int64)[::3])
        writer.append(np.array([True, False]))
        assert writer.close().tolist() == [0, 3, 6, 9, 1, 0]


@pytest.mark.parametrize("directory", [True, False])
def test_lossy_dtype_conversions_are_refused(tmp_path: Path, directory: bool) -> None:
    writer = ArrayWriter(tmp_path if directory else None, "a", dtype=np.int32)
    with pytest.raises(TypeError, match="same_kind"):
        writer.append(np.array([0.5]))
    assert writer.close().tolist() == []


def test_a_memory_map_is_read_only(tmp_path: Path) -> None:
    path = write_array(tmp_path, [1, 2, 3])
    mapped = memmap_array(path)
    assert not mapped.flags.owndata
    assert not mapped.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        mapped[0] = 9
    with pytest.raises(ValueError, match="WRITEABLE"):
        mapped.flags.writeable = True


def test_a_memory_map_keeps_no_file_descriptor_and_survives_deletion(tmp_path: Path) -> None:
    before = count_open()
    path = write_array(tmp_path, np.arange(9999))
    mapped = memmap_array(path)
    assert count_open() == before
    path.unlink()
    assert mapped.tolist() == list(range(9999))


def test_an_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    path = write_array(tmp_path, [1])
    with pytest.raises(FileExistsError):
        ArrayWriter(tmp_path, "a", dtype=np.int32)
    assert memmap_array(path).tolist() == [1]


def test_a_missing_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ArrayWriter(tmp_path / "none", "a", dtype=np.int32)
    with pytest.raises(FileNotFoundError):
        memmap_array(tmp_path / "a.npy")


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: b"", id="empty"),
        pytest.param(lambda content: content[:6], id="half of a magic number"),
        pytest.param(lambda content: content[:60], id="half of a header"),
        pytest.param(lambda content: content[:-1], id="a byte less"),
        pytest.param(lambda content: content[:-4], id="a number less"),
        pytest.param(lambda content: content + b"\0", id="a byte more"),
        pytest.param(lambda content: content + bytes(4), id="a number more"),
        pytest.param(lambda content: content.replace(b"(3,)", b"(9,)"), id="longer in the header"),
        pytest.param(lambda content: content.replace(b"(3,), ", b"(-1,),"), id="less than nothing"),
        pytest.param(lambda content: content.replace(b"<i4", b"<i8"), id="wider in the header"),
        pytest.param(lambda content: content.replace(b"NUMPY", b"NUMPI"), id="another magic number"),
        pytest.param(lambda content: b"PK\3\4" + content, id="an archive"),
        pytest.param(lambda content: content.replace(b"NUMPY\1", b"NUMPY\2"), id="another version"),
    ],
)
def test_values_out_of_range_are_refused(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = write_array(tmp_path, [1, 2, 3])
    content = damage(path.read_bytes())
    assert content != path.read_bytes()
    path.write_bytes(content)
    with pytest.raises(ValueError):  # noqa: PT011 - NumPy's words or ours
        memmap_array(path)


@pytest.mark.parametrize("shape", [(), (2, 3), (3, 1), (0, 3)])
def test_another_number_of_dimensions_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "a.npy", np.zeros(shape))
    with pytest.raises(ValueError, match="not a one-dimensional array"):
        memmap_array(tmp_path / "a.npy")


def test_object_arrays_are_refused_without_unpickling(tmp_path: Path) -> None:
    bomb, path = _Bomb(tmp_path / "ran"), tmp_path / "a.npy"
    np.save(path, np.array([bomb, bomb], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="not a one-dimensional array"):
        memmap_array(path)
    # With the length that the header states; a bare pickle; and an archive.
    with path.open("wb") as file:
        npy.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": (2,)})
        file.write(bytes(16))
    with pytest.raises(ValueError, match="not a one-dimensional array"):
        memmap_array(path)
    path.write_bytes(pickle.dumps(bomb))
    with pytest.raises(ValueError, match="magic"):
        memmap_array(path)
    np.savez(tmp_path / "a.npz", np.array([bomb], dtype=object))
    with pytest.raises(ValueError, match="magic"):
        memmap_array(tmp_path / "a.npz")
    assert not bomb.path.exists()
    np.load(tmp_path / "a.npz", allow_pickle=True)["arr_0"]
    assert bomb.path.exists()  # unpickling executes it


@QUICK
@given(
    changes=st.lists(
        st.tuples(st.integers(6, 79), st.sampled_from(b"()[]{}',:\"019abOf|<>\0\n\\#\xff ")), min_size=1, max_size=3
    )
)
def test_a_damaged_header_is_refused_or_matches_the_file_size(tmp_path: Path, changes: list[tuple[int, int]]) -> None:
    path = tmp_path / "a.npy"
    path.unlink(missing_ok=True)
    content = bytearray(write_array(tmp_path, [1, 2, 3]).read_bytes())
    for offset, byte in changes:
        content[offset] = byte
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's warning for unknown versions
        try:
            loaded = memmap_array(path)
        except REFUSED:
            return
    assert loaded.nbytes == 12


@pytest.mark.parametrize("old", [b"(3,)", b"'<i4'", b", 'shape'", b"<i4"])
@pytest.mark.parametrize("new", [b"(", b"b'", b"9 4", b",4", b"#", b"'"])
def test_a_header_that_is_not_a_python_literal_is_refused(tmp_path: Path, old: bytes, new: bytes) -> None:
    path = write_array(tmp_path, [1, 2, 3])
    path.write_bytes(path.read_bytes().replace(old, new.ljust(len(old))[: len(old)]))
    with pytest.raises(REFUSED):
        memmap_array(path)


class TestRegularFiles:
    def test_regular_files_are_opened(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"abc")
        with open_regular_file(tmp_path / "a") as file:
            assert file.read() == b"abc"

    def test_links_directories_pipes_and_missing_files_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"abc")
        (tmp_path / "link").symlink_to(tmp_path / "a")
        (tmp_path / "dangling").symlink_to(tmp_path / "none")
        (tmp_path / "directory").mkdir()
        names = ["link", "dangling", "directory", "none"]
        if hasattr(os, "mkfifo"):
            os.mkfifo(tmp_path / "pipe")  # opening a pipe without a writer would block
            names.append("pipe")
        for name in names:
            with pytest.raises(OSError, match=name):
                open_regular_file(tmp_path / name)

    def test_a_link_to_an_array_is_refused(self, tmp_path: Path) -> None:
        path = write_array(tmp_path, [1, 2, 3])
        (tmp_path / "link.npy").symlink_to(path)
        with pytest.raises(OSError, match="not a regular file"):
            memmap_array(tmp_path / "link.npy")
