"""The `baseload` command. One file a subcommand, imported only when it is called: `--help` stays instant."""

from __future__ import annotations

import errno
import importlib
import os
import sys
import threading
from typing import NoReturn

import click

from baseload.cli.closed_pipe import let_readers_leave
from scenarios.errors import BaseloadError, ExitStatus

COMMANDS: dict[str, tuple[str, str]] = {
    "simulate": ("baseload.cli.simulate", "Run a scenario and write its run directory."),
    "validate": ("baseload.cli.validate", "Check a scenario file and say what it describes."),
    "compare": ("baseload.cli.compare", "Show two or more runs side by side."),
    "report": ("baseload.cli.report", "Write one self-contained HTML page about one or more runs."),
    "import": (
        "baseload.cli.import_traffic",
        "Turn logs, counts or Prometheus queries into a traffic trace.",
    ),
    "loadtest": ("baseload.cli.loadtest", "Send a scenario's traffic to a real system and measure it."),
    "verify": ("baseload.cli.verify", "Hold a load test against its prediction."),
    "init": ("baseload.cli.init", "Write a first scenario of a running fleet."),
    "cluster": ("baseload.cli.cluster", "Run a local Kubernetes with nodes that can die."),
    "stack": ("baseload.cli.stack", "Serve a scenario for real, on a Kubernetes cluster."),
    "catalogue": ("baseload.cli.catalogue", "List instance types and prices."),
}
"""Command → (module that holds a click command called `command`, its line in the list)."""


class LazyGroup(click.Group):
    """A click group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order a new user meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command, or None where there is no such name."""
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(COMMANDS[cmd_name][0]).command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table above: nothing is imported for it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="baseload")
def cli() -> None:
    """Plan and simulate the capacity of ML inference fleets.

    \b
    Examples:
      baseload validate scenarios/library/recommendation.yaml
      baseload simulate scenarios/library/recommendation.yaml -o out/month
      baseload report out/month -o out/month.html

    Exit statuses: 0 done, 2 usage, 3 invalid input, 4 not supported, 5 SLO missed (with
    --detailed-exitcode), 6 environment, 7 invalid load test, 130 interrupted; see docs/exit-statuses.md.
    """


def main() -> None:
    """Run the command line; turn our own errors into one message and the published exit status."""
    let_readers_leave()
    try:
        status = cli.main(standalone_mode=False)  # click hands back the status of ctx.exit(), or None
        sys.stdout.flush()  # a full disk is met here, and not when Python ends
        sys.exit(status if isinstance(status, int) else ExitStatus.OK)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted: nothing half-written was kept", err=True)
        _leave(ExitStatus.INTERRUPTED)
    except BaseloadError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.status)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        click.echo(f"error: cannot be written: {error.strerror}", err=True)
        os._exit(ExitStatus.ENVIRONMENT)  # without another try to write what is buffered


def _leave(status: ExitStatus) -> NoReturn:
    """End with a status, now: Python would wait for threads, and one that compiles takes a minute."""
    if threading.active_count() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
