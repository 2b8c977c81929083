"""Trees of results (nested mappings with numbers at the leaves): flattening, means over replications,
rounding."""

from __future__ import annotations

import json
import math
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

Tree: TypeAlias = dict[str, Any]
"""A JSON object."""

SIGNIFICANT_DIGITS = 12
"""Of a float in `run.json`: sums may differ beyond that from one CPU family to another, and nobody reads
it."""


def flatten(tree: Tree, prefix: str = "") -> dict[str, Any]:
    """Leaves by their path, parts joined by "/" (which no name contains): {"classes/home/latency_s/p99":
    0.2}."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            leaves |= flatten(value, f"{prefix}{key}/")
        else:
            leaves[f"{prefix}{key}"] = value
    return leaves


def mean_tree(trees: Sequence[Tree]) -> Tree:
    """Leaf by leaf, the mean of several replications; a single one stays as it is.

    None anywhere makes the mean None. A leaf that some trees lack counts 0 there (a batch size that did not
    occur). Lists become the sorted union.
    """
    if len(trees) == 1:
        return trees[0]
    keys = dict.fromkeys(key for tree in trees for key in tree)
    return {key: _mean([tree.get(key, 0) for tree in trees]) for key in keys}


def _mean(values: list[Any]) -> Any:
    if any(value is None for value in values):
        return None
    if any(isinstance(value, dict) for value in values):
        return mean_tree([value if isinstance(value, dict) else {} for value in values])
    if any(isinstance(value, list) for value in values):
        return sorted({item for value in values for item in value})
    if all(value == values[0] for value in values):
        return values[0]
    return math.fsum(values) / len(values)


def rounded(value: Any) -> Any:
    """The same tree with its floats at `SIGNIFICANT_DIGITS`; ValueError on what JSON cannot say (inf,
    nan)."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(each) for each in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} cannot be written as JSON")
        return float(f"{value:.{SIGNIFICANT_DIGITS}g}")
    return value


def canonical_json(tree: Tree) -> str:
    """JSON with sorted keys, so that equal trees are equal bytes; decimals as text, times in ISO 8601."""
    return (
        json.dumps(tree, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False, default=_plain) + "\n"
    )


def _plain(value: Any) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no place in run.json")
