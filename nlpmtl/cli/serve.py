"""`nlpmtl serve`: a model behind HTTP."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated

import typer

from nlpmtl.cli.console import quiet_libraries
from nlpmtl.cli.options import DeviceOption, DtypeOption, PluginsOption, Revision
from nlpmtl.errors import ConfigError


def serve(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model directory, or a Hub id.")],
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", help="The port; 0 for one that is free.", min=0, max=65535)] = 8000,
    max_batch: Annotated[int, typer.Option(metavar="N", help="Most inputs that are computed together.", min=1)] = 64,
    max_queue: Annotated[int, typer.Option(metavar="N", help="Most requests that wait; or 429.", min=1)] = 256,
    max_inputs: Annotated[int, typer.Option(metavar="N", help="Most inputs in one request; or 413.", min=1)] = 128,
    max_bytes: Annotated[int, typer.Option(metavar="N", help="Most bytes in one request; or 413.", min=1)] = 250_000,
    max_connections: Annotated[
        int, typer.Option(metavar="N", help="Maximum number of open connections.", min=1)
    ] = 1000,
    header_timeout: Annotated[
        float, typer.Option(metavar="SECONDS", help="Time in which a request's header must arrive.", min=0.1)
    ] = 10,
    body_timeout: Annotated[
        float, typer.Option(metavar="SECONDS", help="Time in which a request's body must arrive.", min=0.1)
    ] = 30,
    device: DeviceOption = "auto",
    dtype: DtypeOption = None,
    plugins: PluginsOption = None,
    revision: Revision = None,
) -> None:
    """Serve a model over HTTP, with a page to try it on."""
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
