"""A stand-in for the Hub: real HTTP servers on 127.0.0.1 that answer what the client asks.

It has repositories of datasets, which are only read, and of models, with commits, branches and pull requests. Any call
can be made to fail. The client reads `HF_ENDPOINT` when it is imported, so whoever uses it does so in a process of its
own:

    with serve_hub() as hub:
        hub.repos["org/name"] = {"README.md": b"…", "train.parquet": b"…"}
        hub.fail("commit", 503, times=2)
        subprocess.run([sys.executable, "-c", code], env=hub.environment(home))
        hub.models["me/model"].files("main")
"""

from __future__ import annotations

from tests.hub_server.faults import Fault, Kind
from tests.hub_server.server import serve_hub
from tests.hub_server.state import COMMIT, READER, WRITER, Commit, Hub, Repo

__all__ = ["COMMIT", "READER", "WRITER", "Commit", "Fault", "Hub", "Kind", "Repo", "serve_hub"]
