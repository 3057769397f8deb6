"""Crashes of the computation fail only their request; the server keeps running."""

from __future__ import annotations

import asyncio
import shutil
import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from nlpmtl.inference.predictor import Predictor
from nlpmtl.serving.batcher import Batcher, ShuttingDownError
from tests.serving.conftest import running
from tests.tiny import break_tokenizer

if TYPE_CHECKING:
    from tests.tiny import Trained


@pytest.fixture(scope="module")
def panicking(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """A model whose tokenizer panics on non-ASCII characters."""
    directory = tmp_path_factory.mktemp("panicking") / "model"
    shutil.copytree(trained.model_dir, directory)
    return Predictor.from_pretrained(break_tokenizer(directory))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_panic_of_the_tokenizer_fails_only_its_request(panicking: Predictor) -> None:
    texts = ["a cat", "caf\u00e9", "a dog", "\u4e2d\u6587", "a bird", "plain"] * 3
    with running(panicking) as server, ThreadPoolExecutor(len(texts)) as threads:

        def ask(text: str) -> tuple[int, Any]:
            with server.client() as client:
                reply = client.post("/predict", {"inputs": text})
                return reply.status, reply.json

        for text, (status, body) in zip(texts, threads.map(ask, texts), strict=True):
            assert status == (200 if text.isascii() else 422), body
            if status == 422:
                assert body["error"].startswith("input 1: the encoder's tokenizer fails for this row (PanicException: ")
                assert body["error_type"] == "Validation"
        with server.client() as client:
            assert client.get("/health").status == 200
            assert client.post("/predict", {"inputs": "a cat"}).status == 200


class OddError(BaseException):
    """An exception that is neither an Exception nor built in."""


ODD = [
    KeyboardInterrupt(),
    SystemExit(3),
    GeneratorExit(),
    OddError("odd"),
    StopIteration(1),
    StopAsyncIteration(),
    CancelledError(),
    asyncio.CancelledError(),
    MemoryError(),
    RecursionError(),
]


@pytest.mark.parametrize("error", ODD, ids=lambda error: type(error).__name__)
def test_any_exception_affects_only_its_request(error: BaseException) -> None:
    may = threading.Event()

    def compute(key: object, inputs: list[Any]) -> list[Any]:
        assert may.wait(10)
        if "bad" in inputs:
            raise error
        return inputs

    batcher = Batcher(compute, batch=4, queue=10)
    try:
        futures = [batcher.submit([text], key="a") for text in ("first", "good", "bad", "last")]
        may.set()
        assert [futures[number].result(10) for number in (0, 1, 3)] == [["first"], ["good"], ["last"]]
        raised = futures[2].exception(10)
        from nlpmtl.serving.batcher import CrashError

        assert isinstance(raised, CrashError | MemoryError | RecursionError)
        assert batcher.open
        assert batcher.submit(["again"], key="a").result(10) == ["again"]

        async def wait() -> None:
            with pytest.raises(type(raised)):
                await asyncio.wrap_future(batcher.submit(["bad"], key="a"))

        asyncio.run(wait())
    finally:
        batcher.stop()


def test_a_wrong_number_of_predictions_is_an_error_of_the_request() -> None:
    batcher = Batcher(lambda key, inputs: [], batch=4, queue=10)
    try:
        for _ in range(2):
            with pytest.raises(RuntimeError, match="0 results for 1 inputs"):
                batcher.submit([1], key="a").result(10)
    finally:
        batcher.stop()


def test_a_thread_that_has_ended_fails_the_health_check(predictor: Predictor) -> None:
    with running(predictor) as server, server.client() as client:
        assert client.get("/health").status == 200
        server.batcher.stop()
        reply = client.get("/health")
        assert (reply.status, reply.json["error_type"]) == (503, "Unhealthy")
        with pytest.raises(ShuttingDownError):
            server.batcher.submit(["a"], key="a")


def test_non_finite_logits_fail_only_their_request(trained: Trained, tmp_path: Path) -> None:
    shutil.copytree(trained.model_dir, tmp_path / "model")
    predictor = Predictor.from_pretrained(trained.model_dir)
    path = tmp_path / "model" / "model.safetensors"
    weights = load_file(path)
    embeddings = next(value for name, value in weights.items() if name.endswith("word_embeddings.weight"))
    embeddings[predictor.tokenizer.convert_tokens_to_ids("kettle")] = torch.tensor([3e38, -3e38] * 16)
    save_file(weights, path, metadata={"format": "pt"})
    texts = ["a cat", "kettle", "a dog", "the kettle sings"] * 3
    with running(Predictor.from_pretrained(tmp_path / "model")) as server, ThreadPoolExecutor(len(texts)) as threads:

        def ask(text: str) -> tuple[int, Any]:
            with server.client() as client:
                reply = client.post("/predict", {"inputs": text})
                return reply.status, reply.json

        for text, (status, body) in zip(texts, threads.map(ask, texts), strict=True):
            assert status == (422 if "kettle" in text else 200), body
            assert ("the logits are not finite" in str(body)) is (status == 422)
        assert server.batcher.alive
