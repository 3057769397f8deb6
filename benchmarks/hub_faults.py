"""Every call to the Hub with every fault: what a push or a fetch does about it, and what is left behind.

    python benchmarks/hub_faults.py [--calls commit put] [--kinds 503 reset] [--output FILE.md]

The real client, in a process of its own, against the stand-in of the tests. Each fault is tried twice: met once, and
met always. A push goes onto a branch that has a model already, a fetch into an empty cache. Checked each time: after a
push that fails the branch is what it was; a fetch that fails leaves nothing that could be loaded offline; and the same
call to a Hub that is well again gives the whole model.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.hub_server import Hub, Kind, Repo, model, serve_hub
from tests.hub_server.client import Client, open_client

PUSH = ("create", "info", "branch", "preupload", "batch", "put", "validate", "commit")
FETCH = ("info", "tree", "head", "file", "large")
KINDS: tuple[Kind | str, ...] = (401, 403, 404, 409, 412, 429, 500, 503, "reset", "slow", "truncated", "lost", "killed")
ALWAYS = 10_000
NAME = "me/model"


class Row(NamedTuple):
    """What came of one fault."""

    does: str
    call: str
    kind: str
    met: str
    result: str
    """"retried", "went on" (it is not needed), "error" or "killed"; or what is wrong."""
    tries: int
    seconds: float
    message: str


def attempt(does: str, call: str, kind: Kind | str, times: int) -> Row:
    """One cell of the table."""
    with tempfile.TemporaryDirectory() as scratch, serve_hub() as hub:
        repo = hub.models[NAME] = Repo(private=False)
        repo.commit("main", model.files(1), message="before")
        branch = "new" if call == "branch" else "main"
        directory, home = model.write(Path(scratch) / "model", model.files(2)), Path(scratch) / "home"
        arguments = {"directory": directory, "repo_id": NAME, "revision": branch} if does == "push" else {"name": NAME}
        # What is killed has to wait for it, so it meets a server that does not answer.
        fault = hub.fail(call, "slow" if kind == "killed" else kind, times=times)  # type: ignore[arg-type]
        start = time.perf_counter()
        with open_client(hub, home) as client:
            if kind == "killed":
                client.start(does, **arguments)
                met = fault.met.wait(60)
                client.kill()
                result, message = "killed" if met else "WRONG: never met", ""
            else:
                result, message = call_it(client, does, arguments)
        seconds = time.perf_counter() - start
        tries = times - fault.times + (result == "done" and kind not in (401, 403))
        if result == "done":
            again = kind not in (401, 403)  # the client then asks whether the repository is there anyway
            result = "retried" if again else "went on"
        hub.faults.clear()
        wrong = left_over(hub, repo, does, home, branch, failed=result in ("error", "killed"))
        wrong = wrong or in_the_end(hub, repo, does, home, branch, arguments)
        told = message.partition(": ")[2].partition(": ")[2] or message
        how = "always" if times == ALWAYS else "once"
        return Row(does, call, str(kind), how, wrong or result, tries, seconds, told.replace(hub.url, "HUB"))


def call_it(client: Client, does: str, arguments: Mapping[str, object]) -> tuple[str, str]:
    """Whether it was done, or what was said instead."""
    try:
        client(does, **arguments)
    except RuntimeError as error:
        return "error", str(error)
    except AssertionError as error:  # the process is gone, and this is its traceback
        return "WRONG: a traceback", str(error)
    finally:
        assert "hf_" not in client.said(), "the token is shown"
    return "done", ""


def left_over(hub: Hub, repo: Repo, does: str, home: Path, branch: str, *, failed: bool) -> str:
    """What is wrong with what is there right after it."""
    if does == "push":
        there = repo.find(branch)
        half = there is not None and there.files not in (model.files(1), model.files(2))
        return "WRONG: half a model on the branch" if half else ""
    if not failed:
        return ""
    with open_client(hub, home, HF_HUB_OFFLINE="1") as client:
        result, _ = call_it(client, "fetch", {"name": NAME})
    return "WRONG: something can be loaded" if result == "done" else ""


def in_the_end(hub: Hub, repo: Repo, does: str, home: Path, branch: str, arguments: Mapping[str, object]) -> str:
    """What is wrong when it is tried again with a Hub that is well."""
    with open_client(hub, home) as client:
        try:
            answer = client(does, **arguments)
        except RuntimeError as error:
            return f"WRONG: and then {error}"
    found = repo.files(branch) if does == "push" else model.read(Path(answer))
    return "" if found == model.files(2 if does == "push" else 1) else "WRONG: not the model"


def markdown(rows: Sequence[Row], *, command: str) -> str:
    """The table for people."""
    names = ("huggingface_hub", "httpx2")
    lines = [
        "# What happens when the Hub fails",
        "",
        f"`{command}` on {platform.machine()}, Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in names)
        + ". Two repetitions instead of four. Tries are those of all files, until the first of them has failed.",
        "",
        "| | call | fault | met | result | tries | message |",
        "|---|---|---|---|---|---|---|",
        *(f"| {r.does} | {r.call} | {r.kind} | {r.met} | {r.result} | {r.tries} | {r.message} |" for r in rows),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", nargs="+", help="only these")
    parser.add_argument("--kinds", nargs="+", help="only these")
    parser.add_argument("--jobs", type=int, default=8, help="at once; most of the time goes into waiting")
    parser.add_argument("--output", type=Path, metavar="FILE.md")
    asked = parser.parse_args()
    calls = [("push", call) for call in PUSH] + [("fetch", call) for call in FETCH]
    cells = [
        (does, call, kind, times)
        for (does, call), kind, times in product(calls, KINDS, (1, ALWAYS))
        if (not asked.calls or call in asked.calls) and (not asked.kinds or str(kind) in asked.kinds)
        if not (kind == "killed" and times == ALWAYS)
        if not (kind == "truncated" and call in ("head", "put"))  # there is no body to cut
    ]
    if not asked.calls or "large" in asked.calls:
        cells += [("fetch", call, "wrong", times) for call, times in product(("file", "large"), (1, ALWAYS))]
    start = time.perf_counter()
    rows = []
    with ThreadPoolExecutor(asked.jobs) as pool:
        for row in pool.map(lambda cell: attempt(*cell), cells):
            rows.append(row)
            print(*row[:5], f"{row.tries} tries, {row.seconds:.1f} s:", row.message, flush=True)
    command = "python benchmarks/" + " ".join([Path(__file__).name, *sys.argv[1:]])
    wrong = [row for row in rows if row.result.startswith("WRONG")]
    if asked.output:
        asked.output.write_text(markdown(rows, command=command), encoding="utf-8")
    print(f"{len(rows)} faults in {time.perf_counter() - start:.0f} s; {len(wrong)} wrong")
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
