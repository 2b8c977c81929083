"""`baseload catalogue`: list instance types and their prices."""

from __future__ import annotations

import fnmatch
import json
import sys
from typing import TYPE_CHECKING

import click

from scenarios.catalogue.names import nearest
from scenarios.errors import InvalidInput

if TYPE_CHECKING:
    from scenarios.catalogue import Catalogue, InstanceType, Price, PurchaseOption


@click.command()
@click.argument("pattern", required=False, default="*")
@click.option("--region", default="us-east-1", show_default=True, help="The AWS region to price in.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every price's date, source and note.")
def command(pattern: str, region: str, as_json: bool) -> None:
    """List the instance types whose name contains or matches PATTERN, with their prices in USD an hour.

    A dash is a price that is unknown or not offered; nothing is guessed. The spot reference is the lowest
    price over the zones on one day, not a forecast; a * marks a price with a note, which --json shows.
    Prices are for Linux and shared tenancy; reserved prices are effective hourly ones.

    \b
    Examples:
      baseload catalogue p3
      baseload catalogue 'c?i.2xlarge' --region eu-west-1
      baseload catalogue g5 --json
    """
    from scenarios.catalogue import load_catalogue  # reading the tables waits until it is needed

    catalogue = load_catalogue()
    if region not in catalogue.regions:
        raise InvalidInput(f"no prices for region {region!r}: {nearest(region, catalogue.regions)}")
    chosen = _matching(catalogue, pattern)
    if as_json:
        click.echo(json.dumps(_document(catalogue, chosen, region), indent=2))
    else:
        _print_table(catalogue, chosen, region)


def _matching(catalogue: Catalogue, pattern: str) -> list[InstanceType]:
    wild = pattern if any(sign in pattern for sign in "*?[") else f"*{pattern}*"
    chosen = [each for each in catalogue.instance_types if fnmatch.fnmatchcase(each.name, wild)]
    if not chosen:
        names = [each.name for each in catalogue.instance_types]
        raise InvalidInput(f"no instance type matches {pattern!r}: {nearest(pattern, names)}")
    return chosen


def _document(catalogue: Catalogue, chosen: list[InstanceType], region: str) -> dict[str, object]:
    prices = {each.name: catalogue.prices_of(each.name, region) for each in chosen}
    used = {each.source for each in chosen} | {price.source for row in prices.values() for price in row}
    return {
        "region": region,
        "instance_types": [
            {
                "instance_type": each.name,
                "vcpu": each.vcpu,
                "memory_gib": each.memory_gib,
                "arch": each.arch,
                "accelerator": each.accelerator,
                "accelerator_count": each.accelerator_count,
                "accelerator_memory_gib": each.accelerator_memory_gib if each.accelerator else None,
                "as_of": each.as_of,
                "source": each.source,
                "prices": {price.option.value: _price_document(price) for price in prices[each.name]},
            }
            for each in chosen
        ],
        "sources": {
            source.id: {
                "title": source.title,
                "url": source.url,
                "licence": source.licence,
                "remark": source.remark,
            }
            for source in catalogue.sources_by_id.values()
            if source.id in used
        },
    }


def _price_document(price: Price) -> dict[str, str]:
    # Text, because a JSON number becomes a binary fraction in most readers and money must not.
    return {
        "price_usd_per_h": f"{price.price_usd_per_h:f}",
        "as_of": price.as_of,
        "source": price.source,
        "note": price.note,
    }


def _print_table(catalogue: Catalogue, chosen: list[InstanceType], region: str) -> None:
    from rich import box  # rich is slow to import, and --json and --help do without
    from rich.console import Console
    from rich.table import Table

    from scenarios.catalogue import PurchaseOption

    table = Table(title=f"{region}, USD an hour", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("Type", no_wrap=True)
    table.add_column("vCPU", justify="right")
    table.add_column("GiB", justify="right")
    table.add_column("Accelerator", no_wrap=True)
    columns = {
        "On-demand": PurchaseOption.ON_DEMAND,
        "Spot ref.": PurchaseOption.SPOT_REFERENCE,
        "1 y no upfront": PurchaseOption.RESERVED_1Y_NO_UPFRONT,
        "1 y all upfront": PurchaseOption.RESERVED_1Y_ALL_UPFRONT,
    }
    for heading in columns:
        table.add_column(heading, justify="right")
    table.add_column("As of", no_wrap=True)
    for each in chosen:
        dates = sorted({price.as_of for price in catalogue.prices_of(each.name, region)})
        table.add_row(
            each.name,
            str(each.vcpu),
            f"{each.memory_gib:g}",
            _accelerator(each),
            *(_cell(catalogue, each.name, region, option) for option in columns.values()),
            " to ".join(dict.fromkeys((dates[0], dates[-1]))) if dates else "–",
        )
    # A file or a pipe has no width: the table is written whole, so that grep and awk see every cell.
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _accelerator(each: InstanceType) -> str:
    if each.accelerator is None:
        return ""
    return f"{each.accelerator_count} × {each.accelerator} {each.accelerator_memory_gib:g} GiB"


def _cell(catalogue: Catalogue, name: str, region: str, option: PurchaseOption) -> str:
    price = catalogue.price(name, region, option)
    if price is None:
        return "–"
    return f"{price.price_usd_per_h:f}{'*' if price.note else ''}"
