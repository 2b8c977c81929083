"""`baseload verify`: a load test beside its prediction."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scenarios.errors import ExitStatus, InvalidInput
from scenarios.units import parse_duration, parse_fraction

if TYPE_CHECKING:
    from rich.table import Table

    from baseload.cli.prediction import Prediction
    from scenarios.load import LoadedScenario
    from simulator.results.agreement import Agreement, Finding, Tolerance
    from simulator.results.run_directory import Run

_LATENCIES = ("p50", "p95", "p99")


class ToleranceOption(click.ParamType[tuple[str, float]]):
    """KIND=VALUE."""

    name = "kind=value"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, float]:
        """Read "p99=30%", "p99=20ms" or "hit-ratio=5%"."""
        from simulator.results.agreement import TOLERANCES

        kind, _, text = str(value).partition("=")
        if kind not in TOLERANCES:
            self.fail(f"got {value!r}, expected KIND=VALUE with one of {', '.join(TOLERANCES)}", param, ctx)
        try:
            if kind in _LATENCIES and not text.endswith("%"):
                return f"{kind} absolute", parse_duration(text)
            return kind, parse_fraction(text)
        except ValueError as error:
            self.fail(f"got {value!r}, {error}", param, ctx)


@click.command("verify")
@click.argument("scenario", metavar="SCENARIO", type=click.Path())
@click.option(
    "--against", "run_directory", required=True, type=click.Path(path_type=Path), metavar="RUN",
    help="The run directory of the load test.",
)  # fmt: skip
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="PATH=VALUE",
    help="As it was given to the load test; repeatable.",
)
@click.option(
    "--tolerance", "changed", type=ToleranceOption(), multiple=True, metavar="KIND=VALUE",
    help="Instead of the usual one, such as p99=30%, p99=20ms or hit-ratio=5%; repeatable.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.option("--detailed-exitcode", is_flag=True, help="End with 5 if the prediction does not hold.")
@click.pass_context
def command(
    ctx: click.Context,
    scenario: str,
    run_directory: Path,
    overrides: tuple[str, ...],
    changed: tuple[tuple[str, float], ...],
    as_json: bool,
    detailed_exitcode: bool,
) -> None:
    """Hold a load test against the simulation of exactly the same run: same requests, same fleet.

    The prediction was made before the load began if its digest is the one in the run; otherwise (another scenario, or
    another version of Baseload) it is called hindsight. The prediction holds if the measurement counts, every SLO is
    kept or missed as predicted, and every figure that both have is within its tolerance.

    \b
    Example:
      baseload verify fleet.yaml --against out/measured --detailed-exitcode
    """
    from baseload.cli.prediction import predict
    from baseload.cli.progress import show_progress
    from scenarios.catalogue import load_catalogue
    from scenarios.unsupported import refuse_unsupported
    from simulator.money.prices import list_prices
    from simulator.results.agreement import agreement
    from simulator.results.run_directory import read_run

    run = read_run(run_directory)
    if run.document["source"] == "simulation":
        raise InvalidInput(f"{run_directory}: is a simulation: expected a load test (`baseload loadtest -o`)")
    loaded = _as_run(scenario, overrides, run)
    refuse_unsupported(loaded.scenario)
    price_of = list_prices(loaded.scenario, load_catalogue())
    with show_progress(loaded.scenario.run.duration, 1, quiet=as_json) as progress:
        prediction = predict(loaded, int(run.document["seeds"][0]), price_of, progress)
    found = agreement(prediction.document, run.document, _tolerances(changed))
    foresight = prediction.digest == run.document.get("load_test", {}).get("prediction")
    if as_json:
        document = _document(found, prediction, run, foresight)
        click.echo(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False))
    else:
        _print(found, prediction, run, foresight)
    if detailed_exitcode and not found.holds:
        ctx.exit(ExitStatus.NEGATIVE)


def _as_run(scenario: str, overrides: tuple[str, ...], run: Run) -> LoadedScenario:
    """The scenario with the duration of the run, as its author or the load test's command line wrote it."""
    from scenarios.load import load_scenario

    loaded = load_scenario(scenario, overrides)
    duration = run.document["scenario"]["document"]["run"]["duration"]
    if loaded.document["run"]["duration"] == duration:
        return loaded
    return load_scenario(scenario, [*overrides, f"run.duration={duration}"])


def _tolerances(changed: tuple[tuple[str, float], ...]) -> dict[str, Tolerance]:
    from simulator.results.agreement import TOLERANCES

    tolerances = dict(TOLERANCES)
    for kind, value in changed:
        name, _, absolute = kind.partition(" ")
        is_absolute = bool(absolute) or tolerances[name].relative == 0.0
        given = {"absolute": value, "relative": 0.0} if is_absolute else {"absolute": 0.0, "relative": value}
        tolerances[name] = replace(tolerances[name], **given)
    return tolerances


def _document(found: Agreement, prediction: Prediction, run: Run, foresight: bool) -> dict[str, Any]:
    from baseload.report.wording import gaps

    return {
        "holds": found.holds,
        "prediction": {"digest": prediction.digest, "made_before_the_load": foresight},
        "invalid_because": list(found.objections),
        "incomplete_because": gaps(run.document),
        "slos": {
            name: {"predicted_kept": predicted, "measured_kept": measured}
            for name, (predicted, measured) in found.slos.items()
        },
        "findings": [_finding(each) for each in found.findings],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    """As `run.json` has it: JSON has no infinity, so what is infinite is null, and named."""
    fields = asdict(finding) | {"error": finding.error}
    infinite = [name for name, value in fields.items() if isinstance(value, float) and math.isinf(value)]
    return fields | dict.fromkeys(infinite) | {"infinite": infinite}


def _print(found: Agreement, prediction: Prediction, run: Run, foresight: bool) -> None:
    from rich.text import Text

    from baseload.cli.summary import result_console
    from baseload.report.wording import gaps

    console = result_console(sys.stdout)
    when = "made before the load began" if foresight else "hindsight: not the one made before the load"
    console.print(Text.assemble((run.name, "bold"), f" against prediction {prediction.digest[:12]}, {when}"))
    console.print()
    console.print(_table(found))
    console.print()
    for line in _reasons(found):
        console.print(Text.assemble(("✗", "bold red"), f" {line}"))
    for gap in gaps(run.document):
        console.print(Text.assemble(("!", "bold yellow"), f" the measurement is incomplete: {gap}"))
    compared = [each for each in found.findings if each.error is not None]
    words = f"{len(compared) - len(found.beyond)} of {len(compared)} figures within their tolerance"
    unknown = len(found.findings) - len(compared)
    if unknown:
        words += f", {unknown} not known of both"
    mark = ("✓", "bold green") if found.holds else ("✗", "bold red")
    console.print(
        Text.assemble(mark, f" the prediction {'holds' if found.holds else 'is not confirmed'}: {words}")
    )


def _reasons(found: Agreement) -> list[str]:
    reasons = [f"the measurement does not count: {reason}" for reason in found.objections]
    for name, (predicted, measured) in found.slos.items():
        if predicted != measured:
            words = ["missed", "kept"]
            reasons.append(f"SLO {name}: predicted to be {words[predicted]}, and was {words[measured]}")
    return reasons + [f"{each.section}: {each.kind} {_how_far(each)}" for each in found.beyond]


def _how_far(finding: Finding) -> str:
    predicted, measured = _shown(finding.predicted, finding), _shown(finding.measured, finding)
    if finding.measured == math.inf:
        return f"is {measured} (nothing was answered), predicted at {predicted}"
    if finding.predicted == math.inf:
        return f"is {measured}, predicted at {predicted} (nothing answered)"
    return f"is {_error(finding)} from its prediction, {_allowed(finding)} allowed"


def _table(found: Agreement) -> Table:
    from rich.text import Text

    from baseload.cli.summary import plain_table

    table = plain_table("", "", "predicted", "measured", "error", "allowed", "")
    for section in dict.fromkeys(each.section for each in found.findings):
        table.add_row(Text(section, style="bold"))
        for each in found.findings:
            if each.section == section:
                mark = {"within": "✓", "beyond": "✗", "unknown": ""}[each.verdict]
                values = (_shown(each.predicted, each), _shown(each.measured, each))
                allowed = "" if each.predicted == math.inf else f"±{_allowed(each)}"
                table.add_row(f"  {each.kind}", *values, _error(each), allowed, mark)
    return table


def _shown(value: float | None, finding: Finding) -> str:
    from baseload.report.change import in_unit

    return "∞" if value == math.inf else in_unit(value, finding.unit)


def _error(finding: Finding) -> str:
    from baseload.report.change import in_unit
    from simulator.results.compare import Unit

    error = finding.error
    if error is None:
        return ""
    if finding.unit is Unit.SHARE:
        text = f"{abs(error) * 100:.2f} pt"
    elif math.isinf(error):
        text = "∞"
    elif finding.predicted:
        text = f"{abs(error / finding.predicted) * 100:.1f} %"
    else:
        text = in_unit(abs(error), finding.unit)
    sign = "+" if error > 0 else "−" if error < 0 else ""
    return f"{sign}{text}"


def _allowed(finding: Finding) -> str:
    from baseload.report.change import in_unit
    from simulator.results.compare import Unit

    if finding.unit is Unit.SHARE:
        return f"{finding.allowed * 100:g} pt"
    if not finding.predicted or finding.allowed > finding.predicted:  # ±199 % would say less than ±2.00 ms
        return in_unit(finding.allowed, finding.unit)
    return f"{finding.allowed / finding.predicted * 100:.0f} %"
