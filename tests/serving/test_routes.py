"""Routes of the server over real connections."""

from __future__ import annotations

import json
import random
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

import nlpmtl
from nlpmtl.inference.predictor import Predictor
from nlpmtl.serving import Limits
from tests.serving.conftest import SMALL, Client, Running, running
from tests.tiny import WORDS, numbers

if TYPE_CHECKING:
    from tests.tiny import Trained

TEXT = "Ada lives in Turin, not in Rome."
LONG = "ada " * 200
SINGLE = {"kinds", "mood", "places", "topic"}


class Slow(Predictor):
    """A predictor that waits until it is allowed to predict."""

    @classmethod
    def like(cls, predictor: Predictor) -> Slow:
        instance = cls(predictor.model, predictor.tokenizer)
        instance.received, instance.started, instance.may = [], threading.Event(), threading.Event()
        return instance

    received: list[Any]
    started: threading.Event
    may: threading.Event

    def predict_all(self, inputs: Any, **options: Any) -> Any:
        self.received.append(inputs)
        self.started.set()
        assert self.may.wait(30)
        return super().predict_all(inputs, **options)


def same(actual: Any, expected: Any) -> bool:
    """Return whether two predictions are equal up to rounding."""
    words = re.compile(r"[-\d.e+]+")
    alike = words.sub("", json.dumps(actual, sort_keys=True)) == words.sub("", json.dumps(expected, sort_keys=True))
    return alike and numbers(actual) == pytest.approx(numbers(expected), abs=1e-5)


def test_all_tasks_equal_the_predictor(client: Client, predictor: Predictor) -> None:
    reply = client.post("/predict", {"inputs": TEXT})
    assert reply.status == 200
    assert reply.json.keys() == SINGLE
    assert same(reply.json, predictor.predict_all(TEXT))
    named = client.post("/predict", {"inputs": [[TEXT], ["a cat"]], "tasks": ["places", "topic"], "all_scores": True})
    assert same(named.json, predictor.predict_all([TEXT, "a cat"], tasks=["places", "topic"], all_scores=True))


@pytest.mark.parametrize(
    ("inputs", "meant"),
    [
        ([TEXT], TEXT),
        ([TEXT, "a cat"], (TEXT, "a cat")),
        ([[TEXT, "a cat"], ["a cat"]], [(TEXT, "a cat"), "a cat"]),
        ([[TEXT]], [TEXT]),
        ({"words": ["Ada", "in", "Turin"]}, {"words": ["Ada", "in", "Turin"]}),
        ({"text": TEXT, "pair": "a cat"}, (TEXT, "a cat")),
        ([{"text": TEXT, "pair": None}, [TEXT]], [TEXT, TEXT]),
        ("", ""),
        ("🐈 in Turin 😀", "🐈 in Turin 😀"),
    ],
)
def test_input_formats(inputs: Any, meant: Any, client: Client, predictor: Predictor) -> None:
    reply = client.post("/predict", {"inputs": inputs})
    assert (reply.status, same(reply.json, predictor.predict_all(meant))) == (200, True)


def test_a_classification_has_the_format_of_text_embeddings_inference(client: Client, predictor: Predictor) -> None:
    scores = predictor.predict(TEXT, task="topic", all_scores=True)["scores"]
    request = {"inputs": TEXT, "raw_scores": False, "truncate": True, "truncation_direction": "right"}
    labels = client.post("/predict/topic", request).json
    ranked = sorted(scores, key=lambda label: -scores[label])
    assert labels == [{"label": label, "score": pytest.approx(scores[label], abs=1e-5)} for label in ranked]
    batch = client.post("/predict/topic", {"inputs": [[TEXT], ["a cat"]]}).json
    assert [len(item) for item in batch] == [3, 3]
    assert same(batch[0], labels)
    assert {item["label"] for item in client.post("/predict/mood", {"inputs": TEXT}).json} == {
        "negative",
        "neutral",
        "positive",
    }


def test_other_task_types_have_the_format_of_the_predictor(client: Client, predictor: Predictor) -> None:
    for task, inputs in (("places", TEXT), ("kinds", TEXT), ("grade", [TEXT, "a cat"])):
        meant = tuple(inputs) if isinstance(inputs, list) else inputs
        assert same(client.post(f"/predict/{task}", {"inputs": inputs}).json, predictor.predict(meant, task=task))
    reply = client.post("/predict/kinds", {"inputs": TEXT, "all_scores": True})
    assert reply.json["scores"].keys() == {"x", "y", "z"}


def test_truncation_is_reported_or_refused(client: Client) -> None:
    assert client.post("/predict", {"inputs": LONG}).json["topic"]["truncated"] is True
    assert all(item["truncated"] for item in client.post("/predict/topic", {"inputs": LONG}).json)
    reply = client.post("/predict/topic", {"inputs": [["a"], [LONG]], "truncate": False})
    assert (reply.status, reply.json["error_type"]) == (413, "Validation")
    assert "input 2 exceeds the maximum length" in reply.json["error"]
    assert client.post("/predict/places", {"inputs": LONG, "truncate": False}).status == 200  # the whole body is read


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/predict", "{", 422, "the body is not valid JSON: Expecting property name"),
        ("/predict", "[]", 422, "the body must be a JSON object"),
        ("/predict", "", 422, 'the body is required: {"inputs": …}'),
        ("/predict", "[" * 15_000, 422, "the body is nested too deeply"),
        ("/predict", b'{"inputs": "\xff"}', 422, "the body is not valid UTF-8 (byte 12)"),
        ("/predict", "{}", 422, "inputs is required"),
        ("/predict", {"inputs": 3}, 422, "inputs: a string, a list or an object was expected, found 3; write"),
        ("/predict", {"inputs": None}, 422, "inputs: a string, a list"),
        ("/predict", {"inputs": []}, 422, "inputs: an empty list"),
        ("/predict", {"inputs": ["a", "b", "c"]}, 422, "inputs: a list of one or two strings was expected"),
        ("/predict", {"inputs": [["a"], "b"]}, 422, "a list of one or two strings"),
        ("/predict", {"inputs": [["a"], []]}, 422, "inputs: input 2: a list of one or two strings"),
        ("/predict", {"inputs": [["a"], [["b"]]]}, 422, "input 2: a list of one or two strings"),
        ("/predict", {"inputs": "\ud800"}, 422, "inputs: not valid Unicode"),
        ("/predict", {"inputs": ["a", "\udfff"]}, 422, "inputs: not valid Unicode"),
        ("/predict", {"inputs": {"words": []}}, 422, "inputs: words: at least one word"),
        ("/predict", {"inputs": {"words": ["a", 1]}}, 422, "inputs: words: word 2 is not a string"),
        ("/predict", {"inputs": {"txt": "a"}}, 422, "inputs: unknown key 'txt'; known: text, pair, words"),
        ("/predict", {"inputs": {"\ud800": "a"}}, 422, r"inputs: unknown key '\ud800'"),
        ("/predict", {"inputs": {"text": "a", "words": ["a"]}}, 422, "`words` cannot be combined"),
        ("/predict", {"inputs": "a", "task": "topic"}, 422, "task: unknown key"),
        ("/predict", {"inputs": "a", "tasks": []}, 422, "tasks: at least 1 entry is needed, found []"),
        ("/predict", {"inputs": "a", "tasks": "topic"}, 422, """tasks: a list, such as ["a", "b"], was expected"""),
        ("/predict", {"inputs": "a", "all_scores": "yes"}, 422, "all_scores: true or false was expected, found 'yes'"),
        ("/predict", {"inputs": "a", "truncate": 0}, 422, "truncate: true or false was expected, found 0"),
        ("/predict", {"inputs": "a", "tasks": ["\ud800"]}, 404, r"no task '\ud800'; known: grade"),
        ("/predict", {"inputs": "a", "tasks": ["topci"]}, 404, "no task 'topci'; did you mean 'topic'?"),
        ("/predict/topci", {"inputs": "a"}, 404, "no task 'topci'; did you mean 'topic'?"),
        ("/predict/topic", {"inputs": "a", "raw_scores": True}, 422, "raw_scores: must be false, found True"),
        ("/predict/topic", {"inputs": ["a", "b"]}, 422, "task 'topic' expects a single text, found a text pair"),
        ("/predict/grade", {"inputs": [["a", "b"], ["c"]]}, 422, "input 2: task 'grade' expects a text pair"),
        ("/predict", {"inputs": [["a"]] * 9}, 413, "9 inputs: at most 8 in one request"),
        ("/predict", {"inputs": "a" * 20_001}, 413, "more than 20000 bytes"),
        ("/predict/", {"inputs": "a"}, 404, "there is no /predict/; GET /docs has all routes"),
        ("/health", {}, 405, "/health does not accept POST; write GET"),
    ],
)
def test_invalid_requests(path: str, body: Any, status: int, message: str, client: Client) -> None:
    raw = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    reply = client.send("POST", path, raw)
    assert reply.status == status
    assert reply.json.keys() == {"error", "error_type"}
    assert message in reply.json["error"]
    assert reply.json["error_type"] == "Validation"
    assert client.get("/health").status == 200


def test_the_health_can_be_requested_without_its_body(client: Client) -> None:
    reply = client.send("HEAD", "/health")
    assert (reply.status, reply.body) == (200, b"")


def test_a_large_body_is_refused_while_it_is_received(client: Client) -> None:
    parts = [b'{"inputs": "', *[b"a" * 1000] * 30, b'"}']
    headers = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
    assert client.send("POST", "/predict", iter(parts), headers=headers).status == 413
    assert client.send("POST", "/predict", iter([b'{"inputs": ', b'"a"}']), headers=headers).status == 200


def test_a_body_without_the_json_content_type_is_refused(client: Client) -> None:
    reply = client.send("POST", "/predict", b'{"inputs": "a"}', headers={"Content-Type": "text/plain"})
    assert (reply.status, "Content-Type: application/json" in reply.json["error"]) == (422, True)


JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(some.characters(codec=None)),
    lambda inner: (
        some.lists(inner, max_size=4) | some.dictionaries(some.sampled_from(["text", "pair", "words"]), inner)
    ),
    max_leaves=8,
)
KEYS = some.sampled_from(["inputs", "tasks", "truncate", "all_scores", "raw_scores", "truncation_direction", "x"])


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=some.dictionaries(KEYS, JSON) | JSON, path=some.sampled_from(["/predict", "/predict/topic", "/predict/grade"])
)
def test_random_json_bodies_never_give_500(body: Any, path: str, client: Client) -> None:
    assert client.post(path, body).status in (200, 404, 413, 422)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=some.binary(max_size=60), path=some.sampled_from(["/predict", "/predict/topic"]))
def test_random_bytes_give_422(body: bytes, path: str, client: Client) -> None:
    assert client.send("POST", path, body).status == 422


@pytest.mark.slow
def test_fifty_concurrent_clients_get_their_own_predictions(server: Running, predictor: Predictor) -> None:
    source = random.Random(0)
    routes = ("/predict", "/predict/topic", "/predict/places", "/predict/grade")

    def text() -> str:
        return " ".join(source.choices(WORDS, k=source.randint(1, 30)))

    plans = [[(route, text(), text()) for route in source.sample(routes, 4) * 2] for _ in range(50)]
    before = counts(server)
    replies = {}

    def ask(client_number: int) -> None:
        with server.client() as client:
            for number, (route, first, pair) in enumerate(plans[client_number]):
                body = {"inputs": [first, pair] if route.endswith("grade") else [[first], [pair]]}
                replies[client_number, number] = client.post(route, body)

    with ThreadPoolExecutor(50) as threads:
        list(threads.map(ask, range(50)))
    for client_number, plan in enumerate(plans):
        for number, (route, first, pair) in enumerate(plan):
            reply = replies[client_number, number]
            task = route.removeprefix("/predict").strip("/")
            if task == "topic":
                expected: Any = [
                    predictor.predict(text, task=task, all_scores=True)["scores"] for text in (first, pair)
                ]
                actual: Any = [{s["label"]: s["score"] for s in scores} for scores in reply.json]
            else:
                actual = reply.json
                pair_or_texts: Any = (first, pair) if task == "grade" else [first, pair]
                expected = predictor.predict(pair_or_texts, task=task) if task else predictor.predict_all(pair_or_texts)
            assert (reply.status, same(actual, expected)) == (200, True), (route, first, pair)
    after = counts(server)
    batches, inputs = (
        after[f"nlpmtl_batch_inputs_{what}"] - before[f"nlpmtl_batch_inputs_{what}"] for what in ("count", "sum")
    )
    assert inputs == 50 * 2 * (3 * 2 + 1)
    assert inputs / batches > 2.5  # they were batched: without batching the mean would be 1.75


def counts(server: Running) -> dict[str, float]:
    """Return the metrics by series."""
    with server.client() as client:
        reply = client.get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = [line for line in reply.body.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_a_full_queue_gives_429_with_retry_after(predictor: Predictor) -> None:
    slow = Slow.like(predictor)
    with running(slow, Limits(queue=1)) as server, ThreadPoolExecutor(2) as threads:

        def ask(text: str) -> int:
            with server.client() as client:
                return client.post("/predict", {"inputs": text}).status

        first = threads.submit(ask, "a cat")
        assert slow.started.wait(30)
        second = threads.submit(ask, "a dog")
        wait_until(lambda: server.batcher.waiting == 1)
        assert counts(server)["nlpmtl_queue_requests"] == 1
        with server.client() as client:
            reply = client.post("/predict", {"inputs": "a bird"})
        assert (reply.status, reply.json["error_type"], reply.headers["retry-after"]) == (429, "Overloaded", "1")
        slow.may.set()
        assert (first.result(30), second.result(30)) == (200, 200)
        assert counts(server)['nlpmtl_requests_total{route="/predict",status="429"}'] == 1


def test_requests_of_disconnected_clients_are_not_computed(predictor: Predictor) -> None:
    slow = Slow.like(predictor)
    with running(slow) as server, ThreadPoolExecutor(1) as threads:

        def ask() -> int:
            with server.client() as client:
                return client.post("/predict", {"inputs": "a cat"}).status

        first = threads.submit(ask)
        assert slow.started.wait(30)
        body = b'{"inputs": "a dog"}'
        lines = ("POST /predict HTTP/1.1", "Host: x", "Content-Type: application/json", f"Content-Length: {len(body)}")
        head = "\r\n".join((*lines, "", ""))
        with socket.create_connection(("127.0.0.1", server.port)) as disconnected:
            disconnected.sendall(head.encode() + body)
            wait_until(lambda: server.batcher.waiting == 1)
        wait_until(lambda: counts(server).get('nlpmtl_requests_total{route="/predict",status="499"}') == 1)
        slow.may.set()
        assert first.result(30) == 200
        with server.client() as client:
            assert client.post("/predict", {"inputs": "a bird"}).status == 200
        assert slow.received == [["a cat"], ["a bird"]]


def test_new_requests_are_refused_during_shutdown(predictor: Predictor) -> None:
    slow = Slow.like(predictor)
    with running(slow) as server, ThreadPoolExecutor(1) as threads, server.client() as client:

        def ask() -> int:
            with server.client() as other:
                return other.post("/predict", {"inputs": "a cat"}).status

        first = threads.submit(ask)
        assert slow.started.wait(30)
        server.batcher.refuse()
        for reply in (client.post("/predict", {"inputs": "a dog"}), client.get("/health")):
            assert (reply.status, reply.json["error_type"]) == (503, "Unhealthy")
        slow.may.set()
        assert first.result(30) == 200


def test_a_failed_computation_is_a_server_error(predictor: Predictor) -> None:
    class Broken(Predictor):
        def predict_all(self, inputs: Any, **options: Any) -> Any:
            raise RuntimeError("out of memory")

    with running(Broken(predictor.model, predictor.tokenizer)) as server, server.client() as client:
        reply = client.post("/predict", {"inputs": "a"})
        assert (reply.status, reply.json["error_type"]) == (424, "Backend")
        assert reply.json["error"] == "the computation failed: RuntimeError"


def wait_until(true: Any) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_info_describes_the_model(client: Client, trained: Trained) -> None:
    info = client.get("/info").json
    assert (info["model_id"], info["version"]) == ("a-model", nlpmtl.__version__)
    assert (info["max_client_batch_size"], info["max_concurrent_requests"]) == (SMALL.inputs, SMALL.queue)
    assert info["max_input_length"] == trained.run["encoder"]["max_length"]
    assert info["tasks"]["topic"] == {
        "kind": "classification",
        "input": "text",
        "labels": ["animals", "places", "things"],
    }
    assert info["tasks"]["grade"] == {"kind": "regression", "input": "pair", "labels": []}


def test_openapi_describes_the_routes(client: Client) -> None:
    api = client.get("/openapi.json").json
    assert api["paths"].keys() == {"/predict", "/predict/{task}", "/info", "/health", "/metrics"}
    (task,) = api["paths"]["/predict/{task}"]["post"]["parameters"]
    assert task["schema"]["enum"] == ["grade", "kinds", "mood", "places", "topic"]
    request_schema = api["components"]["schemas"]["PredictRequest"]
    assert request_schema["required"] == ["inputs"]
    assert request_schema["properties"].keys() == {"inputs", "tasks", "truncate", "all_scores"}
    assert {"200", "404", "413", "422", "424", "429", "503"} == api["paths"]["/predict"]["post"]["responses"].keys()
    assert client.get("/docs").status == 200


def test_metrics_are_in_the_prometheus_format(client: Client, server: Running) -> None:
    client.post("/predict", {"inputs": [["a"], ["b"]]})
    client.get("/nowhere/at/all")
    text = client.get("/metrics").body.decode()
    series = re.compile(r'^([a-z_]+)(\{([a-z]+="[^"\\\n]*",?)*\})? (\d+|\d+\.\d+(e-\d+)?)$')
    types = dict(line.split()[2:4] for line in text.splitlines() if line.startswith("# TYPE"))
    names = set()
    for line in text.splitlines():
        if not line.startswith("# "):
            match = series.match(line)
            assert match, line
            names.add(re.sub("_(bucket|sum|count)$", "", match[1]))
    assert names == types.keys()
    values = counts(server)
    assert values['nlpmtl_requests_total{route="other",status="404"}'] >= 1
    assert values['nlpmtl_inputs_total{route="/predict"}'] >= 2
    bucket = 'nlpmtl_request_seconds_bucket{le="%s",route="/predict"}'
    rising = [values[bucket % bound] for bound in ("0.005", "0.1", "30.0", "+Inf")]
    assert rising == sorted(rising)
    assert rising[-1] == values['nlpmtl_request_seconds_count{route="/predict"}']
