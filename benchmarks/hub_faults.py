"""Fault injection for the Hub client: every call of a push and of a fetch with every fault.

    python -m benchmarks.hub_faults [--calls commit put] [--kinds 503 reset] [--output FILE.md]

The real client, in a separate process, against the tests' stand-in for the Hub. Each fault is injected once, and then
permanently. A push goes to a branch that has a model, a fetch into an empty cache. Checked each time: after a failed
push the branch is unchanged, after a retried one it has the complete model; a failed fetch leaves nothing that could be
loaded offline; and the same call without faults gives the complete model.
"""

from __future__ import annotations

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

from benchmarks.tables import make_parser, write_report
from tests.hub_server import Hub, Kind, Repo, model_files, serve_hub
from tests.hub_server.client import Client, open_client

PUSH = ("create", "info", "branch", "preupload", "batch", "put", "validate", "commit")
FETCH = ("info", "tree", "head", "file", "large")
KINDS: tuple[Kind | str, ...] = (401, 403, 404, 409, 412, 429, 500, 503, "reset", "slow", "truncated", "lost", "killed")
ALWAYS = 10_000
NAME = "me/model"


class Row(NamedTuple):
    """Result of one fault."""

    does: str
    call: str
    kind: str
    met: str
    result: str
    """"retried", "went on" (the call is not needed), "error" or "killed"; or what is wrong."""
    tries: int
    seconds: float
    message: str


def attempt(does: str, call: str, kind: Kind | str, times: int) -> Row:
    """Run one cell of the table."""
    with tempfile.TemporaryDirectory() as scratch, serve_hub() as hub:
        repo = hub.models[NAME] = Repo(private=False)
        repo.commit("main", model_files.files(1), message="before")
        branch = "new" if call == "branch" else "main"
        directory, home = model_files.write(Path(scratch) / "model", model_files.files(2)), Path(scratch) / "home"
        arguments = {"directory": directory, "repo_id": NAME, "revision": branch} if does == "push" else {"name": NAME}
        # A process that is to be killed has to be waiting, so its server does not respond.
        fault = hub.fail(call, "slow" if kind == "killed" else kind, times=times)  # type: ignore[arg-type]
        start = time.perf_counter()
        with open_client(hub, home) as client:
            if kind == "killed":
                client.start(does, **arguments)
                occurred = fault.triggered.wait(60)
                client.kill()
                result, message = "killed" if occurred else "WRONG: never met", ""
            else:
                result, message = try_call(client, does, arguments)
        seconds = time.perf_counter() - start
        tries = times - fault.times + (result == "done" and kind not in (401, 403))
        if result == "done":
            # After 401 and 403, the client checks whether the repository exists and continues without this call.
            result = "retried" if kind not in (401, 403) else "went on"
        hub.faults.clear()
        wrong = check_leftovers(hub, repo, does, home, branch, failed=result in ("error", "killed"))
        wrong = wrong or check_without_faults(hub, repo, does, home, branch, arguments)
        reason = message.partition(": ")[2].partition(": ")[2] or message
        repetition = "always" if times == ALWAYS else "once"
        return Row(does, call, str(kind), repetition, wrong or result, tries, seconds, reason.replace(hub.url, "HUB"))


def try_call(client: Client, does: str, arguments: Mapping[str, object]) -> tuple[str, str]:
    """Return ("done", "") or ("error", message)."""
    try:
        client(does, **arguments)
    except RuntimeError as error:
        return "error", str(error)
    except AssertionError as error:  # the process ended with this traceback
        return "WRONG: a traceback", str(error)
    finally:
        assert "hf_" not in client.stderr_text(), "the token is shown"
    return "done", ""


def check_leftovers(hub: Hub, repo: Repo, does: str, home: Path, branch: str, *, failed: bool) -> str:
    """Return what is wrong with the branch or the cache after the fault."""
    if does == "push":
        head = repo.find(branch)
        if head is None:  # a new branch
            return "" if failed and branch != "main" else "WRONG: the branch does not exist"
        expected = model_files.files(1 if failed else 2)
        return "" if head.files == expected else "WRONG: the branch has changed" if failed else "WRONG: not the model"
    if not failed:
        return ""
    with open_client(hub, home, HF_HUB_OFFLINE="1") as client:
        result, _ = try_call(client, "fetch", {"name": NAME})
    return "WRONG: something can be loaded" if result == "done" else ""


def check_without_faults(
    hub: Hub, repo: Repo, does: str, home: Path, branch: str, arguments: Mapping[str, object]
) -> str:
    """Return what is wrong when the call is repeated without faults."""
    with open_client(hub, home) as client:
        try:
            path = client(does, **arguments)
        except RuntimeError as error:
            return f"WRONG: and then {error}"
    files = repo.files(branch) if does == "push" else model_files.read(Path(path))
    return "" if files == model_files.files(2 if does == "push" else 1) else "WRONG: not the model"


def markdown(rows: Sequence[Row], *, command: str) -> list[str]:
    """Return the lines of the report."""
    names = ("huggingface_hub", "httpx2")
    return [
        "# What happens when the Hub fails",
        "",
        f"`{command}` on {platform.machine()}, Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in names)
        + ". Two retries instead of four. Tries are counted over all files, until the first of them has failed.",
        "",
        "| | call | fault | met | result | tries | message |",
        "|---|---|---|---|---|---|---|",
        *(f"| {r.does} | {r.call} | {r.kind} | {r.met} | {r.result} | {r.tries} | {r.message} |" for r in rows),
    ]


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--calls", nargs="+", help="only these")
    parser.add_argument("--kinds", nargs="+", help="only these")
    parser.add_argument("--jobs", type=int, default=8, help="parallel jobs; most of the time is spent waiting")
    args = parser.parse_args()
    calls = [("push", call) for call in PUSH] + [("fetch", call) for call in FETCH]
    cells = [
        (does, call, kind, times)
        for (does, call), kind, times in product(calls, KINDS, (1, ALWAYS))
        if (not args.calls or call in args.calls) and (not args.kinds or str(kind) in args.kinds)
        if not (kind == "killed" and times == ALWAYS)
        if not (kind == "truncated" and call in ("head", "put"))  # these have no body to truncate
    ]
    if not args.calls or "large" in args.calls:
        cells += [("fetch", call, "wrong", times) for call, times in product(("file", "large"), (1, ALWAYS))]
    start = time.perf_counter()
    rows = []
    with ThreadPoolExecutor(args.jobs) as pool:
        for row in pool.map(lambda cell: attempt(*cell), cells):
            rows.append(row)
            print(*row[:5], f"{row.tries} tries, {row.seconds:.1f} s:", row.message, flush=True)
    command = " ".join(["python -m benchmarks.hub_faults", *sys.argv[1:]])
    wrong = [row for row in rows if row.result.startswith("WRONG")]
    write_report(markdown(rows, command=command), args.output, echo=False)
    print(f"{len(rows)} faults in {time.perf_counter() - start:.0f} s; {len(wrong)} wrong")
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
