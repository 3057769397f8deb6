"""The process: a port, a model, and an end that lets running requests finish."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from types import FrameType

import torch
import uvicorn

from nlpmtl.errors import ConfigError, plain
from nlpmtl.evaluation import max_batch_tokens
from nlpmtl.inference.backend import Precision
from nlpmtl.inference.predictor import Predictor
from nlpmtl.serving.connections import Config, fit_to_files
from nlpmtl.serving.limits import Limits
from nlpmtl.serving.logs import limited_logging
from nlpmtl.serving.routes import create_app

_THREAD_TOKENS = 256
"""Most padded tokens in one forward, for each thread of torch: more lose in padding and caches what they gain."""
_LAST_SECONDS = 30
"""How long requests that were taken may run on after a signal."""
_BACKLOG = 128
"""Most connections that are accepted in one turn of the event loop."""
_WAITING = 2048
"""Most connections that wait in the kernel, where they need no file descriptor."""


class Server(uvicorn.Server):
    """uvicorn, which says when it is ready, and when it is about to end.

    Args:
        config: uvicorn's.
        ready: called when requests are taken.
        ending: called in a signal's handler.
    """

    def __init__(self, config: uvicorn.Config, *, ready: Callable[[], None], ending: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready, self._ending = ready, ending

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets=sockets)
        for one in sockets or ():
            one.listen(_WAITING)
        self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """On SIGINT and SIGTERM."""
        self._ending()
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen no more, and wait for the requests that run."""
        _say("shutting down")
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
    """Answer requests until SIGINT or SIGTERM comes; those that were taken are then finished.

    Args:
        name: a model directory, or a Hub id.
        host: the address to listen on.
        port: the port; 0 for one that is free.
        limits: what is taken at once.
        revision: a commit, tag or branch of the Hub's model.
        device: where to compute, as for `Predictor.from_pretrained`.
        dtype: in which precision, as for `Predictor.from_pretrained`.
        plugins: modules that register the model's own kinds.

    Raises:
        ConfigError: the port cannot be had, or the device is not there.
        ModelError: there is no such model.
    """
    with bind_socket(host, port) as listener, limited_logging():  # the port first, because to load a model takes longer
        loaded = Predictor.from_pretrained(name, revision=revision, device=device, dtype=dtype, plugins=plugins)
        on_cpu = loaded.model.device.type == "cpu"
        tokens = _THREAD_TOKENS * torch.get_num_threads() if on_cpu else max_batch_tokens(loaded.model.device)
        predictor = Predictor(loaded.model, loaded.tokenizer, tokens=tokens)
        app, batcher = create_app(predictor, name=name, limits=limits)
        shown, port = f"[{host}]" if ":" in host else host, listener.getsockname()[1]

        def ready() -> None:
            where = "" if on_cpu else f", on {loaded.model.device}"
            _say(f"serving {name} on http://{shown}:{port} ({', '.join(predictor.tasks)}{where})")

        try:
            Server(config(app, limits), ready=ready, ending=batcher.refuse).run(sockets=[listener])
        finally:
            batcher.stop()


def config(app: Callable[..., object], limits: Limits | None = None) -> Config:
    """Return uvicorn's configuration: silent unless something is wrong, with limits that the process can keep."""
    limits = limits or Limits()
    connections, backlog = fit_to_files(limits.connections, backlog=_BACKLOG)
    return Config(
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
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(f"--host {host}: {error.strerror}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise ConfigError(f"http://{host}:{port} cannot be had: {error.strerror}; write another --port") from None
    return listener


def _say(text: str) -> None:
    with suppress(OSError):  # that nobody reads it any more is no reason to stop, and none not to
        sys.stderr.write(f"{plain(text)}\n")
        sys.stderr.flush()
