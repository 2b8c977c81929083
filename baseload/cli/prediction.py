"""What a simulation says of a load test before it is made.

The same scenario and seed give the same result to the last byte, so a digest of it, written down before the load
begins, proves later that the prediction was not made to fit.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from baseload.cli.kept import SIMULATION, versions
from simulator.money.bill import bill
from simulator.results.run_document import run_document
from simulator.results.trees import canonical_json
from simulator.run import simulate

if TYPE_CHECKING:
    from baseload.cli.progress import Meter
    from scenarios.load import LoadedScenario
    from simulator.money.bill import PriceOf
    from simulator.results.recorded import SeedRecord
    from simulator.results.trees import Tree

FILE = "prediction.json"
"""Where a load test keeps the `run.json` of its prediction."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """A simulation of exactly the run that is made."""

    record: SeedRecord
    document: Tree
    """What its `run.json` would say."""

    @property
    def text(self) -> str:
        """The document as it is written."""
        return canonical_json(self.document)

    @property
    def digest(self) -> str:
        """SHA-256 of `text`."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def predict(
    loaded: LoadedScenario, seed: int, price_of: PriceOf, progress: Meter | None = None
) -> Prediction:
    """Simulate a scenario with one seed, and tell how far it is. Raises as `simulate` does."""
    record = simulate(loaded, seed, progress=progress, on_path=progress.announce if progress else None)
    document = run_document(
        scenario=loaded.scenario,
        digest=loaded.digest,
        document=loaded.document,
        records=[record],
        lines=bill(loaded.scenario, [record], price_of),
        engine="kernel",
        versions=versions(*SIMULATION),
    )
    return Prediction(record, document)
