"""Looking at what surrounds a load test while it runs: every so often, in a thread of its own.

A load test cannot be repeated, so nothing that a look comes upon may end it, or take its measurement away: a look that
fails costs what it would have seen, and that is told.
"""

from __future__ import annotations

import textwrap
import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

Seen = TypeVar("Seen")

PATIENCE_S = 60.0
"""How long the last look is waited for: somebody may answer too slowly to be done, and too fast to be given up."""

_SHOWN = 120


class Watch(ABC, Generic[Seen]):
    """Looks at the beginning of a `with` block, every so often in it, and at its end."""

    def __init__(self, what: str, every_s: float) -> None:
        """`what` is watched, in the words of whoever asked for it."""
        self._what, self._every_s = what, every_s
        self._seen: list[Seen] = []
        self._looks = 0
        self._failures: dict[str, list[str]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @abstractmethod
    def look(self) -> Seen:
        """Look once. What the first look raises ends the load test before it begins; any other failure is noted."""

    def __enter__(self) -> Self:
        self._look()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if kind is not None:  # there will be no result, so nobody waits for the last look
            return
        self._thread.join(PATIENCE_S)
        if self._thread.is_alive():
            self.failed(self._what, f"it was not over after {PATIENCE_S:g} s")

    @property
    def seen(self) -> tuple[Seen, ...]:
        """What the looks so far have seen, oldest first. A copy: a look that was given up may still come to its end."""
        return tuple(self._seen)

    @property
    def is_first(self) -> bool:
        """Whether nothing has been seen yet."""
        return not self._seen

    def failed(self, what: str, reason: object) -> None:
        """Note that a look at something failed."""
        words = textwrap.shorten(str(reason) or type(reason).__name__, _SHOWN, placeholder=" …")
        self._failures.setdefault(what, []).append(words)

    def gaps(self) -> list[str]:
        """What was not seen, in sentences; empty if every look succeeded."""
        return [
            f"{what}: {len(reasons)} of {self._looks} readings failed (the last: {reasons[-1]})"
            for what, reasons in tuple(self._failures.items())
        ]

    def _look(self) -> None:
        self._looks += 1
        self._seen.append(self.look())

    def _watch(self) -> None:
        is_over = False
        while not is_over:
            is_over = self._stop.wait(self._every_s)
            try:
                self._look()
            except Exception as error:
                self.failed(self._what, error)
