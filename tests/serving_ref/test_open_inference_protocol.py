"""Every path of the Open Inference Protocol, at both servers, with and without a version.

github.com/kserve/open-inference-protocol, specification/protocol: inference_rest.md and open_inference_rest.yaml.
"""

from __future__ import annotations

import json

import pytest

from tests.serving_ref.loadtest.servers import Answer
from tests.serving_ref.loadtest.servers import Server as Upstream
from tests.serving_ref.servers import Server, infer_body, outcomes, upstream, wait_until

BODY = infer_body(0.25, ident="one")
LOADING = {
    "synthetic": {"load": "10m"},
    "ready": lambda it: it.request("GET", "/v2/health/live").status == 200,
}


@pytest.fixture(scope="module")
def model_server(shared_servers):
    return shared_servers.model_server("1ms", instances=8)


@pytest.fixture(scope="module")
def gateway(shared_servers, model_server):
    return shared_servers.gateway([model_server])


@pytest.fixture(params=["gateway", "model server"])
def spoken(request, gateway, model_server):
    """A server, and the public name of what it serves."""
    return (gateway, "main") if request.param == "gateway" else (model_server, "m")


versions = pytest.mark.parametrize("version", ["", "/versions/1"])


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
def test_server_metadata(spoken, path):
    server, _ = spoken
    answer = server.request("GET", path)
    assert answer.status == 200
    assert {name: type(value) for name, value in answer.document.items() if name != "routes"} == {
        "name": str, "version": str, "extensions": list,
    }  # fmt: skip


def test_server_health(spoken):
    """The specification's text calls the field of both answers `live`; servers there are call the other one `ready`."""
    server, _ = spoken
    live, ready = (server.request("GET", f"/v2/health/{each}") for each in ("live", "ready"))
    assert (live.status, live.document) == (200, {"live": True})
    assert (ready.status, ready.document) == (200, {"live": True, "ready": True})


@versions
def test_model_ready(spoken, version):
    server, name = spoken
    answer = server.request("GET", f"/v2/models/{name}{version}/ready")
    assert (answer.status, answer.document) == (200, {"name": name, "ready": True})


@versions
def test_model_metadata(spoken, version):
    server, name = spoken
    answer = server.request("GET", f"/v2/models/{name}{version}")
    assert answer.status == 200
    document = answer.document
    assert (document["name"], document["versions"]) == (name, ["1"])
    assert isinstance(document["platform"], str)
    assert document["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 1]}]
    assert [set(each) for each in document["outputs"]] == [{"name", "datatype", "shape"}] * 2


@versions
def test_inference(spoken, version):
    server, name = spoken
    answer = server.request("POST", f"/v2/models/{name}{version}/infer", BODY)
    assert (answer.status, answer.outcome) == (200, "model")
    document = answer.document
    assert (document["model_name"], document["model_version"], document["id"]) == ("m", "1", "one")
    assert document["outputs"][0] == {"name": "y", "datatype": "FP32", "shape": [1, 1], "data": [0.25]}


ABSENT = [
    "other{}",
    "main/versions/2{}",
    "m/versions/2{}",
    "main/versions/{}",
    "a/b{}",
    "{}",
    "main/versions/1/1{}",
]
INJECTED = ["main/versions/1%0d%0aconnection:%20close{}", "main/versions/1%20HTTP/1.1{}", "m%2F..%2Fm{}"]


@pytest.mark.parametrize("place", ABSENT + INJECTED)
@pytest.mark.parametrize("what", ["", "/ready", "/infer"])
def test_what_is_not_there_is_404_with_a_reason(spoken, place, what):
    """Also where a version is made to look like more lines of a request."""
    server, _ = spoken
    answer = server.request("POST" if what == "/infer" else "GET", f"/v2/models/{place.format(what)}", BODY)
    assert answer.status == 404
    assert set(answer.document) == {"error"}
    assert isinstance(answer.document["error"], str)
    if what == "/infer":
        assert answer.outcome == "invalid"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v2/models/{}/infer", "POST"), ("PUT", "/v2/models/{}/versions/1/infer", "POST"),
        ("POST", "/v2/models/{}", "GET"), ("DELETE", "/v2/models/{}/ready", "GET"), ("POST", "/v2", "GET"),
        ("POST", "/v2/health/live", "GET"), ("PUT", "/v2/health/ready", "GET"), ("POST", "/metrics", "GET"),
    ],
)  # fmt: skip
def test_another_method_is_405_and_told_which(spoken, method, path, allowed):
    server, name = spoken
    answer = server.request(method, path.format(name), BODY)
    assert (answer.status, answer.headers["allow"]) == (405, allowed)
    assert answer.document["error"]


def test_errors_are_error_objects(spoken):
    server, name = spoken
    answer = server.request("POST", f"/v2/models/{name}/infer", b"{")
    assert answer.status == 400
    assert set(answer.document) == {"error"}


def test_every_inference_request_is_counted_at_the_model_server_wherever_it_was_sent(servers):
    server = servers.model_server("1ms")
    server.infer("m", BODY)
    server.infer("m/versions/1", BODY)
    server.infer("m/versions/2", BODY)
    server.request("GET", "/v2/models/m/infer")
    found = {
        each: server.metric("baseload_model_server_requests_total", outcome=each)
        for each in ("model", "invalid")
    }
    assert found == {"model": 2, "invalid": 2}


def test_a_model_that_loads_is_not_ready_and_says_so(servers):
    server = servers.model_server(**LOADING)
    for path in ("/v2/models/m/ready", "/v2/models/m/versions/1/ready"):
        answer = server.request("GET", path)
        assert (answer.status, answer.document) == (503, {"name": "m", "ready": False})
    health = server.request("GET", "/v2/health/ready")
    assert (health.status, health.document) == (503, {"live": True, "ready": False})
    metadata = server.request("GET", "/v2/models/m")
    assert (metadata.status, metadata.document) == (503, {"error": "the model is not ready"})
    gateway = servers.gateway([server])
    ready = gateway.request("GET", "/v2/models/main/ready")
    assert (ready.status, ready.document) == (503, {"name": "main", "ready": False})
    assert gateway.request("GET", "/v2/models/main").status == 503
    assert gateway.is_ready(), "it serves its other routes"


def test_a_route_is_ready_when_each_of_its_services_is(servers, model_server):
    other = servers.model_server(**LOADING)
    targets = [{"service": "large", "weight": 9}, {"service": "new", "weight": 1}]
    gateway = servers.gateway(
        services=[upstream("large", [model_server]), upstream("new", [other, model_server], eject=0)],
        routes=[{"name": "main", "targets": targets}, {"name": "old", "targets": [{"service": "large"}]}],
    )

    def ready(route: str) -> int:
        return gateway.request("GET", f"/v2/models/{route}/ready").status

    assert (ready("main"), ready("old")) == (200, 200), "one replica that is up is enough"
    gateway = servers.gateway(
        services=[upstream("large", [model_server]), upstream("new", [other])],
        routes=[{"name": "main", "targets": targets}, {"name": "old", "targets": [{"service": "large"}]}],
    )
    assert (ready("main"), ready("old")) == (503, 200)


@pytest.mark.redis
def test_a_version_is_asked_of_the_model_server_and_shares_no_answers_with_another(servers):
    def answer(seen) -> Answer:
        version = (
            seen.path.removesuffix("/infer").rpartition("/versions/")[2]
            if "versions" in seen.path
            else "latest"
        )
        return Answer(body=json.dumps({"model_name": "m", "model_version": version, "outputs": []}).encode())

    redis = servers.redis()
    with Upstream(answer) as model_servers:
        service = upstream("ranker", []) | {"endpoints": {"addresses": [f"127.0.0.1:{model_servers.port}"]}}
        gateway = servers.gateway(
            services=[service], redis={"url": f"redis://{redis.address}/0", "timeout": "2s"},
            routes=[
                {"name": "main", "targets": [{"service": "ranker"}], "cache": {"ttl": "60s"}, "coalesce": True}
            ],
        )  # fmt: skip

        def version_from(path: str, outcome: str) -> str:
            found = wait_until(
                lambda: (it := gateway.infer(path, BODY, baseload_key="k")).outcome == outcome and it, outcome
            )
            return found.document["model_version"]

        for path, version in (
            ("main", "latest"),
            ("main/versions/1", "1"),
            ("main/versions/v2.0-rc_1", "v2.0-rc_1"),
        ):
            assert version_from(path, "model") == version
            assert version_from(path, "cache") == version
    assert [each.path for each in model_servers.inferred] == [
        f"/v2/models/m{version}/infer" for version in ("", "/versions/1", "/versions/v2.0-rc_1")
    ]


@pytest.mark.parametrize("said", [b"hello", b"[]", b"5"])
def test_metadata_that_is_none_is_an_error_in_words(servers, said):
    with Upstream(get=lambda _: Answer(200, body=said)) as model_servers:
        service = upstream("ranker", []) | {"endpoints": {"addresses": [f"127.0.0.1:{model_servers.port}"]}}
        gateway: Server = servers.gateway(services=[service])
        answer = gateway.request("GET", "/v2/models/main")
    assert (answer.status, answer.document) == (
        502,
        {"error": "the model server's metadata is no JSON object"},
    )
    assert outcomes([answer]) == {"none": 1}
