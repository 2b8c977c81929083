"""A run on disk: written under another name and renamed when whole, read back as one frozen object.

docs/run-directory.md describes the files, docs/decisions/0003-run-directory.md why they are as they are.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from scenarios.errors import EnvironmentProblem, InvalidInput
from simulator.results.run_document import SCHEMA_VERSION, run_document
from simulator.results.trees import Tree, canonical_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    import pyarrow as pa

    from scenarios.schema import Scenario
    from simulator.money.bill import LineItem
    from simulator.results.recorded import SeedRecord

RUN, META, COMPLETE = "run.json", "meta.json", "COMPLETE"
TABLES = ("timeline", "latency", "events", "costs")
_COMPRESSION = "zstd"


@dataclass(frozen=True, slots=True)
class Run:
    """A whole run: `document` is its `run.json`; the tables are read from disk when they are asked for."""

    directory: Path
    document: Tree

    @property
    def name(self) -> str:
        """What to call it beside other runs: the name of its directory."""
        return self.directory.resolve().name

    @property
    def meta(self) -> Tree:
        """Host, wall-clock times and command line: what differs when the run is repeated."""
        return _read_json(self.directory / META)

    def timeline(self) -> pa.Table:
        """One row a seed, interval and class, service or pool."""
        return self.table("timeline")

    def latency(self) -> pa.Table:
        """One row a seed, histogram window, class, kind and filled bucket."""
        return self.table("latency")

    def events(self) -> pa.Table:
        """One row an event of the control plane."""
        return self.table("events")

    def costs(self) -> pa.Table:
        """One FOCUS row a line item."""
        return self.table("costs")

    def table(self, name: str) -> pa.Table:
        """One of `TABLES` as an Arrow table; `InvalidInput` where the file is missing or damaged."""
        import pyarrow as pa  # 0.4 s, and a comparison needs no table
        import pyarrow.parquet as pq

        path = self.directory / f"{name}.parquet"
        try:
            return pq.read_table(path)
        except (OSError, pa.ArrowInvalid) as error:
            raise InvalidInput(f"{path}: cannot be read: {error}") from None

    def frame(self, name: str) -> pd.DataFrame:
        """One of `TABLES` as a pandas DataFrame, for notebooks (needs the extra `notebooks`)."""
        frame: pd.DataFrame = self.table(name).to_pandas()
        return frame


def check_target(directory: Path, *, force: bool) -> None:
    """Refuse a directory that must not be written, before hours are spent on what should go into it.

    Raises `EnvironmentProblem` if it exists without `force`, and even with `force` if it is not a run
    directory (what would be deleted could be anybody's).
    """
    if not directory.exists():
        return
    if not force:
        raise EnvironmentProblem(
            f"{directory} exists; choose another directory, or give --force to replace it"
        )
    if not directory.is_dir() or (any(directory.iterdir()) and not (directory / RUN).is_file()):
        raise EnvironmentProblem(f"{directory} is not a run directory: not replaced, not even with --force")


def write_run(
    directory: Path,
    *,
    scenario: Scenario,
    digest: str,
    document: Mapping[str, Any],
    records: Sequence[SeedRecord],
    lines: Sequence[LineItem],
    engine: str,
    versions: Tree,
    meta: Tree,
    source: str = "simulation",
    load_test: Tree | None = None,
    attachments: Sequence[Path] = (),
    force: bool = False,
) -> Run:
    """Write a run directory and return it; all files but `meta.json` are a function of the other arguments.

    `document` is the resolved scenario, `lines` its bill. `load_test` is what only a load test knows; the files in
    `attachments` are copied into the directory. Nothing is left under `directory` unless all of it
    is there: it is built beside it under a hidden name, flushed to disk, and renamed. Raises
    `EnvironmentProblem` as `check_target` does, and where the file system refuses.
    """
    check_target(directory, force=force)
    results = run_document(
        scenario=scenario, digest=digest, document=document, records=records, lines=lines, engine=engine,
        versions=versions, source=source, load_test=load_test,
    )  # fmt: skip
    ordered = sorted(records, key=lambda record: record.seed)
    try:
        with _replacing(directory) as partial:
            _write_text(partial / RUN, canonical_json(results))
            _write_tables(partial, scenario, ordered, lines)
            for attachment in attachments:
                _copy(attachment, partial / attachment.name)
            _write_text(partial / META, canonical_json(meta))
            _write_text(partial / COMPLETE, _checksums(partial))
    except OSError as error:
        raise EnvironmentProblem(f"{directory}: cannot be written: {error.strerror or error}") from error
    return Run(directory, results)


def read_run(directory: Path) -> Run:
    """Read a run directory; `InvalidInput` where it is none, is not whole, or is of a newer version."""
    if not (directory / RUN).is_file():
        raise InvalidInput(
            f"{directory}: not a run directory (no {RUN} in it); `baseload simulate -o` writes one"
        )
    if not (directory / COMPLETE).is_file():
        raise InvalidInput(f"{directory}: the run is incomplete (no {COMPLETE} in it): simulate it again")
    document = _read_json(directory / RUN)
    version = document.get("schema_version")
    if not isinstance(version, int) or version < 1:
        raise InvalidInput(
            f"{directory / RUN}: schema_version: expected a whole number from 1 up, got {version!r}"
        )
    if version > SCHEMA_VERSION:
        raise InvalidInput(
            f"{directory / RUN}: schema_version {version} is newer than this Baseload reads "
            f"({SCHEMA_VERSION}): read it with the version that wrote it, or a later one"
        )
    return Run(directory, document)


def _read_json(path: Path) -> Tree:
    try:
        value: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path}: cannot be read: {error}") from None
    if not isinstance(value, dict):
        raise InvalidInput(f"{path}: expected a JSON object")
    return value


def _write_tables(
    partial: Path, scenario: Scenario, records: Sequence[SeedRecord], lines: Sequence[LineItem]
) -> None:
    from simulator.results import tables  # imports pyarrow: 0.4 s

    _write_parquet(
        partial / "timeline.parquet",
        (part for each in records for part in tables.timeline_tables(scenario, each)),
    )
    _write_parquet(
        partial / "latency.parquet",
        (part for each in records for part in tables.latency_tables(scenario, each)),
    )
    _write_parquet(partial / "events.parquet", (tables.events_table(each) for each in records))
    _write_parquet(partial / "costs.parquet", iter([tables.costs_table(scenario, lines)]))


def _write_parquet(path: Path, parts: Iterable[pa.Table]) -> None:
    """One row group a part: only one is in memory at a time."""
    import pyarrow.parquet as pq  # 0.4 s

    with path.open("wb") as file:
        writer = None
        for part in parts:
            writer = writer or pq.ParquetWriter(file, part.schema, compression=_COMPRESSION)
            writer.write_table(part)
        if writer is not None:
            writer.close()
        _flush(file)


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as given, target.open("wb") as file:
        shutil.copyfileobj(given, file)
        _flush(file)


def _write_text(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        _flush(file)


def _flush(file: IO[Any]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _checksums(partial: Path) -> str:
    """Digests of the files that are the same whenever the run is repeated: `sha256sum -c COMPLETE` checks
    them."""
    names = sorted(path.name for path in partial.iterdir() if path.name != META)
    return "".join(f"{hashlib.sha256((partial / name).read_bytes()).hexdigest()}  {name}\n" for name in names)


@contextmanager
def _replacing(directory: Path) -> Iterator[Path]:
    """A hidden directory beside the wanted one, which takes its name if all goes well and vanishes if not."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    partial = directory.parent / f".{directory.name}.partial-{os.getpid()}"
    old = directory.parent / f".{directory.name}.replaced-{os.getpid()}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        _sync_directory(partial)
        if directory.exists():
            directory.rename(old)
        partial.rename(directory)
        _sync_directory(directory.parent)
    except BaseException:  # Ctrl-C as well: nothing half-written stays
        shutil.rmtree(partial, ignore_errors=True)
        if old.exists() and not directory.exists():
            old.rename(directory)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
