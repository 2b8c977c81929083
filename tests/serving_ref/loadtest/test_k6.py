"""At a constant rate our percentiles are those of k6, whose constant-arrival-rate executor is an open loop too."""

from __future__ import annotations

from itertools import count

import pytest

from tests.serving_ref.loadtest.k6 import by_k6, by_us
from tests.serving_ref.loadtest.servers import Answer, Server

pytestmark = [pytest.mark.k6, pytest.mark.slow]


def slow_server():
    """Answers after 100 to 298 ms, each length as often as any other: its percentiles are no matter of luck."""
    number = count()
    return Server(lambda _: Answer(after_s=0.1 + (next(number) * 37 % 100) * 0.002))


# At most 0.3 s a request: a connection for each that can be open at once, and as many again.
@pytest.mark.parametrize(("rate_per_s", "connections"), [(100, 60), (400, 240)])
def test_percentiles_agree_with_k6(tmp_path, rate_per_s, connections):
    with slow_server() as server:
        theirs = by_k6(tmp_path, server.port, rate_per_s, 20, connections)
    with slow_server() as server:
        ours = by_us(tmp_path, server.port, rate_per_s, 20, connections)
    for name, expected in theirs.items():
        assert ours[name] == pytest.approx(expected, rel=0.05, abs=1.0), (name, ours, theirs)
