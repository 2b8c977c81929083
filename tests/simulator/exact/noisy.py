"""Cases that random ones seldom come near."""

from __future__ import annotations

from tests.simulator.exact.case import Case

MS = 1_000_000
_CLASS = {"timeout": "80ms", "retries": {"max": 1, "backoff": "5ms"}}
_SERVICE = {"model": "m", "balancing": "power-of-two", "batching": {"max_batch_size": 2}}
_MODELS = [
    {
        "name": "m",
        "profiles": [
            {
                "instance_types": ["t"],
                "latency": {"table": [[1, "10ms"], [2, "15ms"]], "noise": {"lognormal_cv": 0.6}},
            }
        ],
    }
]
NOISY = Case(
    {
        "apiVersion": "baseload/v1",
        "metadata": {"name": "noisy"},
        "run": {"duration": "3s"},
        "arrivals": [{"name": "web", "rate": "200/s"}, {"name": "app", "rate": "100/s"}],
        "classes": [
            {"name": "home", "arrivals": "web", "share": 0.5, "route": "r", **_CLASS},
            {"name": "search", "arrivals": "web", "share": 0.5, "route": "r", **_CLASS},
            {"name": "cart", "arrivals": "app", "route": "q", **_CLASS},
        ],
        "routes": [
            {"name": "r", "targets": [{"service": "s"}]},
            {"name": "q", "targets": [{"service": "z"}]},
        ],
        "services": [{"name": "s", "pools": ["s"], **_SERVICE}, {"name": "z", "pools": ["z"], **_SERVICE}],
        "models": _MODELS,
        "pools": [{"name": "s", "instance_type": "t"}, {"name": "z", "instance_type": "t"}],
    },
    {},
    1,
    (
        (0, tuple(("add", i, "sz"[i % 2], "sz"[i % 2], i, 0) for i in range(6))),
        *(
            ((500 + 400 * i) * MS, (("kill", i), ("add", 6 + i, "sz"[i % 2], "sz"[i % 2], 6 + i, 0)))
            for i in range(6)
        ),
    ),
    3000 * MS,
)
"""Noisy batches by the hundred, several classes, lost replicas."""

KEYLESS = Case(
    {
        "apiVersion": "baseload/v1",
        "metadata": {"name": "keyless"},
        "run": {"duration": "2s"},
        "arrivals": [{"name": "web", "rate": "200/s"}],
        "classes": [
            {"name": "page", "arrivals": "web", "share": 0.5, "route": "r", "keys": {"count": 2}, **_CLASS},
            {"name": "form", "arrivals": "web", "share": 0.5, "route": "r", **_CLASS},
        ],
        "routes": [{"name": "r", "cache": {"ttl": "300ms"}, "coalesce": True, "targets": [{"service": "s"}]}],
        "services": [{"name": "s", "pools": ["s"], **_SERVICE}],
        "models": _MODELS,
        "pools": [{"name": "s", "instance_type": "t"}],
    },
    {},
    1,
    ((0, (("add", 0, "s", "s", 0, 0), ("add", 1, "s", "s", 1, 0))),),
    2000 * MS,
)
"""A route with a cache, and a class without keys on it."""
