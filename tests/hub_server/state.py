"""What the Hub has: repositories, their commits and branches, the people who may write, and what it was asked."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.hub_server.answers import Response
from tests.hub_server.faults import Fault, Kind

COMMIT = "1" * 40
"""The one commit of every dataset's repository; `main` is its branch."""
WRITER, READER = "hf_" + "w" * 34, "hf_" + "r" * 34
"""The tokens of `me`: one may write to what belongs to me, the other only read."""


@dataclass(frozen=True)
class Commit:
    """All files at one point."""

    sha: str
    parent: str | None
    message: str
    files: dict[str, bytes]


@dataclass
class Repo:
    """A model's repository."""

    private: bool
    gated: bool = False
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    """Branch, or `refs/pr/1`, = commit."""

    def commit(self, branch: str, files: dict[str, bytes], *, message: str, onto: str | None = None) -> Commit:
        """Put a commit onto a branch, or onto another commit."""
        parent = onto or self.branches.get(branch)
        named = repr((len(self.commits), parent, message, sorted(files.items())))
        made = Commit(hashlib.sha1(named.encode()).hexdigest(), parent, message, files)
        self.commits[made.sha] = made
        self.branches[branch] = made.sha
        return made

    def find(self, revision: str) -> Commit | None:
        """The commit of a branch, or the one of that name."""
        return self.commits.get(self.branches.get(revision, revision))

    def files(self, revision: str = "main") -> dict[str, bytes]:
        """The files of a branch or a commit."""
        commit = self.find(revision)
        assert commit is not None
        return commit.files


@dataclass
class Hub:
    """What the servers have, and what they were asked."""

    url: str
    storage: str
    """Where large files lie: another origin, so the client must not take its token there."""
    repos: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """Id of a dataset = path of a file = its bytes."""
    gated: set[str] = field(default_factory=set)
    """Datasets that nobody here may read."""
    models: dict[str, Repo] = field(default_factory=dict)
    """Id of a model = its repository."""
    large: dict[str, bytes] = field(default_factory=dict)
    """sha256 = a large file."""
    asked: list[str] = field(default_factory=list)
    """Every request so far: method and path."""
    authorized: list[tuple[str, str]] = field(default_factory=list)
    """The requests with a token: name of the call, and the token."""
    faults: list[Fault] = field(default_factory=list)
    rewrite: Callable[[str, Response], Response] | None = None
    """Changes the responses of each call by name, as a hostile mirror may."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    closing: threading.Event = field(default_factory=threading.Event)

    def environment(self, home: Path) -> dict[str, str]:
        """The variables of a process that uses this Hub, with a cache of its own."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
        variables = {"HF_ENDPOINT": self.url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
        return {**kept, **variables, "HF_HUB_DISABLE_PROGRESS_BARS": "1"}

    def fail(self, call: str, kind: Kind, *, times: int = 1) -> Fault:
        """Let the next calls of that name go wrong."""
        fault = Fault(call, kind, times)
        self.faults.append(fault)
        return fault
