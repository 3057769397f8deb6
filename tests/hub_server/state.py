"""State of the Hub: repositories with commits and branches, access tokens, and received requests."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.hub_server.faults import Fault, Kind
from tests.hub_server.messages import Response

COMMIT = "1" * 40
"""The only commit of each dataset repository; `main` is its branch."""
WRITER, READER = "hf_" + "w" * 34, "hf_" + "r" * 34
"""Access tokens of the user `me`: with write access to own repositories, and read-only."""


@dataclass(frozen=True)
class Commit:
    """A commit with all its files."""

    sha: str
    parent: str | None
    message: str
    files: dict[str, bytes]


@dataclass
class Repo:
    """A model repository."""

    private: bool
    gated: bool = False
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    """Commit by branch or `refs/pr/1`."""

    def commit(self, branch: str, files: dict[str, bytes], *, message: str, onto: str | None = None) -> Commit:
        """Add a commit to a branch; its parent is the head of the branch, or the commit `onto`."""
        parent = onto or self.branches.get(branch)
        identity = repr((len(self.commits), parent, message, sorted(files.items())))
        commit = Commit(hashlib.sha1(identity.encode()).hexdigest(), parent, message, files)
        self.commits[commit.sha] = commit
        self.branches[branch] = commit.sha
        return commit

    def find(self, revision: str) -> Commit | None:
        """Return the commit of a branch or with that SHA."""
        return self.commits.get(self.branches.get(revision, revision))

    def files(self, revision: str = "main") -> dict[str, bytes]:
        """Return the files of a branch or commit."""
        commit = self.find(revision)
        assert commit is not None
        return commit.files


@dataclass
class Hub:
    """State that all servers share."""

    url: str
    storage: str
    """Address of large files: another origin, to which the client must not send its token."""
    repos: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """Files of datasets by dataset id and path."""
    gated: set[str] = field(default_factory=set)
    """Datasets that require access, which no token has."""
    models: dict[str, Repo] = field(default_factory=dict)
    """Model repositories by id."""
    large: dict[str, bytes] = field(default_factory=dict)
    """Large files by SHA-256."""
    requests: list[str] = field(default_factory=list)
    """Method and path of every received request."""
    authorized: list[tuple[str, str]] = field(default_factory=list)
    """Name of the call and token of every request with a token."""
    faults: list[Fault] = field(default_factory=list)
    rewrite: Callable[[str, Response], Response] | None = None
    """Function of call name and response that changes responses, like a hostile mirror."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    closing: threading.Event = field(default_factory=threading.Event)

    def environment(self, home: Path) -> dict[str, str]:
        """Return the environment variables of a process that uses this Hub with a separate cache."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
        variables = {"HF_ENDPOINT": self.url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
        return {**inherited, **variables, "HF_HUB_DISABLE_PROGRESS_BARS": "1"}

    def fail(self, call: str, kind: Kind, *, times: int = 1) -> Fault:
        """Make the next calls of a name fail."""
        fault = Fault(call, kind, times)
        self.faults.append(fault)
        return fault
