"""`python -m serving_ref.model_server`: serve the model of a settings file until SIGTERM."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from scenarios.errors import BaseloadError


@click.command()
@click.option("--settings", "path", required=True, type=click.Path(path_type=Path), help="The settings file.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8080, show_default=True, help="The port to listen on.")
def main(path: Path, host: str, port: int) -> None:
    """Serve the model of a settings file until SIGTERM.

    \b
    Example:
      python -m serving_ref.model_server --settings model-server.yaml --port 8001
    """
    from scenarios.rules.batching import batching_numbers
    from serving_ref.model_server.app import ModelServer
    from serving_ref.model_server.settings import ModelServerSettings
    from serving_ref.serve import serve
    from serving_ref.settings import load_settings

    try:
        settings = load_settings(path, ModelServerSettings)
        app = ModelServer(settings, batching_numbers(settings.batching), path.parent)
        serve(app, app, host, port, settings.drain)
    except BaseloadError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.status)


if __name__ == "__main__":
    main()
