"""The routes: what comes in over HTTP, what goes out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import PurePath
from typing import Any

from fastapi import FastAPI, HTTPException, Path, Request
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response

from nlpmtl import __version__
from nlpmtl.errors import NlpmtlError, did_you_mean
from nlpmtl.inference.predictor import Predictor
from nlpmtl.serving.batcher import Batcher, CrashError, QueueFullError, ShuttingDownError
from nlpmtl.serving.error_handlers import ERRORS, register_error_handlers
from nlpmtl.serving.limits import Limits
from nlpmtl.serving.metrics import Metrics
from nlpmtl.serving.middleware import RequestMiddleware
from nlpmtl.serving.schemas import Inputs, LabelScore, PredictRequest, TaskRequest, to_tei_scores
from nlpmtl.tasks import Task

_LOG = logging.getLogger(__name__)
_GONE = 499


@dataclass(frozen=True)
class _PredictKey:
    """What is asked of the Predictor; requests that ask the same may be computed together."""

    tasks: tuple[str, ...] | None
    all_scores: bool


def create_app(predictor: Predictor, *, name: str, limits: Limits) -> tuple[FastAPI, Batcher]:
    """The application, and the batcher that computes for it, to be stopped after it.

    Args:
        predictor: the model.
        name: what it is called.
        limits: what is taken at once.
    """

    def compute(ask: _PredictKey, inputs: list[Any]) -> Sequence[Any]:
        metrics.batches.observe(len(inputs))
        answers: list[Any] = predictor.predict_all(inputs, tasks=ask.tasks, all_scores=ask.all_scores)
        return answers

    batcher = Batcher(compute, batch=limits.batch, queue=limits.queue)
    metrics = Metrics(waiting=lambda: batcher.waiting)
    app = FastAPI(
        title="nlpmtl serve",
        version=__version__,
        description=f"Predictions of `{shown_name(name)}`.",
        redoc_url=None,
        redirect_slashes=False,
    )
    app.add_middleware(RequestMiddleware, metrics=metrics, max_bytes=limits.bytes, seconds=limits.body_seconds)
    register_error_handlers(app)
    _add_predictions(app, predictor=predictor, batcher=batcher, metrics=metrics, limits=limits)
    _add_facts(app, predictor=predictor, batcher=batcher, metrics=metrics, name=name, limits=limits)
    return app, batcher


def _add_predictions(app: FastAPI, *, predictor: Predictor, batcher: Batcher, metrics: Metrics, limits: Limits) -> None:
    tasks = predictor.tasks

    async def answer(request: Request, inputs: Inputs, ask: _PredictKey, *, truncate: bool | None) -> list[Any]:
        if len(inputs.values) > limits.inputs:
            raise HTTPException(413, f"{len(inputs.values)} inputs: at most {limits.inputs} in one request")
        try:
            inputs = inputs.check_batch()
        except ValueError as error:
            raise HTTPException(422, f"inputs: {error}") from None
        _check_tasks(tasks, ask.tasks, inputs)
        answers = list(await _compute(request, batcher, inputs, ask))
        for number, one in enumerate(answers, 1):
            if truncate is False and any("truncated" in found for found in one.values()):
                raise HTTPException(413, f"input {number} is too long to be read whole, and `truncate` is false")
        metrics.inputs.add(len(answers), route=request.scope["route"].path)
        return answers

    @app.post("/predict", responses=ERRORS)
    async def predict(asked: PredictRequest, request: Request) -> dict[str, Any] | list[dict[str, Any]]:
        """The answers of all tasks that can read the input, or of those named, as the Predictor gives them."""
        ask = _PredictKey(None if asked.tasks is None else tuple(dict.fromkeys(asked.tasks)), asked.all_scores)
        answers = await answer(request, asked.inputs, ask, truncate=asked.truncate)
        return JSONResponse(answers if asked.inputs.batch else answers[0])  # type: ignore[return-value]

    named: Any = Path(description="The name of a task.", json_schema_extra={"enum": sorted(tasks)})

    @app.post("/predict/{task}", responses=ERRORS)
    async def predict_task(
        asked: TaskRequest, request: Request, task: str = named
    ) -> list[LabelScore] | list[list[LabelScore]] | Any:
        """The answers of one task; of a classification or sentiment the scores of all labels, the likeliest first."""
        labelled = task in tasks and tasks[task].columns["label"] == "class"
        ask = _PredictKey((task,), asked.all_scores or labelled)
        answers = await answer(request, asked.inputs, ask, truncate=asked.truncate)
        found = [to_tei_scores(one[task]) for one in answers]
        return JSONResponse(found if asked.inputs.batch else found[0])


def _add_facts(
    app: FastAPI, *, predictor: Predictor, batcher: Batcher, metrics: Metrics, name: str, limits: Limits
) -> None:
    page = resources.files("nlpmtl.serving").joinpath("page.html").read_text(encoding="utf-8")
    facts = {
        "model_id": shown_name(name),
        "max_input_length": predictor.model.config.input_length,
        "max_client_batch_size": limits.inputs,
        "max_concurrent_requests": limits.queue,
        "max_batch_inputs": limits.batch,
        "payload_limit": limits.bytes,
        "auto_truncate": True,
        "version": __version__,
        "tasks": {
            task: {"kind": one.kind, "input": "pair" if one.takes_pairs else "text", "labels": list(one.labels)}
            for task, one in predictor.tasks.items()
        },
    }

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def show_page() -> HTMLResponse:
        return HTMLResponse(page, headers={"Cache-Control": "no-cache"})

    @app.get("/info")
    async def info() -> dict[str, Any]:
        """The model, its tasks and labels, the limits, the version."""
        return facts

    @app.get("/health", responses={503: ERRORS[503]})
    async def health() -> dict[str, str]:
        """Whether requests are taken."""
        if not batcher.open:
            raise HTTPException(503, _why_closed(batcher))
        return {"status": "ok"}

    @app.get("/metrics", response_class=PlainTextResponse)
    async def tell_metrics() -> Response:
        """What Prometheus reads."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def shown_name(name: str) -> str:
    """Return the name of a model as clients see it: of a path outside the working directory the last part only."""
    path = PurePath(name)
    if not path.is_absolute() and ".." not in path.parts and not name.startswith("~"):
        return name
    parts = [part for part in path.parts if part not in (path.anchor, "..", "~")] or ["model"]
    return "/".join(parts[-2:] if parts[-1] == "model" else parts[-1:])


def _check_tasks(tasks: Mapping[str, Task], named: Sequence[str] | None, inputs: Inputs) -> None:
    """Refuse before anything is computed: tasks that are not there, and inputs that they cannot read."""
    for name in named or ():
        if name not in tasks:
            raise HTTPException(404, f"this model has no task {name!r}; {did_you_mean(name, tasks)}")
    for number, one in enumerate(inputs.values, 1):
        paired = isinstance(one, tuple) or (isinstance(one, dict) and one.get("pair") is not None)
        place, found = f"input {number}: " if inputs.batch else "", "a pair" if paired else "a single text"
        for name in named or ():
            if tasks[name].takes_pairs is not paired:
                wants = "a single text" if paired else 'a pair, ["a text", "its pair"]'
                raise HTTPException(422, f"{place}task {name!r} reads {wants}, and was given {found}")
        if all(task.takes_pairs is not paired for task in tasks.values()):
            raise HTTPException(422, f"{place}no task of this model reads {found}")


async def _compute(request: Request, batcher: Batcher, inputs: Inputs, ask: _PredictKey) -> Sequence[Any]:
    """Wait for the answers, or for the client to go."""
    try:
        job = batcher.submit(inputs.values, key=ask)
    except QueueFullError:
        raise HTTPException(429, "too many requests wait: come back later", headers={"Retry-After": "1"}) from None
    except ShuttingDownError:
        raise HTTPException(503, _why_closed(batcher)) from None
    future, gone = asyncio.wrap_future(job), asyncio.ensure_future(_gone(request))
    either: set[asyncio.Future[Any]] = {future, gone}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not future.done():
            raise HTTPException(_GONE, "the client has gone")
        return future.result()
    except asyncio.CancelledError:
        raise HTTPException(503, "shutting down") from None
    except NlpmtlError as error:
        raise HTTPException(422, str(error)) from None
    except HTTPException:
        raise
    except CrashError as error:
        _LOG.exception("a request crashed the computation")
        raise HTTPException(500, f"the computation crashed: {error}") from None
    except Exception as error:
        _LOG.exception("a batch failed")
        raise HTTPException(424, f"the computation failed: {type(error).__name__}") from None
    finally:
        for one in (job, future, gone):  # the job itself, too: from its wrapper it hears only in the loop's next turn
            one.cancel()
        with suppress(asyncio.CancelledError):
            await gone


def _why_closed(batcher: Batcher) -> str:
    return "shutting down" if batcher.alive else "the thread that computes has ended; restart the server"


async def _gone(request: Request) -> None:
    """Returns when the client has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
