"""Serve a model over HTTP and call it from Python.

    python examples/serve_and_call.py

A model is trained for a few steps, then served as by `nlpmtl serve runs/examples/served/model --port 8000`. The client
needs nothing but the standard library.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from typing import Any
from urllib.request import Request, urlopen

import nlpmtl

OUTPUT = "runs/examples/served"


def call(url: str, body: dict[str, Any]) -> Any:
    """POST a JSON body and return the JSON of the response."""
    request = Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urlopen(request, timeout=30) as response:
        return json.load(response)


def wait_until_ready(url: str, server: subprocess.Popen[bytes]) -> None:
    """Return once /health answers; loading a model takes some seconds."""
    while server.poll() is None:
        try:
            urlopen(f"{url}/health", timeout=5).close()
            return
        except OSError:  # the port is not open yet
            time.sleep(0.2)
    raise RuntimeError(f"the server ended with exit code {server.returncode}")


def main(**overrides: Any) -> None:
    """Train, serve and predict; `overrides` are config keys, as `nlpmtl.train` takes them."""
    shutil.rmtree(OUTPUT, ignore_errors=True)  # train() refuses a directory that already contains a run
    model = nlpmtl.train("quickstart", output=OUTPUT, **{"train.epochs": 0.5, **overrides}).model_dir

    with socket.create_server(("127.0.0.1", 0)) as free:  # the system chooses a free port
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    server = subprocess.Popen([sys.executable, "-m", "nlpmtl", "serve", str(model), "--port", str(port)])
    try:
        wait_until_ready(url, server)
        print(call(f"{url}/predict", {"inputs": "My lamp arrived in Bristol on Friday."}))  # all tasks
        print(call(f"{url}/predict/topic", {"inputs": [["Where is my parcel?"], ["I was charged twice."]]}))  # a batch
    finally:
        server.terminate()  # requests that are being computed are answered first
        server.wait()


if __name__ == "__main__":
    main()
