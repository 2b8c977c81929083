"""One experiment for both engines: a scenario document, the files it names, a seed, and what the fleet does."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scenarios.fleet import AddReplica, Change, DrainReplica, KillReplica
from scenarios.references import broken_references
from scenarios.schema import Scenario
from scenarios.unsupported import unsupported_features
from simulator.dataplane.resolve_fleet import resolve
from simulator.dataplane.specification import Specification

_CHANGES = {"add": AddReplica, "drain": DrainReplica, "kill": KillReplica}
Move = tuple[Any, ...]
"""A change of the fleet as plain data: ("add", replica, service, pool, instance, number), ("drain", replica), …"""


@dataclass(frozen=True)
class Case:
    """Plain data all through, so that a failing one can be printed, kept and run again."""

    scenario: dict[str, Any]
    files: dict[str, str]
    """Content of each `file:` of the document."""
    seed: int
    steps: tuple[tuple[int, tuple[Move, ...]], ...]
    """Time in ns, ascending, and what is applied then."""
    end_ns: int

    def __repr__(self) -> str:
        return f"Case.of(r'''{json.dumps(asdict(self))}''')"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """How hypothesis prints a failing example: so that it can be pasted."""
        printer.text(repr(self))

    @classmethod
    def of(cls, text: str) -> Case:
        """The case that a failure printed."""
        data = json.loads(text)
        steps = tuple((time_ns, tuple(map(tuple, moves))) for time_ns, moves in data.pop("steps"))
        return cls(**data, steps=steps)

    def specification(self) -> Specification:
        """The scenario, checked as the loader checks it, and resolved for the engines."""
        scenario = Scenario.model_validate(self.scenario)
        wrong = [*broken_references(scenario), *unsupported_features(scenario)]
        assert not wrong, f"the strategy made a scenario that the loader refuses: {wrong}"
        with tempfile.TemporaryDirectory() as folder:
            paths = {name: Path(folder) / name for name in self.files}
            for name, path in paths.items():
                path.write_text(self.files[name])
            return resolve(scenario, paths, self.seed, log=True)


def change(move: Move) -> Change:
    """A move as the data plane takes it."""
    return _CHANGES[move[0]](*move[1:])
