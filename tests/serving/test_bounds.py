"""Limits of requests, and responses without local paths."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel, ValidationError

from nlpmtl.inference.predictor import Predictor
from nlpmtl.serving import Limits
from nlpmtl.serving.schemas import EmbedRequest, PredictRequest, TaskRequest
from tests.serving.conftest import Running, running

if TYPE_CHECKING:
    from tests.tiny import Trained

MANY = 120_000


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": "a", "tasks": [0] * MANY},
        {"inputs": "a", "tasks": [["topic"]] * 20_000},
        {"inputs": "a", "tasks": ["topic"] * 20_000 + [None] * 20_000},
        {"inputs": "a", **{f"key{number}": 0 for number in range(20_000)}},
        {"inputs": "a", "tasks": [0] * 20_000, "truncate": [0] * 20_000, "all_scores": {}},
    ],
)
def test_a_request_with_many_errors_has_a_short_response(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as raised:
        PredictRequest.model_validate(body)
    assert raised.value.error_count() <= 3


@pytest.mark.parametrize("request_type", [PredictRequest, TaskRequest, EmbedRequest])
def test_one_of_many_unknown_keys_is_reported(request_type: type[BaseModel]) -> None:
    with pytest.raises(ValidationError) as raised:
        request_type.model_validate({"inputs": "a", **{f"key{number}": 0 for number in range(20_000)}})
    assert [error["loc"] for error in raised.value.errors()] == [("key0",)]


@pytest.fixture(scope="module")
def default_server(predictor: Predictor) -> Iterator[Running]:
    """A server with the default limits."""
    with running(predictor, Limits()) as server:
        yield server


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (json.dumps({"inputs": "a", "tasks": [0] * 80_000}), 422, "tasks.0: a string, such as"),
        (json.dumps({"inputs": "a", "tasks": [f"n{n}" for n in range(25_000)]}), 404, "no task 'n0'"),
        (json.dumps({"inputs": "a", "tasks": ["topic"] * 25_000}), 200, ""),
        (json.dumps({"inputs": "a", "tasks": ["n" * 240_000]}), 404, "no task 'nnn"),
        (json.dumps({"inputs": "a", **{f"k{n}": 0 for n in range(20_000)}}), 422, "k0: unknown key"),
        (json.dumps({"inputs": [["a"]] * 30_000}), 413, "30000 inputs: at most 128"),
        ('{"inputs": "a", "tasks": ' + "[" * 900 + "]" * 900 + "}", 422, "tasks.0: a string, such as"),
        ('{"inputs": ' + "[" * 100_000 + "]" * 100_000 + "}", 422, "the body is nested too deeply"),
        ('{"inputs": ' + '{"text":' * 900 + "1" + "}" * 901, 422, "inputs: text: "),
        ('{"inputs": "a", "truncate": ' + "1" * 200_000 + "}", 422, "the body cannot be read: Exceeds the limit"),
        ('{"inputs": "a", "truncate": ' + "1" * 4_000 + "}", 422, "truncate: "),
        ('{"inputs": "a", "truncate": 1e999999}', 422, "truncate: "),
    ],
)
def test_responses_to_large_and_invalid_requests_are_short(
    body: str, status: int, message: str, default_server: Running
) -> None:
    with default_server.client() as client:
        reply = client.send("POST", "/predict", body.encode())
        assert reply.status == status, reply.body[:300]
        if status != 200:
            assert message in reply.json["error"]
            assert len(reply.body) < 1_000


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("runs/quickstart/model", "runs/quickstart/model"),
        ("acme/triage", "acme/triage"),
        ("/home/ada/runs/triage/model", "triage/model"),
        ("/home/ada/triage/", "triage"),
        ("../../ada/triage", "triage"),
        ("~ada/models/triage", "triage"),
        ("/model", "model"),
        ("/", "model"),
        ("..", "model"),
    ],
)
def test_a_path_is_shown_by_its_last_part(name: str, shown: str) -> None:
    from nlpmtl.serving.routes import shown_name

    assert shown_name(name) == shown


def test_no_route_exposes_the_path_of_the_model(predictor: Predictor, trained: Trained) -> None:
    with running(predictor, name=str(trained.model_dir)) as server, server.client() as client:
        for path in ("/", "/info", "/health", "/metrics", "/openapi.json", "/docs", "/nowhere"):
            assert str(trained.model_dir.parent).encode() not in client.get(path).body
        assert client.get("/info").json["model_id"] == "out/model"
