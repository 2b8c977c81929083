"""From a scenario to a measured run: prediction, schedule, generator, record, run directory."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from baseload.cli.kept import meta, now, versions
from baseload.cli.prediction import FILE, Prediction, predict
from scenarios.errors import EnvironmentProblem, InvalidInput
from scenarios.units import nanoseconds
from serving_ref.loadtest.cpu import CpuWatch
from serving_ref.loadtest.launch import Sent, send
from serving_ref.loadtest.measured import measured
from serving_ref.loadtest.request_table import FILE as REQUESTS
from serving_ref.loadtest.request_table import write_requests
from serving_ref.loadtest.schedule import SentClass, Settings
from serving_ref.loadtest.service_metrics import ServiceWatch
from serving_ref.loadtest.target import Target, model_inputs, probe
from serving_ref.loadtest.validity import Limits, conduct
from serving_ref.loadtest.wire import Writer
from simulator.demand import draw
from simulator.money.bill import bill
from simulator.results.run_directory import write_run
from simulator.results.run_document import run_document

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from baseload.cli.progress import Meter
    from baseload.from_cluster.fleet_watch import FleetWatch
    from scenarios.demand import Demand
    from scenarios.load import LoadedScenario
    from scenarios.schema import RequestClass
    from serving_ref.loadtest.cpu import CpuUse
    from serving_ref.loadtest.launch import OnProgress
    from simulator.money.bill import PriceOf
    from simulator.results.recorded import SeedRecord
    from simulator.results.trees import Tree

DRAIN_S = 30.0
"""How long answers are waited for after the end of the run, where no time-out of the clients is longer."""
_MICRO = 1_000_000


@dataclass(frozen=True, eq=False)
class Load:
    """A load test that can begin."""

    loaded: LoadedScenario
    seed: int
    target: Target
    price_of: PriceOf
    prediction: Prediction
    schedule: Demand
    settings: Settings
    metrics: tuple[str, ...]
    """Addresses of the services' metrics."""
    fleet_from: str | None
    """Context of the cluster whose nodes are the fleet; None: the fleet is what the scenario says."""
    limits: Limits


def prepare(
    loaded: LoadedScenario,
    seed: int,
    target: Target,
    price_of: PriceOf,
    *,
    max_in_flight: int,
    connections: int,
    cpu: int | None,
    metrics: tuple[str, ...],
    fleet_from: str | None,
    limits: Limits,
    progress: Meter | None,
) -> Load:
    """Draw the schedule, predict what will be measured, and see that the target takes a request of each class.

    Raises as a simulation does, `Unsupported` for closed-loop users, and EnvironmentProblem where the target cannot
    be reached or refuses.
    """
    demand = draw(loaded, seed)
    if not demand:
        raise InvalidInput("nothing is sent in this run: give a longer duration, or a higher rate")
    scenario = loaded.scenario
    inputs = {
        route: model_inputs(target, route) for route in dict.fromkeys(each.route for each in scenario.classes)
    }
    timeouts_s = [each.timeout for each in scenario.classes if each.timeout is not None]
    settings = Settings(
        host=target.host,
        port=target.port,
        tls=target.tls,
        classes=tuple(
            _sent_class(each, target.infer_path(each.route), inputs[each.route]) for each in scenario.classes
        ),
        streams=tuple(each.name for each in scenario.arrivals),
        services=tuple(each.name for each in scenario.services),
        duration_ns=nanoseconds(scenario.run.duration),
        drain_ns=nanoseconds(max([DRAIN_S, *timeouts_s])),
        max_in_flight=max_in_flight,
        connections=min(connections, max_in_flight),
        key_prefix=secrets.token_hex(4),
        cpu=cpu,
    )
    for each in settings.classes:
        probe(target, each.name, Writer(settings, each).request("probe", 0, -1, 1, 0.0))
    prediction = predict(loaded, seed, price_of, progress)
    return Load(
        loaded=loaded,
        seed=seed,
        target=target,
        price_of=price_of,
        prediction=prediction,
        schedule=demand,
        settings=settings,
        metrics=metrics,
        fleet_from=fleet_from,
        limits=limits,
    )


def make(
    load: Load, watched: Mapping[str, int], directory: Path | None, on_progress: OnProgress, *, force: bool
) -> Tree:
    """Send the schedule, and return the run's document; written with its tables if there is a directory.

    `watched` are processes whose CPU use is measured, by name. The prediction is on disk before the load begins.
    """
    started = now()
    with _working_folder(directory) as folder:
        prediction = folder / FILE
        _write_through(prediction, load.prediction.text)
        with CpuWatch(watched) as watch, ServiceWatch(load.metrics) as services, _seeing(load) as nodes:
            sent = send(folder, load.schedule, load.settings, watch, on_progress)
        warmup_ns, end_ns = nanoseconds(load.loaded.scenario.run.warmup), load.settings.duration_ns
        cpu = watch.use(sent.start_ns + warmup_ns, sent.start_ns + end_ns)
        gaps = [gap for each in (watch, services, nodes) if each is not None for gap in each.gaps()]
        common = _run(load, sent, cpu, services, nodes, gaps)
        if directory is None:
            return run_document(**common)
        write_requests(folder / REQUESTS, load.loaded.scenario, load.seed, load.schedule, sent.recorded)
        attachments = (prediction, folder / REQUESTS)
        return write_run(
            directory, **common, attachments=attachments, meta=meta(started), force=force
        ).document


def _run(
    load: Load,
    sent: Sent,
    cpu: CpuUse | None,
    services: ServiceWatch,
    nodes: FleetWatch | None,
    gaps: list[str],
) -> dict[str, Any]:
    """What `write_run` and `run_document` take."""
    scenario = load.loaded.scenario
    start = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=sent.start_unix_ns // 1000)
    as_run = scenario.model_copy(update={"run": scenario.run.model_copy(update={"start": start})})
    record = _record(load, sent, services)
    if nodes is not None:
        record = replace(record, **vars(nodes.fleet(sent.start_ns, record.edges_ns)))
    return {
        "scenario": as_run,
        "digest": load.loaded.digest,
        "document": load.loaded.document,
        "records": [record],
        "lines": bill(as_run, [record], load.price_of),
        "engine": "load generator",
        "versions": versions("httptools", "numpy"),
        "source": "load-test",
        "load_test": {
            "target": str(load.target),
            "prediction": load.prediction.digest,
            "fleet": "as the scenario says" if nodes is None else f"nodes of {load.fleet_from}",
            "names_outcomes": sent.names_outcomes,
            "real_time_priority": sent.real_time,
            "most_in_flight": sent.most_in_flight,
            "max_in_flight": load.settings.max_in_flight,
            "connections": sent.connections,
            "connection_waits": sent.waits,
            "incomplete_because": gaps,
            **conduct(scenario, load.schedule, sent, cpu).document(load.limits),
        },
    }


def _record(load: Load, sent: Sent, services: ServiceWatch) -> SeedRecord:
    """The prediction's record, with all that was measured put in the place of what was predicted. What stays is the
    fleet and its cost: instances are those that the scenario says."""
    predicted, scenario = load.prediction.record, load.loaded.scenario
    client = measured(
        scenario, load.schedule, sent.recorded, predicted.edges_ns, predicted.histogram_edges_ns
    )
    inside = services.figures(scenario, sent.start_ns, predicted.edges_ns, nanoseconds(scenario.run.warmup))
    return replace(
        predicted,
        **vars(client),
        **vars(inside),
        path="open loop",
        path_reason=None,
        unseen_cache=not sent.names_outcomes,
    )


@contextmanager
def _seeing(load: Load) -> Iterator[FleetWatch | None]:
    """Watch the nodes of the cluster that was named, if one was."""
    if load.fleet_from is None:
        yield None
        return
    from baseload.from_cluster.fleet_watch import FleetWatch
    from baseload.from_cluster.read import connect

    client, _ = connect(load.fleet_from)
    with FleetWatch(client, load.loaded.scenario) as watch:
        yield watch


def _sent_class(each: RequestClass, path: str, inputs: tuple[Any, ...]) -> SentClass:
    retries = each.retries
    budget = retries.budget if retries else None
    return SentClass(
        name=each.name,
        path=path,
        timeout_ns=None if each.timeout is None else nanoseconds(each.timeout),
        max_retries=retries.max if retries else 0,
        budget_ratio=round(budget.ratio * _MICRO) if budget else -1,
        budget_cap=budget.burst * _MICRO if budget else 0,
        request_bytes=int(each.request_size),
        inputs=inputs,
    )


@contextmanager
def _working_folder(directory: Path | None) -> Iterator[Path]:
    """A hidden folder beside the run's directory (elsewhere without one), gone at the end whatever happens."""
    if directory is None:
        with tempfile.TemporaryDirectory(prefix="baseload-loadtest-") as folder:
            yield Path(folder)
        return
    working = directory.parent / f".{directory.name}.working-{os.getpid()}"
    try:
        working.mkdir(parents=True)
    except OSError as error:
        raise EnvironmentProblem(f"{working}: cannot be made: {error.strerror or error}") from None
    try:
        yield working
    finally:
        shutil.rmtree(working, ignore_errors=True)


def _write_through(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
