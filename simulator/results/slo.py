"""Was the promise kept? One SLO over one replication, and over several.

In at least `window_fraction` of the windows, at least `objective` of the logical requests were answered well
within the SLO's latency; a request that failed, for whatever cause, counts as infinitely late. A window
without traffic is kept. All comparisons are exact: counts against the objective as a fraction, not as a
binary float.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from scenarios.units import nanoseconds
from simulator.results.intervals import CONFIDENCE, clean_run_bound, clopper_pearson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scenarios.schema import Slo

_DECIMAL_PLACES = 10**9


@dataclass(frozen=True, slots=True)
class SloVerdict:
    """One SLO judged over one replication.

    `margin` is a share of requests: what the window that decides was above (or below) the objective. The
    window that decides is the best of those that may not fail: with `window_fraction` 99 % of 100 windows,
    the 99th best.
    """

    name: str
    good: int
    total: int
    windows: int
    windows_kept: int
    windows_needed: int
    margin: float
    error_budget_left: float | None
    """Of the requests that may miss, 1 − objective of all, the share that did not; below 0: overspent. None: without
    traffic, or where none may miss."""
    kept: bool

    @property
    def attainment(self) -> float | None:
        """Share of requests answered in time over the whole measured run; None without traffic."""
        return self.good / self.total if self.total else None


@dataclass(frozen=True, slots=True)
class SloEvidence:
    """What several independent replications say of the probability that an SLO is kept in a run like this."""

    seeds: int
    seeds_kept: int
    low: float
    high: float
    clean_bound: float | None
    """If all kept it: the least probability that so many clean runs support (one-sided), about 1 − 3/n."""
    confidence: float = CONFIDENCE


def window_edges_ns(slo: Slo, warmup_ns: int, end_ns: int) -> list[int]:
    """Edges of the SLO's windows: from the end of the warm-up on; the last window may be a shorter one.

    The engine's timeline has all of them among its edges.
    """
    if slo.window is None:
        return [warmup_ns, end_ns]
    return [*range(warmup_ns, end_ns, nanoseconds(slo.window)), end_ns]


def judge(
    slo: Slo,
    edges_ns: NDArray[np.int64],
    good: NDArray[np.int64],
    total: NDArray[np.int64],
    *,
    warmup_ns: int,
    unfinished_late: int,
) -> SloVerdict:
    """Judge one replication from cumulative counts at the timeline's edges.

    `unfinished_late` requests, open at the end and late already, are missed in the last window. ValueError
    if a window's edge is not among `edges_ns`: that would be a defect of whoever recorded them.
    """
    windows = np.asarray(window_edges_ns(slo, warmup_ns, int(edges_ns[-1])), dtype=np.int64)
    rows = np.searchsorted(edges_ns, windows)
    if not np.array_equal(edges_ns[rows], windows):
        raise ValueError(f"SLO {slo.name}: the timeline has no edges where its windows have")
    window_good, window_total = np.diff(good[rows]), np.diff(total[rows])
    window_total[-1] += unfinished_late
    objective = _exact(slo.objective)
    kept = window_good * objective.denominator >= window_total * objective.numerator
    needed = math.ceil(_exact(slo.window_fraction) * len(kept))
    shares = np.divide(window_good, window_total, out=np.ones(len(kept)), where=window_total > 0)
    deciding = float(np.sort(shares)[::-1][max(needed, 1) - 1])
    return SloVerdict(
        name=slo.name,
        good=int(window_good.sum()),
        total=int(window_total.sum()),
        windows=len(kept),
        windows_kept=int(kept.sum()),
        windows_needed=needed,
        margin=deciding - float(objective),
        error_budget_left=error_budget_left(int(window_good.sum()), int(window_total.sum()), objective),
        kept=bool(kept.sum() >= needed),
    )


def error_budget_left(good: int, total: int, objective: Fraction) -> float | None:
    """The part of an SLO's error budget that is left over the whole measured run, whatever its windows.

    The budget is 1 − objective of the requests, as in B. Beyer et al., Site Reliability Engineering (2016), ch. 3:
    left = 1 − (total − good) / ((1 − objective) · total). None where there is no budget.
    """
    budget = (1 - objective) * total
    return None if budget == 0 else float(1 - (total - good) / budget)


def evidence(kept: Sequence[bool]) -> SloEvidence:
    """Weigh the verdicts of independent replications."""
    low, high = clopper_pearson(sum(kept), len(kept))
    return SloEvidence(len(kept), sum(kept), low, high, clean_run_bound(len(kept)) if all(kept) else None)


def _exact(share: float) -> Fraction:
    """The decimal fraction that a person wrote: 7 % is 7/100, not the binary number next to it."""
    return Fraction(share).limit_denominator(_DECIMAL_PLACES)
