"""`python -m serving_ref.model_server.repository`: lay a model out as Triton's model repository."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import click

from scenarios.errors import BaseloadError, Unsupported
from serving_ref.model_server.onnx_model import model_path
from serving_ref.model_server.settings import ModelServerSettings
from serving_ref.settings import load_settings


def lay_out(settings: ModelServerSettings, folder: Path, config: Path, to: Path) -> None:
    """Copy the model of the settings and its config.pbtxt into a repository.

    Raises Unsupported for a synthetic model, EnvironmentProblem where the model is not there.
    """
    if settings.model.onnx is None:
        raise Unsupported(f"{settings.model.name}: Triton runs real models; this one is synthetic")
    version = to / settings.model.name / settings.model.version
    version.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(model_path(settings.model.onnx, folder), version / "model.onnx")
    shutil.copyfile(config, version.parent / "config.pbtxt")


@click.command()
@click.option("--settings", "path", required=True, type=click.Path(path_type=Path), help="The settings file.")
@click.option("--config", required=True, type=click.Path(path_type=Path), help="The config.pbtxt.")
@click.option("--to", required=True, type=click.Path(path_type=Path), help="The repository's folder.")
def main(path: Path, config: Path, to: Path) -> None:
    """Lay the model of a settings file out as Triton's model repository.

    \b
    Example:
      python -m serving_ref.model_server.repository --settings settings.yaml --config config.pbtxt --to /models
    """
    try:
        lay_out(load_settings(path, ModelServerSettings), path.parent, config, to)
    except BaseloadError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.status)


if __name__ == "__main__":
    main()
