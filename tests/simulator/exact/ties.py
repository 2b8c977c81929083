"""Small cases in which the order of simultaneous events, or a limit met exactly, decides; with what must come of them.

Times are in milliseconds. A class has a stream of its own that replays its sends; unless something else is said there
is one service with one replica (number 0), one request a batch and 10 ms of service.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from simulator.dataplane.records import BLOCK
from tests.simulator.exact.case import Case, Move

MS = 1_000_000
ONE = (("add", 0, "s", "p", 0, 0),)
TWO = (*ONE, ("add", 1, "s", "p", 1, 0))


@dataclass(frozen=True)
class Tie:
    """A case, and the outcome of each request and batch: "model@10", "timeout@10x2" (two attempts), "0.1 10-20"."""

    rule: str
    sends: dict[str, list[int]]
    """Send times by class; classes and streams stand in this order in the document."""
    outcomes: dict[str, list[str]]
    batches: list[str]
    """Replica and slot, begin and end, in the order of beginnings."""
    classes: dict[str, dict[str, Any]] = field(default_factory=dict)
    routes: dict[str, dict[str, Any]] = field(default_factory=dict)
    service: dict[str, Any] = field(default_factory=dict)
    batching: dict[str, Any] = field(default_factory=dict)
    latency: int = 10
    steps: tuple[tuple[int, tuple[Move, ...]], ...] = ((0, ONE),)

    def case(self) -> Case:
        """The scenario."""
        size = self.batching.get("max_batch_size", 1)
        classes = [
            {"name": name, "arrivals": f"a-{name}", "route": "r", **self.classes.get(name, {})}
            for name in self.sends
        ]
        routes = {"r": {}} | self.routes
        document = {
            "apiVersion": "baseload/v1",
            "metadata": {"name": "tie"},
            "run": {"duration": "1s"},
            "arrivals": [{"name": f"a-{name}", "trace": {"file": f"{name}.csv"}} for name in self.sends],
            "classes": classes,
            "routes": [
                {"name": name, "targets": [{"service": "s"}], **route} for name, route in routes.items()
            ],
            "services": [
                {"name": "s", "model": "m", "pools": ["p"], "batching": self.batching, **self.service}
            ],
            "models": [
                {
                    "name": "m",
                    "profiles": [
                        {"instance_types": ["t"], "latency": {"table": [[size, f"{self.latency}ms"]]}},
                    ],
                }
            ],
            "pools": [{"name": "p", "instance_type": "t"}],
        }
        files = {
            f"{name}.csv": "time_ns\n" + "".join(f"{at * MS}\n" for at in times)
            for name, times in self.sends.items()
        }
        steps = tuple((at * MS, moves) for at, moves in self.steps)
        return Case(document, files, 1, steps, 1000 * MS)


RETRY_AT_ONCE = {"max": 2, "backoff": "0ms", "jitter": "none"}
RETRY_ONCE = {"max": 1, "backoff": "5ms", "jitter": "none"}
ONE_TOKEN = {"rate": "100/s", "burst": 1}
"""One token every 10 ms."""
CACHED = {"cache": {"kind": "ttl", "ttl": "50ms", "hit_latency": "1ms"}, "coalesce": True}
OPENS_AT_ONCE = {"window": 1, "error_rate": 0.0, "open_for": "20ms"}
HALF_OF_TWO = {"window": 2, "error_rate": 0.5, "open_for": "20ms"}

TIES: tuple[Tie, ...] = (
    Tie(
        "fleet changes first: a batch that would end now is lost with its replica",
        {"a": [0]}, {"a": ["lost@10"]}, ["0.0 0-10"], routes={"r": {"redispatch": False}},
        steps=((0, ONE), (10, (("kill", 0),))),
    ),
    Tie(
        "fleet changes first: a batch that would end now still fills its replica when lost requests are sent on",
        {"a": [0, 0]}, {"a": ["model@20", "model@10"]}, ["0.0 0-10", "1.0 0-10", "1.0 10-20"],
        service={"balancing": "round-robin"},
        steps=((0, TWO), (10, (("kill", 0),))),
    ),
    Tie(
        "fleet changes first: who waits for that batch's end is served before what is sent on",
        {"a": [0, 0, 0, 0]}, {"a": ["model@30", "model@10", "model@40", "model@20"]},
        ["0.0 0-10", "1.0 0-10", "1.0 10-20", "1.0 20-30", "1.0 30-40"], service={"balancing": "round-robin"},
        steps=((0, TWO), (10, (("kill", 0),))),
    ),
    Tie(
        "a request is sent on once: with its second replica it is lost",
        {"a": [0]}, {"a": ["lost@7"]}, ["0.0 0-10", "2.0 5-15"], service={"balancing": "round-robin"},
        steps=((0, (*TWO, ("add", 2, "s", "p", 2, 0))), (5, (("kill", 0),)), (7, (("kill", 2),))),
    ),
    Tie(
        "a lost replica's work is sent on: what was in service first, then its queue by priority",
        {"a": [0, 1], "h": [2]}, {"a": ["model@15", "model@25"], "h": ["model@15"]},
        ["0.0 0-10", "1.0 5-15", "2.0 5-15", "1.0 15-25"],
        classes={"h": {"priority": 7}}, service={"balancing": "round-robin"},
        steps=((0, ONE), (5, (("kill", 0), ("add", 1, "s", "p", 1, 0), ("add", 2, "s", "p", 2, 0)))),
    ),
    Tie(
        "a lost replica's work is sent on: slot by slot, not by when their batches began",
        {"a": [0, 8, 15]}, {"a": ["model@15", "queue_full@21", "model@36"]},
        ["0.0 5-15", "0.1 13-23", "0.0 20-30", "1.0 26-36"], service={"instances_per_replica": 2},
        batching={"max_batch_size": 2, "max_queue_delay": "5ms", "max_queue_size": 1},
        steps=((0, ONE), (21, (("kill", 0), ("add", 1, "s", "p", 1, 0)))),
    ),
    Tie(
        "a draining replica of a shared queue finishes its batch and takes no other, idle as it may be",
        {"a": [0, 6, 12, 30]}, {"a": ["model@10", "model@16", "model@26", "model@40"]},
        ["0.0 0-10", "1.0 6-16", "1.0 16-26", "1.0 30-40"], service={"queue": "shared"},
        steps=((0, TWO), (5, (("drain", 0),))),
    ),
    Tie(
        "fleet changes first: a replica that comes now serves what is sent now",
        {"a": [9, 10]}, {"a": ["no_replica@9", "model@20"]}, ["0.0 10-20"], steps=((10, ONE),),
    ),
    Tie(
        "complete before timer: the slot that becomes free is listed first",
        {"a": [0, 0, 5]}, {"a": ["model@10", "model@10", "model@20"]}, ["0.0 0-10", "0.0 10-20"],
        batching={"max_batch_size": 2, "max_queue_delay": "5ms"}, service={"instances_per_replica": 2},
    ),
    Tie(
        "complete before deadline: an answer at the moment of the time-out is in time",
        {"a": [0]}, {"a": ["model@10"]}, ["0.0 0-10"], classes={"a": {"timeout": "10ms"}},
    ),
    Tie(
        "complete before send: an answer of this nanosecond is in the cache, and has not expired for its whole life",
        {"a": [0, 10, 59, 60]}, {"a": ["model@10", "cache@11", "cache@60", "model@70"]}, ["0.0 0-10", "0.0 60-70"],
        classes={"a": {"keys": {"count": 1}}}, routes={"r": CACHED},
    ),
    Tie(
        "timer before deadline: who gives up when the batch begins is in it",
        {"a": [0]}, {"a": ["timeout@10"]}, ["0.0 10-20"], classes={"a": {"timeout": "10ms"}},
        batching={"max_batch_size": 2, "max_queue_delay": "10ms", "drop_expired": True},
    ),
    Tie(
        "deadline before send: a time-out opens the breaker before who comes now",
        {"a": [0], "b": [10]}, {"a": ["timeout@10"], "b": ["breaker_open@10"]}, ["0.0 0-50"],
        classes={"a": {"timeout": "10ms"}}, service={"breaker": OPENS_AT_ONCE}, latency=50,
    ),
    Tie(
        "an open breaker lets a probe through at the end of its time, and not before",
        {"a": [0], "b": [29, 30]}, {"a": ["timeout@10"], "b": ["breaker_open@29", "model@100"]},
        ["0.0 0-50", "0.0 50-100"], classes={"a": {"timeout": "10ms"}}, service={"breaker": OPENS_AT_ONCE}, latency=50,
    ),
    Tie(
        "send before retry: a first send takes the token that a retry came for",
        {"c": [0], "a": [5], "b": [10]}, {"c": ["model@10"], "a": ["rate_limited@10x2"], "b": ["model@20"]},
        ["0.0 0-10", "0.0 10-20"], classes={"a": {"retries": RETRY_ONCE}}, routes={"r": {"rate_limit": ONE_TOKEN}},
    ),
    Tie(
        "retry before enter: a retry is in the queue before what was validated until now",
        {"c": [0], "a": [5], "b": [5]}, {"c": ["model@10"], "a": ["model@20x2"], "b": ["model@30"]},
        ["0.0 0-10", "0.0 10-20", "0.0 20-30"], classes={"a": {"retries": RETRY_ONCE}, "b": {"route": "slow"}},
        routes={"r": {"rate_limit": ONE_TOKEN}, "slow": {"validation": "5ms"}},
    ),
    Tie(
        "enter before fetched: what was validated until now is in the queue before what fetched its features",
        {"a": [0], "b": [5]}, {"a": ["model@30"], "b": ["model@20"]}, ["0.0 10-20", "0.0 20-30"],
        classes={"b": {"route": "slow"}}, routes={"r": {"feature_fetch": "10ms"}, "slow": {"validation": "5ms"}},
    ),
    Tie(
        "events of a kind by their names: completions by the number of the replica, not by its place in the list",
        {"a": [0, 0, 5]}, {"a": ["model@10", "model@10", "model@20"]}, ["3.0 0-10", "7.0 0-10", "3.0 10-20"],
        service={"queue": "shared"},
        steps=((0, (("add", 7, "s", "p", 0, 0), ("add", 3, "s", "p", 1, 0))),),
    ),
    Tie(
        "events of a kind by their names: completions of a replica by the number of the slot",
        {"a": [0, 0, 5]}, {"a": ["model@10", "model@10", "model@20"]}, ["0.0 0-10", "0.1 0-10", "0.0 10-20"],
        service={"instances_per_replica": 2},
    ),
    Tie(
        "events of a kind by their names: time-outs by who was sent first, who has the last retry of the budget",
        {"a": [0, 0]}, {"a": ["timeout@25x2", "timeout@10"]}, ["0.0 0-50", "0.0 50-100", "0.0 100-150"], latency=50,
        classes={"a": {"timeout": "10ms", "retries": RETRY_ONCE | {"budget": {"ratio": 0.0, "burst": 1}}}},
    ),
    Tie(
        "events of a kind by their names: retries by stream, not by when they were decided",
        {"z": [1], "a": [0]}, {"z": ["model@20x2"], "a": ["model@30x2"]}, ["0.0 10-20", "0.0 20-30"],
        classes={"z": {"retries": RETRY_ONCE | {"backoff": "9ms"}}, "a": {"retries": RETRY_ONCE | {"backoff": "10ms"}}},
        steps=((10, ONE),),
    ),
    Tie(
        "events of a kind by their names: ends of validations by stream, not by when they began",
        {"z": [5], "a": [4]}, {"z": ["model@20"], "a": ["model@30"]}, ["0.0 10-20", "0.0 20-30"],
        classes={"a": {"route": "slow"}}, routes={"r": {"validation": "5ms"}, "slow": {"validation": "6ms"}},
    ),
    Tie(
        "events of a kind by their names: ends of fetches by stream, not by when they began",
        {"z": [5], "a": [4]}, {"z": ["model@20"], "a": ["model@30"]}, ["0.0 10-20", "0.0 20-30"],
        classes={"a": {"route": "slow"}}, routes={"r": {"feature_fetch": "5ms"}, "slow": {"feature_fetch": "6ms"}},
    ),
    Tie(
        "events of a kind by their names: sends by the stream's place in the document, then by number",
        {"z": [0, 0], "a": [0]}, {"z": ["model@10", "model@20"], "a": ["model@30"]},
        ["0.0 0-10", "0.0 10-20", "0.0 20-30"],
    ),
    Tie(
        "inside a completion: who waits gets the free slot before who goes on in the cascade",
        {"a": [0, 5]}, {"a": ["model@30", "model@40"]}, ["0.0 0-10", "0.0 10-20", "0.0 20-30", "0.0 30-40"],
        routes={
            "r": {"split": "cascade", "targets": [{"service": "s", "difficulty_below": 0.0}, {"service": "s"}]},
        },
    ),
    Tie(
        "what an event causes in its own nanosecond takes its place among the rest: retries without a wait",
        {"c": [0], "a": [0]}, {"c": ["model@10"], "a": ["rate_limited@0x3"]}, ["0.0 0-10"],
        classes={"a": {"retries": RETRY_AT_ONCE}}, routes={"r": {"rate_limit": ONE_TOKEN}},
    ),
    Tie(
        "what an event causes in its own nanosecond takes its place among the rest: a retry comes after first sends",
        {"a": [0], "b": [10]}, {"a": ["timeout@20x2"], "b": ["model@40"]}, ["0.0 0-20", "0.0 20-40", "0.0 40-60"],
        classes={"a": {"timeout": "10ms", "retries": RETRY_AT_ONCE | {"max": 1}}}, latency=20,
    ),
    Tie(
        "what nobody waits for any more happens for nobody: validation after the time-out",
        {"a": [0]}, {"a": ["timeout@5"]}, [], classes={"a": {"timeout": "5ms"}}, routes={"r": {"validation": "10ms"}},
    ),
    Tie(
        "a time-out ends the waiting, not the work: its answer is cached all the same",
        {"a": [0, 25]}, {"a": ["timeout@10", "cache@26"]}, ["0.0 0-20"],
        classes={"a": {"timeout": "10ms", "keys": {"count": 1}}}, routes={"r": CACHED}, latency=20,
    ),
    Tie(
        "who has given up leaves the queue when a free slot looks at it; who stands before stays in it",
        {"x": [0, 0, 0], "a": [2], "b": [3], "d": [15]},
        {"x": ["model@10", "model@10", "model@10"], "a": ["model@42"], "b": ["timeout@8"], "d": ["model@42"]},
        ["0.0 0-10", "0.0 32-42"], classes={"b": {"timeout": "5ms"}},
        batching={"max_batch_size": 3, "max_queue_delay": "30ms", "drop_expired": True},
    ),
    Tie(
        "an answer is in time for who joined its flight a whole time-out ago, and late for who joined before",
        {"a": [0, 9, 10]}, {"a": ["timeout@10", "timeout@19", "coalesced@20"]}, ["0.0 0-20"], latency=20,
        classes={"a": {"timeout": "10ms", "keys": {"count": 1}}}, routes={"r": CACHED},
    ),
    Tie(
        "a block of first sends that is told apart later: before the fill, at it, in its last moment, after",
        {"a": [0] * (BLOCK - 1) + [100, 109, 110, 114, 115]},
        {
            "a": [
                "model@10", *["coalesced@10"] * (BLOCK - 2),
                "model@110", "coalesced@110", "cache@111", "cache@115", "model@125",
            ],
        },
        ["0.0 0-10", "0.0 100-110", "0.0 115-125"],
        classes={"a": {"keys": {"count": 1}}},
        routes={"r": CACHED | {"cache": {"kind": "ttl", "ttl": "5ms", "hit_latency": "1ms"}}},
    ),
    Tie(
        "an answer is slow when it takes longer than the limit, not at it",
        {"a": [0, 10, 10, 30]}, {"a": ["model@10", "model@20", "model@30", "breaker_open@30"]},
        ["0.0 0-10", "0.0 10-20", "0.0 20-30"],
        service={"breaker": {"window": 9, "slow_latency": "10ms", "slow_consecutive": 1, "open_for": "20ms"}},
    ),
    Tie(
        "a breaker opens at more errors than its share of the window, not at as many",
        {"c": [0, 15, 46], "a": [10, 40, 41]},
        {"c": ["model@10", "model@30", "breaker_open@46"], "a": ["timeout@15", "timeout@45", "timeout@46"]},
        ["0.0 0-10", "0.0 10-20", "0.0 20-30", "0.0 40-50", "0.0 50-60"],
        classes={"a": {"timeout": "5ms"}}, service={"breaker": HALF_OF_TWO},
    ),
    Tie(
        "a breaker hears of a call once: of the time-out, not of the answer that comes after it",
        {"a": [0, 10], "c": [15]}, {"a": ["timeout@5", "timeout@15"], "c": ["breaker_open@15"]},
        ["0.0 0-10", "0.0 10-20"], classes={"a": {"timeout": "5ms"}}, service={"breaker": HALF_OF_TWO},
    ),
    Tie(
        "a queue that has grown beyond its preferred size makes batches of that size",
        {"a": [0, 0, 1, 2, 3, 4]},
        {"a": ["model@10", "model@10", "model@20", "model@20", "model@30", "model@30"]},
        ["0.0 0-10", "0.0 10-20", "0.0 20-30"],
        batching={"max_batch_size": 4, "preferred_batch_sizes": [2], "max_queue_delay": "100ms"},
    ),
)  # fmt: skip
