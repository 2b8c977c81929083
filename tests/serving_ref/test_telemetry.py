"""What runs here reports to nobody: the published ONNX Runtime would, and keeps an identity of the machine for it."""

import os
import subprocess
import sys

from tests.conftest import ROOT

LOAD = """
from pathlib import Path
from serving_ref.model_server.onnx_model import OnnxRuntime
from serving_ref.model_server.settings import OnnxModel
OnnxRuntime(OnnxModel(package="magika"), Path())
"""


def test_a_model_is_loaded_without_a_trace_of_telemetry(tmp_path):
    kept_back = (
        "CI",
        "ORT_DISABLE_TELEMETRY",
        "XDG_CACHE_HOME",
    )  # each would switch it off, or hide its files
    environment = {name: value for name, value in os.environ.items() if name not in kept_back}
    environment |= {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", LOAD], env=environment, check=True, capture_output=True)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
