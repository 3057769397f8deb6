"""Routes of the HTTP API."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

from fastapi import FastAPI, HTTPException, Path, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from nlpmtl import __version__
from nlpmtl.errors import ConfigError, NlpmtlError, did_you_mean
from nlpmtl.inference.predictor import Predictor
from nlpmtl.inference.task_inputs import InputReader
from nlpmtl.serving.batcher import Batcher, CrashError, QueueFullError, ShuttingDownError
from nlpmtl.serving.error_handlers import ERRORS, register_error_handlers
from nlpmtl.serving.examples import example_inputs
from nlpmtl.serving.limits import Limits
from nlpmtl.serving.metrics import CONTENT_TYPE, Metrics
from nlpmtl.serving.middleware import RequestMiddleware
from nlpmtl.serving.pages import add_pages
from nlpmtl.serving.schemas import (
    EmbedRequest,
    Inputs,
    LabelScore,
    cut_embedding,
    parse_inputs,
    request_models,
    to_tei_scores,
)
from nlpmtl.tasks import Task, is_text_list

_LOG = logging.getLogger(__name__)
_CLIENT_CLOSED_REQUEST = 499


@dataclass(frozen=True)
class _PredictKey:
    """Options of a prediction; requests with equal options may be computed in one batch."""

    tasks: tuple[str, ...] | None
    all_scores: bool
    find_truncated: bool = False


def create_app(predictor: Predictor, *, name: str, limits: Limits) -> tuple[FastAPI, Batcher]:
    """Create the application and its batcher. The caller must stop the batcher after the application.

    Args:
        predictor: the model.
        name: name of the model.
        limits: limits of the server.
    """

    def compute(key: _PredictKey, inputs: list[Any]) -> Sequence[Any]:
        metrics.batches.observe(len(inputs))
        predictions: list[Any] = predictor.predict_all(inputs, tasks=key.tasks, all_scores=key.all_scores)
        truncated = predictor.find_truncated(inputs, tasks=key.tasks) if key.find_truncated else [False] * len(inputs)
        return list(zip(predictions, truncated, strict=True))

    batcher = Batcher(compute, batch=limits.batch, queue=limits.queue)
    metrics = Metrics(waiting=lambda: batcher.waiting)
    app = FastAPI(
        title="nlpmtl serve",
        version=__version__,
        description=f"Predictions of `{shown_name(name)}`.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.add_middleware(RequestMiddleware, metrics=metrics, max_bytes=limits.bytes, seconds=limits.body_seconds)
    register_error_handlers(app)
    _add_predictions(app, predictor=predictor, batcher=batcher, metrics=metrics, limits=limits)
    _add_status(app, predictor=predictor, batcher=batcher, metrics=metrics, name=name, limits=limits)
    add_pages(app)
    return app, batcher


def _add_predictions(app: FastAPI, *, predictor: Predictor, batcher: Batcher, metrics: Metrics, limits: Limits) -> None:
    tasks = predictor.tasks

    async def compute(request: Request, inputs: Inputs, key: _PredictKey, *, truncate: bool | None = None) -> list[Any]:
        if len(inputs.values) > limits.inputs:
            raise HTTPException(413, f"{len(inputs.values)} inputs: at most {limits.inputs} in one request")
        try:
            inputs = inputs.check_batch()
        except ValueError as error:
            raise HTTPException(422, f"inputs: {error}") from None
        count = _check_inputs(tasks, key.tasks, inputs)
        if count > limits.inputs:
            raise HTTPException(
                413, f"{count} inputs (each choice counts as one): at most {limits.inputs} in one request"
            )
        results = await _compute(request, batcher, inputs, replace(key, find_truncated=truncate is False))
        for number, (_, is_truncated) in enumerate(results, 1):
            if is_truncated:
                raise HTTPException(413, f"input {number} exceeds the maximum length, and `truncate` is false")
        metrics.inputs.labels(request.scope["route"].path).inc(len(results))
        return [predictions for predictions, _ in results]

    async def predict(body: Any, request: Request) -> dict[str, Any] | list[dict[str, Any]]:
        """Predictions of all tasks that take the input, or of the requested ones, in the format of the Predictor."""
        key = _PredictKey(None if body.tasks is None else tuple(dict.fromkeys(body.tasks)), body.all_scores)
        results = await compute(request, body.inputs, key, truncate=body.truncate)
        return JSONResponse(results if body.inputs.batch else results[0])  # type: ignore[return-value]

    task_name: Any = Path(description="Name of a task.", json_schema_extra={"enum": sorted(tasks)})

    async def predict_task(
        body: Any, request: Request, task: str = task_name
    ) -> list[LabelScore] | list[list[LabelScore]] | Any:
        """Predictions of one task; if it predicts one label per input, the scores of all labels, highest first."""
        single_label = task in tasks and tasks[task].single_label
        key = _PredictKey((task,), body.all_scores or single_label)
        results = await compute(request, body.inputs, key, truncate=body.truncate)
        scores = [to_tei_scores(predictions[task]) for predictions in results]
        return JSONResponse(scores if body.inputs.batch else scores[0])

    # The schemas of the bodies depend on the tasks.
    predict.__annotations__["body"], predict_task.__annotations__["body"] = request_models(tasks)
    app.post("/predict", responses=ERRORS)(predict)
    app.post("/predict/{task}", responses=ERRORS)(predict_task)
    embedding = next((name for name, task in tasks.items() if task.embeds), None)
    if embedding is not None:
        _add_embeddings(app, compute, task=embedding)


def _add_embeddings(app: FastAPI, compute: Callable[..., Any], *, task: str) -> None:
    """Add the route `/embed`, which returns the embeddings of a task."""

    @app.post("/embed", responses=ERRORS)
    async def embed(body: EmbedRequest, request: Request) -> list[list[float]]:
        """Embeddings, one for each text."""
        texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
        inputs = parse_inputs([[text] for text in texts])
        results = await compute(request, inputs, _PredictKey((task,), False), truncate=body.truncate)
        try:
            vectors = [cut_embedding(predictions[task], body.dimensions) for predictions in results]
        except ValueError as error:
            raise HTTPException(422, str(error)) from None
        return JSONResponse(vectors)  # type: ignore[return-value]


def _add_status(
    app: FastAPI, *, predictor: Predictor, batcher: Batcher, metrics: Metrics, name: str, limits: Limits
) -> None:
    model_info = {
        "model_id": shown_name(name),
        "max_input_length": predictor.model.config.input_length,
        "max_client_batch_size": limits.inputs,
        "max_concurrent_requests": limits.queue,
        "max_batch_inputs": limits.batch,
        "payload_limit": limits.bytes,
        "auto_truncate": True,
        "version": __version__,
        "tasks": {name: _describe(task) for name, task in predictor.tasks.items()},
        "examples": example_inputs(predictor.tasks.values(), predictor.directory),
    }

    @app.get("/info")
    async def info() -> dict[str, Any]:
        """Model, tasks, labels, example inputs, limits and version."""
        return model_info

    @app.head("/health", include_in_schema=False)  # load balancers use it
    @app.get("/health", responses={503: ERRORS[503]})
    async def health() -> dict[str, str]:
        """Status 200 if requests are accepted, otherwise 503."""
        if not batcher.open:
            raise HTTPException(503, _why_closed(batcher))
        return {"status": "ok"}

    @app.get("/metrics", response_class=PlainTextResponse)
    async def show_metrics() -> Response:
        """Metrics in the text format of Prometheus."""
        return Response(metrics.text(), media_type=CONTENT_TYPE)


def _describe(task: Task) -> dict[str, Any]:
    described = {"kind": task.kind, "input": "pair" if task.takes_pairs else "text", "labels": list(task.labels)}
    optional = {
        "extra_inputs": sorted(task.extra_inputs),
        "required_inputs": sorted(task.extra_inputs.keys() - task.optional),
        "text_lists": sorted(key for key, name in task.extra_inputs.items() if is_text_list(name)),
        "required_text": task.required_text,
        "only_by_name": task.only_by_name,
        "view": task.view,
    }
    return {**described, **{key: value for key, value in optional.items() if value}}


def shown_name(name: str) -> str:
    """Return the name of a model as clients see it.

    A Hub id or a path below the working directory is unchanged. Of an absolute path, or one with ``..`` or ``~``, only
    the last part is shown, or the last two if the last one is ``model``.
    """
    path = PurePath(name)
    if not path.is_absolute() and ".." not in path.parts and not name.startswith("~"):
        return name
    parts = [part for part in path.parts if part not in (path.anchor, "..", "~")] or ["model"]
    return "/".join(parts[-2:] if parts[-1] == "model" else parts[-1:])


def _check_inputs(tasks: Mapping[str, Task], task_names: Sequence[str] | None, inputs: Inputs) -> int:
    """Check the tasks and inputs of a request before anything is computed.

    Returns:
        The number of inputs. An input with a required list of texts, such as choices, counts once per text.

    Raises:
        HTTPException: 404 for an unknown task, 422 for an input that the tasks cannot read.
    """
    for name in task_names or ():
        if name not in tasks:
            raise HTTPException(404, f"this model has no task {name!r}; {did_you_mean(name, tasks)}")
    reader = InputReader(tasks, names=task_names)
    required = {
        key: name for task in tasks.values() for key, name in task.extra_inputs.items() if key not in task.optional
    }
    lists = {key for key, name in required.items() if is_text_list(name)}
    count = 0
    for number, value in enumerate(inputs.values, 1):
        try:
            read = reader.read(value)
        except (ConfigError, ValueError) as error:
            raise HTTPException(422, f"{f'input {number}: ' if inputs.batch else ''}{error}") from None
        texts = [len(example.extra[key]) for example, _ in read for key in lists & example.extra.keys()]
        count += max([1, *texts])
    return count


async def _compute(request: Request, batcher: Batcher, inputs: Inputs, key: _PredictKey) -> Sequence[Any]:
    """Wait for the predictions, or for the client to disconnect."""
    try:
        job = batcher.submit(inputs.values, key=key)
    except QueueFullError:
        raise HTTPException(429, "too many requests are waiting; retry later", headers={"Retry-After": "1"}) from None
    except ShuttingDownError:
        raise HTTPException(503, _why_closed(batcher)) from None
    future, disconnected = asyncio.wrap_future(job), asyncio.ensure_future(_disconnected(request))
    either: set[asyncio.Future[Any]] = {future, disconnected}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not future.done():
            raise HTTPException(_CLIENT_CLOSED_REQUEST, "the client closed the connection")
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
        for awaited in (job, future, disconnected):  # the wrapper would cancel `job` only in the next loop iteration
            awaited.cancel()
        with suppress(asyncio.CancelledError):
            await disconnected


def _why_closed(batcher: Batcher) -> str:
    return "shutting down" if batcher.alive else "the inference thread has ended; restart the server"


async def _disconnected(request: Request) -> None:
    """Return when the client has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
