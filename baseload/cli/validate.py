"""`baseload validate`: check scenario files and say what they describe."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from scenarios.errors import ExitStatus, InvalidInput

if TYPE_CHECKING:
    from scenarios.load import LoadedScenario


@click.command()
@click.argument("files", nargs=-1, metavar="FILE…", type=click.Path())
@click.option(
    "--set", "overrides", multiple=True, metavar="PATH=VALUE", help="Replace one value; repeatable."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list, an entry a file.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of the scenario language, for editors.")
@click.pass_context
def command(
    ctx: click.Context, files: tuple[str, ...], overrides: tuple[str, ...], *, as_json: bool, schema: bool
) -> None:
    """Check scenario files, everything that they name and extend included, and say what they describe.

    Every problem is shown with its file, line, path and what was expected, and the command ends with exit
    status 3. What the language can say and this version cannot simulate is a note, not a problem; so is a price or
    a discount that no pool meets.

    \b
    Examples:
      baseload validate scenarios/library/recommendation.yaml
      baseload validate fleet.yaml --set run.duration=1h --set 'classes[home-page].timeout=2s'
      baseload validate --schema > scenario.schema.json
    """
    if schema:
        from scenarios.json_schema import json_schema_text  # pydantic loads when it is needed

        click.echo(json_schema_text(), nl=False)
        return
    if not files:
        raise click.UsageError("Missing argument 'FILE…'.", ctx)
    documents, failed = [], False
    for file in files:
        document, text, valid = _validated(file, overrides)
        documents.append(document)
        failed |= not valid
        if not as_json:
            click.echo(text, err=not valid)
    if as_json:
        click.echo(json.dumps(documents, indent=2, ensure_ascii=False))
    if failed:
        ctx.exit(ExitStatus.INVALID_INPUT)


def _validated(file: str, overrides: tuple[str, ...]) -> tuple[dict[str, Any], str, bool]:
    """Return what there is to say about one file, as a document and as text, and whether it is valid."""
    from scenarios.load import load_scenario  # pydantic loads when it is needed
    from scenarios.problems import InvalidScenarioError
    from scenarios.unsupported import unsupported_features
    from scenarios.without_effect import without_effect

    try:
        loaded = load_scenario(file, overrides)
        _check_prices(loaded)
        unsupported, unused = unsupported_features(loaded.scenario), without_effect(loaded.scenario)
        if not unsupported:
            _check_resolved(loaded)
        summary = _summary(loaded)
    except InvalidInput as error:
        problems = error.problems if isinstance(error, InvalidScenarioError) else ()
        entries: list[dict[str, Any]] = [
            {
                "source": each.place.source,
                "line": each.place.line,
                "path": each.where,
                "message": each.message,
            }
            for each in problems
        ] or [{"source": file, "line": None, "path": "", "message": str(error)}]
        return {"file": file, "valid": False, "problems": entries}, f"error: {error}", False
    document = {
        "file": file,
        "valid": True,
        "name": loaded.scenario.metadata.name,
        "digest": loaded.digest,
        "files": {name: str(path) for name, path in loaded.files.items()},
        "unsupported": unsupported,
        "without_effect": unused,
        "summary": {section: dict(rows) for section, rows in summary},
    }
    notes = [*(f"this version cannot simulate {reason}" for reason in unsupported), *unused]
    return document, _text(loaded, summary, notes), True


def _check_prices(loaded: LoadedScenario) -> None:
    """Raise InvalidInput, naming file and pool, where no price is known: a run could not be billed."""
    from scenarios.catalogue import load_catalogue
    from simulator.money.prices import list_prices

    price_of = list_prices(loaded.scenario, load_catalogue())
    for pool in loaded.scenario.pools:
        try:
            price_of(pool)
        except InvalidInput as error:
            raise InvalidInput(f"{loaded.path}: {error}") from None


def _check_resolved(loaded: LoadedScenario) -> None:
    """Raise InvalidInput, naming the file, for what a run would refuse before its first request.

    Such as a trace with classes that its stream does not have: the engine's own functions find it, and there is no
    second copy of its rules here.
    """
    from simulator.control.timeline import timeline
    from simulator.dataplane.resolve_fleet import resolve  # numba: half a second

    try:
        resolve(loaded.scenario, loaded.files, loaded.scenario.run.seed)
        timeline(loaded.scenario)
    except InvalidInput as error:
        raise InvalidInput(f"{loaded.path}: {error}") from None


def _summary(loaded: LoadedScenario) -> list[tuple[str, list[tuple[str, str]]]]:
    from baseload.cli.scenario_summary import summary

    return summary(loaded)


def _text(loaded: LoadedScenario, summary: list[tuple[str, list[tuple[str, str]]]], notes: list[str]) -> str:
    width = max(len(name) for _, rows in summary for name, _ in rows)
    lines = [f"{loaded.path}: valid; {loaded.scenario.metadata.name}, digest {loaded.digest[:12]}"]
    for section, rows in summary:
        for number, (name, words) in enumerate(rows):
            lines.append(f"  {section if number == 0 else '':<9} {name:<{width}}  {words}")
    lines += [f"note: {note}" for note in notes]
    return "\n".join(lines)
