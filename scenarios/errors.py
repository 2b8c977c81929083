"""What can go wrong, in words a person can act on, and the exit status each kind ends with."""

from __future__ import annotations

from enum import IntEnum


class ExitStatus(IntEnum):
    """The published exit statuses of the `baseload` command (docs/exit-statuses.md)."""

    OK = 0
    """Done; the answer, if one was asked for, is yes."""
    INTERNAL = 1
    """A defect in Baseload: please report it with the traceback."""
    USAGE = 2
    """The command line itself is wrong (unknown option, missing argument)."""
    INVALID_INPUT = 3
    """A file or value given is wrong: the message names file, path, value and what was expected."""
    UNSUPPORTED = 4
    """The input is well formed, but asks for what this version cannot run."""
    NEGATIVE = 5
    """Done, and the answer is no (an SLO missed): only with `--detailed-exitcode`."""
    ENVIRONMENT = 6
    """Something around Baseload is missing or refuses: a program, a server, a folder, an output that exists."""
    INVALID_RUN = 7
    """A load test was made and kept, and does not count: the generator lagged or skipped, or the machine was busy."""
    INTERRUPTED = 130
    """Stopped by Ctrl-C; nothing half-written is left that looks whole."""


class BaseloadError(Exception):
    """An error that a person caused or can mend: shown without a traceback.

    `str(error)` is the whole message, at most one screen. `status` is the exit status of a command that
    ends with it.
    """

    status: ExitStatus = ExitStatus.INVALID_INPUT


class InvalidInput(BaseloadError):
    """A file or value is wrong."""

    status = ExitStatus.INVALID_INPUT


class Unsupported(BaseloadError):
    """Well formed, but not something this version can run; the message says what and since when or why."""

    status = ExitStatus.UNSUPPORTED


class EnvironmentProblem(BaseloadError):
    """A program, server, folder or permission around Baseload is missing or refuses."""

    status = ExitStatus.ENVIRONMENT
