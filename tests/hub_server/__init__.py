"""A local Hub: real HTTP servers on 127.0.0.1 with the routes that the client uses.

It has read-only dataset repositories, and model repositories with commits, branches and pull requests. Any call can be
made to fail. The client reads `HF_ENDPOINT` when it is imported, so it has to be used in a separate process:

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
