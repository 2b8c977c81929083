"""A service's circuit breaker: closed, open for a time, half-open with a few probes (M. Nygard, Release It!)."""

from __future__ import annotations

from typing import Any

from simulator.dataplane.compiled import inlined
from simulator.dataplane.memory import count_service, flights, outcomes, services
from simulator.dataplane.records import CLOSED, HALF_OPEN, OPEN
from simulator.results.recorded import SERVICE_COUNTERS

BREAKER_OPENED = SERVICE_COUNTERS.index("breaker_opened")


@inlined
def admit(p: Any, s: Any, f: Any, t: Any) -> Any:
    """Whether the breaker of service s lets flight f through at t; half-open, it becomes a probe."""
    service = services(p, s)
    flight = flights(p, f)
    flight.noted = 0
    flight.probe_epoch = 0
    if service.breaker == 0 or service.mode == CLOSED:
        return True
    if service.mode == OPEN:
        if t < service.open_until_ns:
            return False
        service.mode = HALF_OPEN
        service.epoch += 1
        service.probes_left = service.probes
        service.probes_ok = 0
    if service.probes_left == 0:
        return False
    service.probes_left -= 1
    flight.probe_epoch = service.epoch
    return True


@inlined
def _open(p: Any, s: Any, t: Any) -> None:
    service = services(p, s)
    service.mode = OPEN
    service.open_until_ns = t + service.open_ns
    service.noted = 0
    service.errors = 0
    service.slow_run = 0
    count_service(p, s, BREAKER_OPENED, 1)


@inlined
def note(p: Any, s: Any, f: Any, t: Any, ok: Any) -> None:
    """Tell the breaker of service s how flight f's call went; the first word about a flight counts."""
    service = services(p, s)
    flight = flights(p, f)
    if service.breaker == 0 or flight.noted:
        return
    flight.noted = 1
    if service.mode == HALF_OPEN:
        if flight.probe_epoch != service.epoch:
            return
        if not ok:
            _open(p, s, t)
        else:
            service.probes_ok += 1
            if service.probes_ok == service.probes:
                service.mode = CLOSED
    elif service.mode == CLOSED:
        if ok and t - flight.enqueue_ns <= service.slow_ns:
            service.slow_run = 0
        elif ok:
            service.slow_run += 1
        # The last `window` calls, in a ring that `noted` counts round.
        at = service.outcomes_at + service.noted % service.window
        failed = 0 if ok else 1
        service.errors += failed - (outcomes(p, at).failed if service.noted >= service.window else 0)
        outcomes(p, at).failed = failed
        service.noted += 1
        too_many = (
            service.max_errors >= 0
            and service.noted >= service.window
            and service.errors > service.max_errors
        )
        if too_many or service.slow_run >= service.slow_consecutive:
            _open(p, s, t)
