"""An alarm clock for an event loop that rings within microseconds.

asyncio sleeps in whole milliseconds, rounded up: half a millisecond late on average, and all of it would be counted as
the latency of the server. A Linux timer (timerfd_create(2), man-pages) wakes the loop like any other file.
"""

from __future__ import annotations

import ctypes
import os
import time
from typing import TYPE_CHECKING

from scenarios.errors import EnvironmentProblem
from scenarios.units import NANOSECONDS_PER_SECOND

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

_ABSOLUTE = 1
_CLOSE_ON_EXEC = 0o2000000
_NON_BLOCKING = 0o4000


class _Timespec(ctypes.Structure):
    _fields_ = (("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("it_interval", _Timespec), ("it_value", _Timespec))


class Alarm:
    """Calls `ring` in an event loop at times of the monotonic clock; one at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        """Raises EnvironmentProblem where the system has no such timers."""
        libc = ctypes.CDLL(None, use_errno=True)
        if not hasattr(libc, "timerfd_create"):
            raise EnvironmentProblem("the load generator needs Linux: timerfd_create is missing here")
        self._settime = libc.timerfd_settime
        self._file = libc.timerfd_create(time.CLOCK_MONOTONIC, _NON_BLOCKING | _CLOSE_ON_EXEC)
        if self._file < 0:
            raise EnvironmentProblem(f"timerfd_create: {os.strerror(ctypes.get_errno())}")
        self._spec = _Itimerspec()
        self._value = self._spec.it_value
        self._pointer = ctypes.byref(self._spec)
        self._loop, self._ring = loop, ring
        loop.add_reader(self._file, self._wake)

    def set(self, at_ns: int) -> None:
        """Ring at this time of `time.monotonic_ns()`, instead of the time set before; a past one rings at once."""
        self._value.tv_sec, self._value.tv_nsec = divmod(max(at_ns, 1), NANOSECONDS_PER_SECOND)
        self._settime(self._file, _ABSOLUTE, self._pointer, None)

    def close(self) -> None:
        """Ring no more."""
        self._loop.remove_reader(self._file)
        os.close(self._file)

    def _wake(self) -> None:
        try:
            os.read(self._file, 8)
        except BlockingIOError:  # set anew between the wake-up and now
            return
        self._ring()
