"""Servers for one test, and servers that the read-only tests of a module share."""

import pytest

from tests.serving_ref.servers import running


@pytest.fixture
def servers(tmp_path):
    with running(tmp_path) as started:
        yield started


@pytest.fixture(scope="module")
def shared_servers(tmp_path_factory):
    with running(tmp_path_factory.mktemp("servers")) as started:
        yield started
