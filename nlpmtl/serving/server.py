"""The server process: binds a port, loads a model, and shuts down gracefully."""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from types import FrameType

import torch
import uvicorn

from nlpmtl.batched_inference import max_batch_tokens
from nlpmtl.errors import ConfigError, escape_control_characters
from nlpmtl.inference.backend import Precision
from nlpmtl.inference.predictor import Predictor
from nlpmtl.serving.connections import LimitedConfig, fit_to_files
from nlpmtl.serving.limits import Limits
from nlpmtl.serving.logs import rate_limited_logging
from nlpmtl.serving.routes import create_app

_THREAD_TOKENS = 256
"""Maximum number of padded tokens of a forward pass per torch thread: larger batches are slower on a CPU."""
_LAST_SECONDS = 30
"""Time in which accepted requests must finish after a signal."""
_BACKLOG = 128
"""Maximum number of connections accepted in one iteration of the event loop."""
_LISTEN_BACKLOG = 2048
"""Maximum number of connections that wait in the kernel, where they need no file descriptor."""


class Server(uvicorn.Server):
    """A uvicorn server with callbacks for start and shutdown.

    Args:
        config: configuration of uvicorn.
        ready: called when requests are accepted.
        ending: called in the signal handler.
    """

    def __init__(self, config: uvicorn.Config, *, ready: Callable[[], None], ending: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready, self._ending = ready, ending

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen."""
        await super().startup(sockets=sockets)
        for listener in sockets or ():
            listener.listen(_LISTEN_BACKLOG)
        self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle SIGINT and SIGTERM."""
        self._ending()
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, and wait for running requests."""
        _print("shutting down")
        await super().shutdown(sockets=sockets)


def serve(
    name: str,
    *,
    host: str,
    port: int,
    limits: Limits,
    revision: str | None = None,
    device: str = "auto",
    dtype: Precision | None = None,
    plugins: Sequence[str] = (),
) -> None:
    """Serve a model until SIGINT or SIGTERM; accepted requests are then finished.

    Args:
        name: a model directory, or a Hub id.
        host: the address to listen on.
        port: the port; 0 for a free one.
        limits: limits of the server.
        revision: a commit, tag or branch on the Hub.
        device: see `Predictor.from_pretrained`.
        dtype: see `Predictor.from_pretrained`.
        plugins: modules that register task types, metrics or sharing schemes of the model.

    Raises:
        ConfigError: the port cannot be bound, or the device is not available.
        ModelError: the model does not exist or is invalid.
    """
    with bind_socket(host, port) as listener, rate_limited_logging():  # the port first: loading a model takes longer
        loaded = Predictor.from_pretrained(name, revision=revision, device=device, dtype=dtype, plugins=plugins)
        on_cpu = loaded.model.device.type == "cpu"
        tokens = _THREAD_TOKENS * torch.get_num_threads() if on_cpu else max_batch_tokens(loaded.model.device)
        predictor = Predictor(loaded.model, loaded.tokenizer, tokens=tokens, directory=loaded.directory)
        app, batcher = create_app(predictor, name=name, limits=limits)
        address, port = f"[{host}]" if ":" in host else host, listener.getsockname()[1]

        def ready() -> None:
            where = "" if on_cpu else f", on {loaded.model.device}"
            _print(f"serving {name} on http://{address}:{port} ({', '.join(predictor.tasks)}{where})")

        try:
            Server(uvicorn_config(app, limits), ready=ready, ending=batcher.refuse).run(sockets=[listener])
        finally:
            batcher.stop()


def uvicorn_config(app: Callable[..., object], limits: Limits | None = None) -> LimitedConfig:
    """Return the configuration of uvicorn: only errors are logged, and the limits fit the file descriptors."""
    limits = limits or Limits()
    connections, backlog = fit_to_files(limits.connections, backlog=_BACKLOG)
    return LimitedConfig(
        app,
        limits=replace(limits, connections=connections),
        backlog=backlog,
        log_config=None,
        log_level="error",
        access_log=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=_LAST_SECONDS,
    )


def bind_socket(host: str, port: int) -> socket.socket:
    """Return a socket bound to an address; ConfigError if that is not possible."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(f"--host {host}: {error.strerror}") from None
    except UnicodeError:  # the codec of international names
        raise ConfigError(
            f"--host {host}: not the name of a host: its parts between dots have 1 to 63 characters"
        ) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        option = "--host" if error.errno == errno.EADDRNOTAVAIL else "--port"
        raise ConfigError(f"cannot bind http://{host}:{port}: {error.strerror}; choose another {option}") from None
    return listener


def _print(text: str) -> None:
    with suppress(OSError):  # ignore a closed stderr
        sys.stderr.write(f"{escape_control_characters(text)}\n")
        sys.stderr.flush()
