"""What machines and services exist and what they cost: instance types, prices and their sources, dated.

The figures live in the CSV files of this folder, one row a fact, each with its date and source
(`sources.csv` says what a source is). Nothing is interpolated: a figure that is not in the files is
unknown, and asking for it is an error that says what is known. See docs/catalogue.md.
"""

from scenarios.catalogue.book import Catalogue
from scenarios.catalogue.records import (
    SCENARIO,
    InstanceType,
    Override,
    Price,
    PurchaseOption,
    ServicePrice,
    Source,
)
from scenarios.catalogue.tables import load_catalogue, read_catalogue

__all__ = [
    "SCENARIO",
    "Catalogue",
    "InstanceType",
    "Override",
    "Price",
    "PurchaseOption",
    "ServicePrice",
    "Source",
    "load_catalogue",
    "read_catalogue",
]
