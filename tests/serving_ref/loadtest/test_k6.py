"""At a constant rate our percentiles are those of k6, whose constant-arrival-rate executor is an open loop too.

At higher rates, and with a fast server, they are compared on a quiet machine: tests/benchmarks/test_loadtest.py.
"""

from __future__ import annotations

import pytest

from tests.serving_ref.loadtest.k6 import Question, agree, by_k6, by_us, slow_server

ASKED = Question(rate_per_s=100, duration_s=20, connections=60)


@pytest.mark.k6
@pytest.mark.slow
def test_percentiles_agree_with_k6(tmp_path):
    with slow_server() as server:
        theirs = by_k6(tmp_path, server.port, ASKED)
    with slow_server() as server:
        ours = by_us(tmp_path, server.port, ASKED)
    assert agree(ours, theirs), (ours, theirs)
