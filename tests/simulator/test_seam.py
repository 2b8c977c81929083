"""What a data plane promises to who changes the fleet (docs/decisions/0001-seam.md)."""

import pytest

from scenarios.fleet import AddReplica, DrainReplica
from simulator.dataplane.kernel_plane import kernel_plane
from simulator.dataplane.reference_plane import ReferencePlane
from simulator.dataplane.resolve_fleet import resolve
from tests.simulator.small import SECOND, document, load


@pytest.fixture(params=[kernel_plane, ReferencePlane])
def plane(request):
    changed = document()
    changed["services"][0]["queue"] = "shared"  # so that any replica can take what waits
    loaded = load(changed)
    return request.param(resolve(loaded.scenario, loaded.files, 1, log=False))


def add(replica):
    return AddReplica(replica, "ranker", "gpu", replica, 0)


def seen(plane):
    snapshot = plane.observe()
    (service,) = snapshot.services
    return service.ready_replicas, service.draining_replicas, snapshot.drained


def test_a_drained_replica_is_not_forgotten_before_a_snapshot_has_told_of_it(plane):
    plane.apply([add(1), add(2), add(3)])
    plane.apply([DrainReplica(2)])  # idle: it has nothing left to do at once
    plane.apply([add(4)])
    plane.apply([DrainReplica(3)])
    assert seen(plane) == (2, 2, (2, 3))
    assert seen(plane) == (2, 2, (2, 3)), "told of until the next change"
    plane.apply([add(5)])
    assert seen(plane) == (3, 0, ())


def test_a_replica_that_still_works_is_not_told_of(plane):
    plane.apply([add(1)])
    plane.advance(10 * SECOND)
    plane.apply([add(2), DrainReplica(1)])
    assert seen(plane) == (1, 1, ()), "overloaded: a batch was under way"
    plane.apply([add(3)])
    plane.advance(12 * SECOND)
    assert seen(plane) == (2, 1, (1,))
