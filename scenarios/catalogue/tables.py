"""Reading the CSV files of the catalogue, strictly: every fault is named by file, line and column."""

from __future__ import annotations

import csv
import datetime
import functools
import importlib.resources
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, TypeVar

from scenarios.catalogue.book import Catalogue
from scenarios.catalogue.records import InstanceType, Price, PurchaseOption, ServicePrice, Source
from scenarios.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Hashable, Iterator
    from importlib.resources.abc import Traversable

Record = TypeVar("Record")
Key = TypeVar("Key", bound="Hashable")

SOURCE_COLUMNS = ("id", "title", "url", "licence", "remark")
TYPE_COLUMNS = (
    "instance_type",
    "vcpu",
    "memory_gib",
    "arch",
    "accelerator",
    "accelerator_count",
    "accelerator_memory_gib",
    "as_of",
    "source",
)
PRICE_COLUMNS = ("region", "instance_type", "option", "price_usd_per_h", "as_of", "source", "note")
SERVICE_COLUMNS = ("region", "service", "unit", "price_usd", "as_of", "source", "note")


@functools.cache
def load_catalogue() -> Catalogue:
    """Return the catalogue that comes with Baseload; read once a process."""
    return read_catalogue(importlib.resources.files(__package__))


def read_catalogue(folder: Traversable) -> Catalogue:
    """Read the four CSV files of a folder; `InvalidInput` with file, line and column at the first fault."""
    sources = _read(folder, "sources.csv", SOURCE_COLUMNS, _source, lambda each: each.id)
    types = _read(
        folder,
        "instance_types.csv",
        TYPE_COLUMNS,
        lambda row: _instance_type(row, sources),
        lambda each: each.name,
    )
    prices = _read(
        folder,
        "prices.csv",
        PRICE_COLUMNS,
        lambda row: _price(row, sources, types),
        lambda each: (each.region, each.instance_type, each.option),
    )
    services = _read(
        folder,
        "services.csv",
        SERVICE_COLUMNS,
        lambda row: _service_price(row, sources),
        lambda each: (each.region, each.service),
    )
    return Catalogue(types, prices, services, sources)


class _Row:
    """One line of a file, which knows its place, so that a fault can be shown to the person who mends it."""

    def __init__(self, place: str, cells: dict[str, str]) -> None:
        self.place = place
        self.cells = cells

    def fault(self, column: str, expected: str) -> InvalidInput:
        return InvalidInput(f"{self.place}: {column}: {self.cells[column]!r}, expected {expected}")

    def text(self, column: str) -> str:
        value = self.cells[column]
        if not value or value != value.strip():
            raise self.fault(column, "a text without spaces around it")
        return value

    def one_of(self, column: str, known: Container[str], expected: str) -> str:
        value = self.text(column)
        if value not in known:
            raise self.fault(column, expected)
        return value

    def decimal(self, column: str) -> Decimal:
        try:
            value = Decimal(self.cells[column])
        except InvalidOperation:
            raise self.fault(column, "a decimal number above 0") from None
        if not value.is_finite() or value <= 0:
            raise self.fault(column, "a decimal number above 0 (a price that is unknown has no row)")
        return value

    def count(self, column: str) -> int:
        if not self.cells[column].isascii() or not self.cells[column].isdigit():
            raise self.fault(column, "a whole number")
        return int(self.cells[column])

    def as_of(self) -> str:
        """A date, a month or a year in ISO 8601: no more precision than the source has."""
        value = self.text("as_of")
        try:
            date = datetime.date.fromisoformat(value + "-01-01"[len(value) - 4 :])
        except ValueError:
            date = None
        if date is None or not date.isoformat().startswith(value):  # other ISO 8601 forms do not sort
            raise self.fault("as_of", "YYYY, YYYY-MM or YYYY-MM-DD")
        return value


def _read(
    folder: Traversable,
    name: str,
    columns: tuple[str, ...],
    record: Callable[[_Row], Record],
    key: Callable[[Record], Key],
) -> dict[Key, Record]:
    table: dict[Key, Record] = {}
    for row in _rows(folder, name, columns):
        each = record(row)
        if key(each) in table:
            raise InvalidInput(f"{row.place}: second row for {key(each)}")
        table[key(each)] = each
    return table


def _rows(folder: Traversable, name: str, columns: tuple[str, ...]) -> Iterator[_Row]:
    path = f"{folder.name}/{name}"
    try:
        lines = (folder / name).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror}") from error
    reader = csv.reader(lines, strict=True)
    header = tuple(next(reader, ()))
    if header != columns:
        raise InvalidInput(f"{path}:1: columns {','.join(header)!r}, expected {','.join(columns)!r}")
    for cells in reader:
        place = f"{path}:{reader.line_num}"
        if len(cells) != len(columns):
            raise InvalidInput(f"{place}: {len(cells)} cells, expected {len(columns)}")
        yield _Row(place, dict(zip(columns, cells, strict=True)))


def _source(row: _Row) -> Source:
    return Source(
        row.text("id"), row.text("title"), row.cells["url"], row.cells["licence"], row.cells["remark"]
    )


def _instance_type(row: _Row, sources: dict[str, Source]) -> InstanceType:
    accelerator = row.cells["accelerator"] or None
    count = row.count("accelerator_count")
    if (accelerator is None) != (count == 0):
        raise row.fault("accelerator_count", "0 without an accelerator, 1 or more with one")
    if accelerator is None and row.cells["accelerator_memory_gib"]:
        raise row.fault("accelerator_memory_gib", "nothing without an accelerator")
    return InstanceType(
        name=row.text("instance_type"),
        vcpu=row.count("vcpu"),
        memory_gib=float(row.decimal("memory_gib")),
        arch=row.one_of("arch", ("x86_64", "arm64"), "x86_64 or arm64"),
        accelerator=accelerator,
        accelerator_count=count,
        accelerator_memory_gib=float(row.decimal("accelerator_memory_gib")) if accelerator else 0.0,
        as_of=row.as_of(),
        source=_source_id(row, sources),
    )


def _price(row: _Row, sources: dict[str, Source], types: dict[str, InstanceType]) -> Price:
    options = [option.value for option in PurchaseOption]
    return Price(
        instance_type=row.one_of("instance_type", types, "a name of instance_types.csv"),
        region=row.text("region"),
        option=PurchaseOption(row.one_of("option", options, f"one of {', '.join(options)}")),
        price_usd_per_h=row.decimal("price_usd_per_h"),
        as_of=row.as_of(),
        source=_source_id(row, sources),
        note=row.cells["note"],
    )


def _service_price(row: _Row, sources: dict[str, Source]) -> ServicePrice:
    return ServicePrice(
        region=row.text("region"),
        service=row.text("service"),
        unit=row.text("unit"),
        price_usd=row.decimal("price_usd"),
        as_of=row.as_of(),
        source=_source_id(row, sources),
        note=row.cells["note"],
    )


def _source_id(row: _Row, sources: dict[str, Source]) -> str:
    return row.one_of("source", sources, "an id of sources.csv")
