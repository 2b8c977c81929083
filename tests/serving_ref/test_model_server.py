"""The model server as its clients meet it: real processes, real HTTP."""

import json
import warnings

import numpy as np
import onnxruntime
import pytest
from click.testing import CliRunner

from scenarios.errors import EnvironmentProblem
from serving_ref.model_server.__main__ import main
from serving_ref.model_server.onnx_model import PROVIDERS, OnnxRuntime
from serving_ref.model_server.repository import main as lay_out
from serving_ref.model_server.settings import OnnxModel
from tests.serving_ref.servers import Server, Traffic, infer_body, outcomes, side_by_side, wait_until

MAGIKA = {"name": "magika", "onnx": {"package": "magika"}}


def is_live(server):
    return server.request("GET", "/v2/health/live").status == 200


@pytest.fixture(scope="module")
def plain(shared_servers):
    """One item a batch."""
    return shared_servers.model_server("1ms")


def test_the_protocols_paths_answer(plain):
    assert plain.request("GET", "/v2").document["name"] == "baseload-model-server"
    assert plain.request("GET", "/v2/models/m/ready").status == 200
    assert plain.request("GET", "/v2/models/m/versions/1/ready").status == 200
    metadata = plain.request("GET", "/v2/models/m").document
    assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 1]}]
    assert [each["name"] for each in metadata["outputs"]] == ["y", "confidence"]
    answer = plain.infer("m/versions/1", infer_body(0.25, ident="one"))
    assert (answer.status, answer.outcome) == (200, "model")
    assert answer.document["id"] == "one"
    assert answer.output("y") == [0.25]
    assert answer.output("confidence") == [0.75]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404), ("POST", "/", 404), ("GET", "/v2/models/other", 404),
        ("POST", "/v2/models/other/infer", 404),
        ("GET", "/v2/models/m/infer", 405), ("PUT", "/v2/models/m/infer", 405), ("POST", "/v2/models/m", 405),
    ],
)  # fmt: skip
def test_other_paths_and_methods_are_refused(plain, method, path, status):
    assert plain.request(method, path, infer_body(0.5)).status == status


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", infer_body(0.5)[:-3], infer_body(0.1, 0.2)])
def test_what_it_cannot_run_is_the_clients_fault(plain, body):
    """The last has two items, for a model with batches of one."""
    answer = plain.infer("m", body)
    assert (answer.status, answer.outcome) == (400, "invalid")
    assert answer.document["error"]


def test_only_the_outputs_that_were_asked_for_come_back(plain):
    asked = {**json.loads(infer_body(0.5)), "outputs": [{"name": "confidence"}]}
    assert [each["name"] for each in plain.infer("m", json.dumps(asked).encode()).document["outputs"]] == [
        "confidence"
    ]
    asked["outputs"] = [{"name": ["confidence"]}]
    assert plain.infer("m", json.dumps(asked).encode()).status == 400


def test_it_is_live_while_it_loads_and_ready_only_when_warm(servers):
    server = servers.model_server(synthetic={"load": "1s", "warm_up": "1s"}, ready=is_live)
    assert server.request("GET", "/v2/health/ready").status == 503
    assert server.infer("m", infer_body(0.5)).outcome == "no_replica"
    assert server.metric("baseload_model_server_ready") == 0
    wait_until(server.is_ready, "the model to be warm")
    assert server.infer("m", infer_body(0.5)).status == 200


def test_a_model_that_cannot_be_loaded_is_not_live(servers):
    server = servers.model_server(
        model={"name": "m", "onnx": {"file": "missing.onnx"}},
        ready=lambda server: server.request("GET", "/v2/health/live").status == 500,
    )
    assert "missing.onnx: there is no such model" in server.log.read_text()


def test_requests_share_batches_and_keep_their_own_answers(servers):
    server = servers.model_server("40ms", batching={"max_batch_size": 16, "max_queue_delay": "20ms"},
                                  synthetic={"latency": {"fixed": "40ms", "per_item": "1us"}})  # fmt: skip
    values = [number / 64 for number in range(64)]
    answers = side_by_side([lambda value=value: server.infer("m", infer_body(value)) for value in values], 64)
    assert [answer.output() for answer in answers] == [[value] for value in values]
    assert server.metric("baseload_model_server_batch_items_sum") == 64
    assert server.metric("baseload_model_server_batch_items_count") < 32
    assert server.metric("baseload_model_server_requests_total", outcome="model") == 64


@pytest.mark.parametrize(
    "batching",
    [
        {"max_batch_size": 8, "preferred_batch_sizes": [4]},
        {"max_batch_size": 4},
        {"max_batch_size": 8, "max_batch_requests": 4},
    ],
)
def test_a_batch_that_may_go_does_not_wait_for_the_delay(servers, batching):
    """The delay is ten minutes, which no client here waits."""
    curve = {"latency": {"fixed": "5ms", "per_item": "1us"}}
    server = servers.model_server(
        synthetic=curve, batching={"max_queue_delay": "10m", **batching}, instances=2
    )
    for _ in range(3):
        answers = side_by_side([lambda: server.infer("m", infer_body(0.5))] * 4, 4)
        assert outcomes(answers) == {"model": 4}
    assert server.metric("baseload_model_server_batch_items_count") == 3


def test_a_batch_that_may_not_go_waits_for_the_delay(servers):
    """Again and again, whichever of the two idle threads watches the queue."""
    curve = {"latency": {"fixed": "5ms", "per_item": "1us"}}
    batching = {"max_queue_delay": "300ms", "max_batch_size": 8}
    server = servers.model_server(synthetic=curve, batching=batching, instances=2)
    for _ in range(3):
        answers = side_by_side([lambda: server.infer("m", infer_body(0.5))] * 3, 3)
        assert outcomes(answers) == {"model": 3}
        assert max(answer.latency_s for answer in answers) >= 0.3
    assert server.metric("baseload_model_server_queue_wait_seconds_sum") >= 0.9


def test_a_full_queue_refuses_and_says_when_to_come_back(servers):
    server = servers.model_server("300ms", batching={"max_queue_size": 2})
    answers = side_by_side([lambda: server.infer("m", infer_body(0.5))] * 12, 12)
    refused = [answer for answer in answers if answer.outcome == "queue_full"]
    assert refused
    assert {(answer.status, answer.headers["retry-after"]) for answer in refused} == {(503, "1")}
    assert outcomes(answers).keys() == {"model", "queue_full"}
    assert server.metric("baseload_model_server_requests_total", outcome="queue_full") == len(refused)


@pytest.mark.parametrize("drop", [True, False])
def test_a_request_whose_time_is_over_is_left_out_where_the_service_says_so(servers, drop):
    """One batch slot, taken for 400 ms: the second request's 50 ms are over when its turn comes."""
    server = servers.model_server("400ms", batching={"drop_expired": drop})
    with Traffic(lambda _: server.infer("m", infer_body(0.5)), clients=1) as _:
        wait_until(lambda: server.metric("baseload_model_server_in_service") == 1, "a batch in service")
        late = server.infer("m", infer_body(0.5), baseload_timeout_ms="50")
    assert (late.status, late.outcome) == ((504, "timeout") if drop else (200, "model"))


def test_high_priority_overtakes(servers):
    """Ten wait for one slot of 200 ms; who comes last with priority 7 is in the next batch, or the one after it."""
    server = servers.model_server("200ms")
    with Traffic(lambda _: server.infer("m", infer_body(0.5), baseload_priority="0"), clients=10) as low:
        wait_until(lambda: server.metric("baseload_model_server_queue_depth") >= 8, "a queue")
        before = len(low.answers)
        assert server.infer("m", infer_body(0.5), baseload_priority="7").status == 200
        assert len(low.answers) - before <= 3


def test_on_sigterm_it_answers_what_it_has_and_leaves(servers):
    server = servers.model_server(
        "200ms", batching={"max_batch_size": 4}, synthetic={"latency": {"fixed": "200ms", "per_item": "1us"}},
        drain={"notice": "3s"},
    )  # fmt: skip
    with Traffic(lambda _: server.infer("m", infer_body(0.5)), clients=8) as traffic:
        traffic.wait_for(8)
        server.process.terminate()
        wait_until(
            lambda: server.request("GET", "/v2/health/ready").status == 503, "not to be ready, but there"
        )
        in_the_notice = server.infer("m", infer_body(0.5))
        assert (in_the_notice.status, in_the_notice.headers["connection"]) == (200, "close")
        assert server.process.wait(30) == 0
    answers = traffic.answers
    # What it took it answered; whoever came later met a closed door.
    assert outcomes(answers).keys() <= {"model", "connection error"}
    assert all(answer.latency_s < 0.1 for answer in answers if answer.status == 0), (
        "none was cut off in the middle"
    )


def inputs_of(server: Server, items: int) -> bytes:
    rows = np.random.default_rng(items).integers(0, 257, (items, 2048))
    return json.dumps(
        {
            "inputs": [
                {"name": "bytes", "datatype": "INT32", "shape": [items, 2048], "data": rows.ravel().tolist()}
            ]
        }
    ).encode()


@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param(
            "cuda",
            marks=pytest.mark.skipif(
                "CUDAExecutionProvider" not in onnxruntime.get_available_providers(), reason="needs a GPU"
            ),
        ),
    ],
)
def test_a_batch_answers_as_its_requests_one_by_one(servers, device):
    """A real model, magika: to 1e-5, which is what float32 sums in another order differ by."""
    model = {"name": "magika", "onnx": {"package": "magika", "device": device}}
    alone = servers.model_server(model=model, batching={"max_batch_size": 2})
    batching = {"max_batch_size": 8, "max_queue_delay": "500ms"}
    together = servers.model_server(model=model, batching=batching)
    assert together.request("GET", "/v2/models/magika").document["platform"] == f"onnxruntime-{device}"
    bodies = [inputs_of(together, items) for items in (1, 2, 1, 2, 1, 1)]
    expected = [alone.infer("magika", body) for body in bodies]
    answers = side_by_side([lambda body=body: together.infer("magika", body) for body in bodies], 6)
    assert together.metric("baseload_model_server_batch_items_count") < 5
    for one, other in zip(expected, answers, strict=True):
        for output in ("target_label", "confidence"):
            np.testing.assert_allclose(one.output(output), other.output(output), atol=1e-5)


CUDA = {"name": "magika", "onnx": {"package": "magika", "device": "cuda"}}


def test_who_insists_on_cuda_is_never_ready_without_it(servers, monkeypatch):
    """Its probes fail, and its log says why: better than to compute on the CPU beside a GPU that is paid for."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    server = servers.model_server(
        model=CUDA, ready=lambda each: each.request("GET", "/v2/health/live").status == 500
    )
    assert not server.is_ready()
    assert "EnvironmentProblem: onnxruntime" in server.log.read_text()


@pytest.mark.parametrize("device", ["cuda", "auto"])
def test_cuda_that_does_not_start_is_not_taken_for_cuda(monkeypatch, tmp_path, device):
    """As onnxruntime-gpu on a machine without a GPU: it offers CUDA, and makes a session for the CPU without a word."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: list(PROVIDERS.values()))
    settings = OnnxModel(package="magika", device=device)
    with warnings.catch_warnings(action="ignore"):
        if device == "cuda":
            with pytest.raises(EnvironmentProblem, match="cannot start CUDA"):
                OnnxRuntime(settings, tmp_path)
        else:
            assert OnnxRuntime(settings, tmp_path).platform == "onnxruntime-cpu"


def test_what_is_wrong_in_a_settings_file_is_named(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("service: ranker\nmodel: {name: m, synthetic: {latency: {table: [[1, 5]]}}}\nports: 80\n")
    result = CliRunner().invoke(main, ["--settings", str(path)])
    assert result.exit_code == 3
    assert "expected a duration with a unit, such as 5s or 5ms" in result.output
    assert "ports" in result.output
    assert CliRunner().invoke(main, ["--settings", str(tmp_path / "none.yaml")]).exit_code == 6


def test_a_real_model_is_laid_out_for_triton(tmp_path):
    (tmp_path / "settings.yaml").write_text("service: s\nmodel: {name: m, onnx: {package: magika}}\n")
    (tmp_path / "config.pbtxt").write_text('name: "m"\n')
    options = ["--settings", "settings.yaml", "--config", "config.pbtxt", "--to", "models"]
    arguments = [str(tmp_path / each) if not each.startswith("--") else each for each in options]
    result = CliRunner().invoke(lay_out, arguments)
    assert result.exit_code == 0, result.output
    laid_out = {
        str(path.relative_to(tmp_path / "models"))
        for path in (tmp_path / "models").rglob("*")
        if path.is_file()
    }
    assert laid_out == {"m/config.pbtxt", "m/1/model.onnx"}
    (tmp_path / "settings.yaml").write_text(
        "service: s\nmodel: {name: m, synthetic: {latency: {per_item: 1ms}}}\n"
    )
    assert CliRunner().invoke(lay_out, arguments).exit_code == 4
