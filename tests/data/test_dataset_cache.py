"""Cache entries: atomic writes, damage, expiry and concurrent processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nlpmtl.data import dataset_cache as cache
from nlpmtl.data.dataset_cache import Cache, cache_directory

KEY, OTHER = "0a" * 32, "1b" * 32
DAY = 24 * 3600

# The cache is imported without torch, so that a process starts in half a second.
CODE = """
import sys, time, types
from pathlib import Path
import nlpmtl

data = types.ModuleType("nlpmtl.data")
data.__path__ = [str(Path(nlpmtl.__file__).parent / "data")]
sys.modules["nlpmtl.data"] = data
from nlpmtl.data.dataset_cache import Cache

root, key, log = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
cache = Cache(root)
print("ready", flush=True)
sys.stdin.readline()
with cache.locked(key):
    if cache.find(key) is None:
        with cache.add(key) as directory, log.open("a") as file:
            file.write("built\\n")
            time.sleep(0.3)
            (directory / "a").write_text("content")
print((cache.find(key) / "a").read_text())
"""


def write_entry(cache: Cache, key: str = KEY) -> Path:
    with cache.add(key) as directory:
        (directory / "a.npy").write_bytes(b"some bytes")
        (directory / "b.json").write_bytes(b"")
    entry = cache.find(key)
    assert entry is not None
    return entry


def set_age(path: Path, days: float) -> None:
    timestamp = time.time() - days * DAY
    os.utime(path, (timestamp, timestamp), follow_symlinks=False)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "cache"


class TestCacheDirectory:
    def test_nlpmtl_cache_takes_precedence_over_xdg_cache_home(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NLPMTL_CACHE", "/one")
        monkeypatch.setenv("XDG_CACHE_HOME", "/two")
        assert cache_directory() == Path("/one")
        monkeypatch.setenv("NLPMTL_CACHE", "")
        assert cache_directory() == Path("/two/nlpmtl")
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setenv("HOME", "/three")
        assert cache_directory() == Path("/three/.cache/nlpmtl")


class TestEntries:
    def test_an_entry_is_found_only_by_its_key(self, root: Path) -> None:
        entry = write_entry(Cache(root))
        assert (entry / "a.npy").read_bytes() == b"some bytes"
        assert Cache(root).find(KEY) == entry
        assert Cache(root).find(OTHER) is None

    def test_no_directory_is_created_before_the_first_entry(self, root: Path) -> None:
        assert Cache(root).find(KEY) is None
        assert not root.parent.exists()

    def test_an_entry_leaves_no_other_files(self, root: Path) -> None:
        entry = write_entry(Cache(root))
        assert list(root.iterdir()) == [entry]
        assert sorted(path.name for path in entry.iterdir()) == ["a.npy", "b.json", "manifest.json"]

    def test_the_cache_is_private_to_the_user(self, root: Path) -> None:
        entry = write_entry(Cache(root))
        assert root.stat().st_mode & 0o077 == entry.stat().st_mode & 0o077 == 0

    def test_an_entry_appears_when_its_block_ends(self, root: Path) -> None:
        cache = Cache(root)
        with cache.add(KEY) as directory:
            (directory / "a.npy").write_bytes(b"half")
            assert Cache(root).find(KEY) is None
        assert cache.find(KEY) is not None

    def test_a_block_that_fails_leaves_nothing(self, root: Path) -> None:
        def write_half() -> None:
            with Cache(root).add(KEY) as directory:
                (directory / "a.npy").write_bytes(b"half")
                raise KeyError("failed")

        with pytest.raises(KeyError, match="failed"):
            write_half()
        assert list(root.iterdir()) == []
        write_entry(Cache(root))

    def test_the_first_of_two_concurrent_entries_is_kept(self, root: Path) -> None:
        with Cache(root).add(KEY) as directory:
            (directory / "a.npy").write_bytes(b"later")
            entry = write_entry(Cache(root))
        assert Cache(root).find(KEY) == entry
        assert (entry / "a.npy").read_bytes() == b"some bytes"
        assert list(root.iterdir()) == [entry]

    def test_a_scratch_directory_is_removed_when_its_block_ends(self, root: Path) -> None:
        with Cache(root).scratch() as first, Cache(root).scratch() as second:
            assert first != second
            (first / "file").touch()
        with pytest.raises(FileExistsError), Cache(root).scratch() as failing:
            failing.mkdir()
        assert list(root.iterdir()) == []

    def test_an_unwritable_root_is_an_oserror_and_a_cache_miss(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        for root in (tmp_path / "file", tmp_path / "file" / "cache"):
            cache = Cache(root)
            assert cache.find(KEY) is None
            with pytest.raises(OSError, match="file"), cache.add(KEY):
                pass
            with pytest.raises(OSError, match="file"), cache.scratch():
                pass
            with cache.locked(KEY):  # without file locks, all processes continue
                pass
        assert (tmp_path / "file").is_file()


def _flip(entry: Path) -> None:
    content = bytearray((entry / "a.npy").read_bytes())
    content[3] ^= 1
    (entry / "a.npy").write_bytes(content)


def _link_file(entry: Path) -> None:
    (entry / "a.npy").rename(entry.parent / "elsewhere")
    (entry / "a.npy").symlink_to(entry.parent / "elsewhere")


def _link_manifest(entry: Path) -> None:
    (entry / "manifest.json").rename(entry.parent / "elsewhere")
    (entry / "manifest.json").symlink_to(entry.parent / "elsewhere")


def _link_entry(entry: Path) -> None:
    entry.rename(entry.parent / "elsewhere")
    entry.symlink_to(entry.parent / "elsewhere")


def _replace_by_file(entry: Path) -> None:
    entry.rename(entry.parent / "elsewhere")
    entry.write_bytes(b"")


def _write_manifest(manifest: bytes, *, only_manifest: bool = False) -> Callable[[Path], None]:
    def damage(entry: Path) -> None:
        for path in entry.iterdir() if only_manifest else ():
            path.unlink()
        (entry / "manifest.json").write_bytes(manifest)

    return damage


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a flipped byte": _flip,
    "a byte removed": lambda entry: (entry / "a.npy").write_bytes(b"some byte"),
    "a byte added": lambda entry: (entry / "b.json").write_bytes(b"\0"),
    "a file removed": lambda entry: (entry / "a.npy").unlink(),
    "an empty file removed": lambda entry: (entry / "b.json").unlink(),
    "a file added": lambda entry: (entry / "c.npy").touch(),
    "a directory added": lambda entry: (entry / "c").mkdir(),
    "no manifest": lambda entry: (entry / "manifest.json").unlink(),
    "an empty manifest": _write_manifest(b""),
    "half a manifest": lambda entry: _write_manifest((entry / "manifest.json").read_bytes()[:-5])(entry),
    "a manifest of bytes": _write_manifest(b"\xff"),
    "a manifest of a number": _write_manifest(b"3"),
    "a manifest of a list": _write_manifest(b'["a.npy", "b.json"]'),
    "only a manifest, an empty list": _write_manifest(b"[]", only_manifest=True),
    "a manifest of lists": _write_manifest(b'{"a.npy": [], "b.json": []}'),
    "a link instead of a file": _link_file,
    "a link instead of the manifest": _link_manifest,
    "a link instead of the entry": _link_entry,
    "a file instead of the entry": _replace_by_file,
}


@pytest.mark.parametrize("damage", list(DAMAGES))
def test_a_damaged_entry_is_removed_and_rebuilt(root: Path, damage: str) -> None:
    cache = Cache(root)
    before = write_entry(cache, OTHER)
    entry = write_entry(cache)
    DAMAGES[damage](entry)
    assert cache.find(KEY) is None
    assert not entry.exists()
    assert not entry.is_symlink()
    remaining = {path.name for path in root.iterdir()} - {"elsewhere"}
    assert remaining == {OTHER}
    assert write_entry(cache) == entry
    assert cache.find(OTHER) == before


def test_targets_of_links_are_not_removed(root: Path, tmp_path: Path) -> None:
    cache = Cache(root)
    entry = write_entry(cache)
    entry.rename(tmp_path / "mine")
    entry.symlink_to(tmp_path / "mine")
    assert cache.find(KEY) is None
    assert (tmp_path / "mine" / "a.npy").exists()


class TestExpiry:
    def test_entries_unused_for_a_month_are_removed(self, root: Path) -> None:
        cache = Cache(root)
        old, young = write_entry(cache, KEY), write_entry(cache, OTHER)
        set_age(old / "manifest.json", 31)
        set_age(young / "manifest.json", 29)
        set_age(young, 31)
        write_entry(Cache(root), "2c" * 32)
        assert not old.exists()
        assert young.exists()

    def test_all_entries_are_read_once_per_cache(self, root: Path) -> None:
        """Reading them for each new entry takes quadratic time in the datasets of a run."""
        cache = Cache(root)
        old = write_entry(cache, KEY)
        set_age(old / "manifest.json", 31)
        write_entry(cache, OTHER)
        assert old.exists()

    def test_a_cache_hit_counts_as_use(self, root: Path) -> None:
        cache = Cache(root)
        entry = write_entry(cache)
        set_age(entry / "manifest.json", 31)
        assert cache.find(KEY) == entry
        write_entry(Cache(root), OTHER)
        assert entry.exists()

    def test_incomplete_entries_are_removed_after_three_days(self, root: Path) -> None:
        root.mkdir(parents=True)
        names = ("incomplete-old", 3.1), ("half-made-old", 3.1), ("incomplete-new", 2.9), ("half-made-new", 2.9)
        for name, days in ((f".{name}", days) for name, days in names):
            (root / name / "deep").mkdir(parents=True)
            (root / name / "deep" / "a.npy").touch()
            set_age(root / name, days)
        entry = write_entry(Cache(root))
        assert {path.name for path in root.iterdir()} == {".incomplete-new", ".half-made-new", entry.name}

    def test_old_locks_and_entries_without_a_manifest_are_removed(self, root: Path) -> None:
        root.mkdir(parents=True)
        (root / f"{KEY}.lock").touch()
        (root / OTHER).mkdir()
        (root / ("2c" * 32)).symlink_to(root)
        for path in root.iterdir():
            set_age(path, 31)
        entry = write_entry(Cache(root), "3d" * 32)
        assert list(root.iterdir()) == [entry]

    def test_unknown_files_are_kept(self, root: Path) -> None:
        root.mkdir(parents=True)
        names = ["thesis.txt", "x" * 64, "A0" * 32, KEY[1:], f"{KEY}.txt", f"{KEY}.lock.lock", f"a{KEY}", ".hidden"]
        for name in names:
            (root / name).touch()
            (root / f"{name}.d").mkdir()
            set_age(root / name, 999)
            set_age(root / f"{name}.d", 999)
        write_entry(Cache(root))
        assert {path.name for path in root.iterdir()} == {KEY, *names, *(f"{name}.d" for name in names)}

    def test_clearing_does_not_follow_links(self, root: Path, tmp_path: Path) -> None:
        root.mkdir(parents=True)
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "file").touch()
        for name in (KEY, ".incomplete-link"):
            (root / name).symlink_to(tmp_path / "mine")
            set_age(root / name, 31)
        set_age(tmp_path / "mine", 31)
        write_entry(Cache(root), OTHER)
        assert (tmp_path / "mine" / "file").exists()


class TestProcesses:
    def test_concurrent_processes_build_an_entry_once(self, root: Path, tmp_path: Path) -> None:
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", CODE, str(root), KEY, str(tmp_path / "log")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        outputs = [process.communicate(timeout=60)[0] for process in processes]
        assert [process.returncode for process in processes] == [0, 0]
        assert outputs == ["content\n"] * 2
        assert (tmp_path / "log").read_text() == "built\n"

    @pytest.mark.parametrize("stopped", [True, False])
    def test_a_process_that_holds_the_lock_is_named(
        self,
        stopped: bool,
        root: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.setattr(cache, "_LOG_AFTER", 0.05)
        monkeypatch.setattr(cache, "_LOCK_TIMEOUT", 0.1)
        code = CODE.replace("time.sleep(0.3)", "print('held', flush=True); sys.stdin.readline()")
        with subprocess.Popen(
            [sys.executable, "-c", code, str(root), KEY, str(tmp_path / "log")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            assert process.stdin is not None
            assert process.stdout.readline() == "ready\n"
            root.mkdir(parents=True, exist_ok=True)
            (root / f"{KEY}.lock").write_text("1234567\nanother host that was killed\n")
            process.stdin.write("go\n")
            process.stdin.flush()
            assert process.stdout.readline() == "held\n"
            if stopped:
                process.send_signal(signal.SIGSTOP)
                os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
            with Cache(root).locked(KEY):
                pass
            process.send_signal(signal.SIGCONT)
            process.stdin.write("on\n")
            process.stdin.flush()
            process.wait(timeout=60)
        holder = f"process {process.pid} on {socket.gethostname()}"
        waiting, given_up = caplog.messages
        assert waiting.startswith(f"waiting for {holder}{' (stopped; `kill -CONT' if stopped else ', which'}")
        assert given_up.startswith(holder)
        assert "still holds" in given_up

    def test_a_free_lock_gives_no_message(self, root: Path, caplog: pytest.LogCaptureFixture) -> None:
        for _ in range(2):
            with Cache(root).locked(KEY):
                pass
        assert not caplog.messages

    def test_an_error_releases_the_lock(self, root: Path) -> None:
        with pytest.raises(KeyError, match="failed"), Cache(root).locked(KEY):
            raise KeyError("failed")
        before = time.monotonic()
        with Cache(root).locked(KEY):
            pass
        assert time.monotonic() - before < 5


def test_without_a_home_directory_nothing_is_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in ("HOME", "NLPMTL_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    assert cache_directory() is None
    cache = Cache(cache_directory())
    assert cache.find("0" * 64) is None
    with cache.locked("0" * 64):
        pass
    with pytest.raises(OSError, match="no home directory; set HOME or NLPMTL_CACHE"), cache.scratch():
        pass
    monkeypatch.setenv("XDG_CACHE_HOME", "/tmp/x")
    assert cache_directory() == Path("/tmp/x/nlpmtl")
