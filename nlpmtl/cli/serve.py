"""`nlpmtl serve`: an HTTP server for a model."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated

import typer

from nlpmtl.cli.console import quiet_libraries
from nlpmtl.cli.options import DeviceOption, DtypeOption, Model, PluginsOption, Revision
from nlpmtl.errors import ConfigError


def serve(
    model: Model,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", help="Port (0: pick a free one).", min=0, max=65535)] = 8000,
    max_batch: Annotated[int, typer.Option(metavar="N", help="Maximum batch size.", min=1)] = 64,
    max_queue: Annotated[int, typer.Option(metavar="N", help="Maximum queued requests (then 429).", min=1)] = 256,
    max_inputs: Annotated[int, typer.Option(metavar="N", help="Maximum inputs per request (then 413).", min=1)] = 128,
    max_bytes: Annotated[int, typer.Option(metavar="N", help="Maximum bytes per request (then 413).", min=1)] = 250_000,
    max_connections: Annotated[int, typer.Option(metavar="N", help="Maximum open connections.", min=1)] = 1000,
    header_timeout: Annotated[
        float, typer.Option(metavar="SECONDS", help="Time limit for receiving the header of a request.", min=0.1)
    ] = 10,
    body_timeout: Annotated[
        float, typer.Option(metavar="SECONDS", help="Time limit for receiving the body of a request.", min=0.1)
    ] = 30,
    device: DeviceOption = "auto",
    dtype: DtypeOption = None,
    plugins: PluginsOption = None,
    revision: Revision = None,
) -> None:
    """Serve a model over HTTP.

    Open the address in a browser for a page to try the model.
    """
    for package in ("fastapi", "uvicorn"):
        if find_spec(package) is None:
            raise ConfigError(f"{package} is not installed: pip install 'nlpmtl[serve]'")
    from nlpmtl.serving import Limits
    from nlpmtl.serving import serve as start

    quiet_libraries()
    limits = Limits(
        batch=max_batch,
        queue=max_queue,
        inputs=max_inputs,
        bytes=max_bytes,
        connections=max_connections,
        header_seconds=header_timeout,
        body_seconds=body_timeout,
    )
    start(
        model,
        revision=revision,
        host=host,
        port=port,
        limits=limits,
        device=device,
        dtype=dtype,
        plugins=plugins or (),
    )
