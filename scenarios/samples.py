"""Measured latencies in a CSV file: a row a batch size, many values in one column."""

from __future__ import annotations

import csv
import math
from typing import TYPE_CHECKING

from scenarios.problems import Place, Problem, shown

if TYPE_CHECKING:
    from _csv import Reader
    from pathlib import Path

    from scenarios.schema.fleet import LatencySamples

SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
"""What one of each unit is in seconds."""
MOST_CHARACTERS = 2**31 - 1
"""Of one field: a row may hold more values than the csv module's own limit of 131,072 characters lets it."""

Samples = dict[int, list[float]]
"""Latencies in seconds, ascending, by batch size in items, ascending."""


def read_samples(samples: LatencySamples, path: Path) -> Samples | Problem:
    """Return the measured latencies in a file, or the first thing that is wrong in it, with its line and column."""
    line = None
    try:
        with path.open(newline="", encoding="utf-8-sig") as text:
            csv.field_size_limit(MOST_CHARACTERS)
            rows = csv.reader(text, strict=True)
            try:
                return _read(samples, rows)
            finally:
                line = rows.line_num
    except _WrongError as wrong:
        place = Place(str(path), line if wrong.on_a_line else None, path.parent)
        return Problem(place, wrong.column, wrong.message)
    except csv.Error as error:
        return Problem(Place(str(path), line, path.parent), "", f"not valid CSV: {error}")
    except UnicodeDecodeError:
        return Problem(Place(str(path), None, path.parent), "", "is not UTF-8 text: expected a CSV file")
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}"
        return Problem(Place(str(path), None, path.parent), "", message)


class _WrongError(Exception):
    """Something is wrong on the line that was read last, or with the file as a whole."""

    def __init__(self, column: str, message: str, *, on_a_line: bool = True) -> None:
        super().__init__(message)
        self.column, self.message, self.on_a_line = column, message, on_a_line


def _read(samples: LatencySamples, rows: Reader) -> Samples:
    header = next(rows, [])
    place = _places(header, [samples.batch, samples.latencies, *samples.where])
    line_of: dict[int, int] = {}
    values: Samples = {}
    for row in rows:
        if not row:
            continue
        if len(row) != len(header):
            raise _WrongError("", f"got {len(row)} values: expected {len(header)}, one for each column")
        if any(row[place[column]] != value for column, value in samples.where.items()):
            continue
        items = _items(samples.batch, row[place[samples.batch]])
        if items in line_of:
            first = f"a batch of {items} has a row already, on line {line_of[items]}"
            raise _WrongError(samples.batch, f"{first}: expected one row a size; `where` chooses rows")
        line_of[items] = rows.line_num
        values[items] = _latencies_s(samples, row[place[samples.latencies]])
    if not values:
        wanted = ", ".join(f"{column} = {value}" for column, value in samples.where.items())
        raise _WrongError(
            "", f"no row with {wanted}" if wanted else "no row below the header", on_a_line=False
        )
    return dict(sorted(values.items()))


def _places(header: list[str], needed: list[str]) -> dict[str, int]:
    """The position of each column that is needed."""
    for name in needed:
        if header.count(name) != 1:
            found = f"it has {', '.join(header)}" if header else "it is empty"
            many = "no column" if name not in header else "more than one column"
            raise _WrongError("", f"{many} {name}; {found}", on_a_line=bool(header))
    return {name: header.index(name) for name in needed}


def _items(column: str, text: str) -> int:
    """A whole number from 1; a spreadsheet may have written it as 8.0."""
    try:
        items = float(text)
    except ValueError:
        items = math.nan
    if not (1 <= items < 2**31 and items == int(items)):
        raise _WrongError(column, f"got {shown(text)}: expected a batch size, a whole number from 1")
    return int(items)


def _latencies_s(samples: LatencySamples, text: str) -> list[float]:
    """The values of one row in seconds, ascending."""
    latencies_s = []
    for value in text.split() or [""]:
        try:
            latency_s = float(value) * SECONDS[samples.unit]
        except ValueError:
            latency_s = math.nan
        if not 0 < latency_s < math.inf:
            expected = f"expected latencies above 0 in {samples.unit}, separated by spaces"
            raise _WrongError(samples.latencies, f"got {shown(value) if value else 'nothing'}: {expected}")
        latencies_s.append(latency_s)
    return sorted(latencies_s)
