"""The bill by charge period and kind of cost, mean over seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from datetime import datetime

    import pyarrow as pa
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_COMPUTE = "Amazon Elastic Compute Cloud"


@dataclass(frozen=True)
class Charges:
    """What each charge period cost, by kind."""

    days: tuple[tuple[float, float], ...]
    """Beginning and end of each charge period (a day in UTC, or the part of it that was run), in seconds from
    the start of the run."""
    usd: dict[str, Floats]
    """By kind of cost (on-demand instances, spot instances, …), the dearest first: a figure a charge period."""

    @property
    def kinds(self) -> list[str]:
        """Kinds of cost, the dearest first."""
        return list(self.usd)

    @classmethod
    def of(cls, table: pa.Table, start: datetime, seeds: int) -> Charges:
        """From `costs.parquet`, whose rows are FOCUS line items."""
        rows = table.select(
            ["ChargePeriodStart", "ChargePeriodEnd", "ServiceName", "x_CapacityType", "BilledCost"]
        ).to_pylist()
        periods = sorted({(row["ChargePeriodStart"], row["ChargePeriodEnd"]) for row in rows})
        place = {begin: index for index, (begin, _) in enumerate(periods)}
        usd: dict[str, Floats] = {}
        for row in rows:
            of_kind = usd.setdefault(_kind(row["ServiceName"], row["x_CapacityType"]), np.zeros(len(periods)))
            of_kind[place[row["ChargePeriodStart"]]] += float(row["BilledCost"]) / seeds
        return cls(
            tuple(((begin - start).total_seconds(), (end - start).total_seconds()) for begin, end in periods),
            dict(sorted(usd.items(), key=lambda item: (-item[1].sum(), item[0]))),
        )


def _kind(service: str, capacity_type: str | None) -> str:
    return f"{capacity_type} instances" if service == _COMPUTE else service
