"""Clusters at random: odd names, labels and quantities, texts of many lines, many zones. The file is always what the
draft says and nothing else."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import yaml
from hypothesis import given
from hypothesis import strategies as st

from baseload.from_cluster.read import ClusterObjects
from baseload.from_cluster.translate import draft_of
from baseload.from_cluster.words import one_line
from baseload.from_cluster.write import marks, scenario_text
from scenarios.catalogue import load_catalogue
from scenarios.load import load_scenario
from simulator.control.timeline import timeline
from simulator.dataplane.resolve_fleet import resolve
from simulator.money.prices import list_prices
from tests.baseload.cluster_objects import (
    autoscaler,
    deployment,
    disruption_budget,
    node,
    node_pool,
    scaled_object,
)

YAML_WORDS = (
    "007",
    "true",
    "1e3",
    "null",
    "on",
    "y",
    "0x1f",
    "1.5",
    "2024-01-01",
    "-",
    "a--b",
    "Standard_NC6",
)
HOSTILE = (
    "\n",
    "\r\n",
    "\x85",
    "\u2028",
    "# ",
    ": ",
    '"',
    "'",
    "\\",
    "- x",
    "{",
    "}]",
    "\t",
    "\x00",
    "&a",
    "*a",
    "!!",
)
texts = st.lists(
    st.sampled_from(HOSTILE) | st.text(max_size=4) | st.just("region: eu-west-1"), max_size=6
).map("".join)
short_names = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,8}[a-z0-9])?", fullmatch=True)
names = (
    st.sampled_from(YAML_WORDS) | short_names | short_names.map(lambda name: "long-name-" * 9 + name) | texts
)
namespaces = st.sampled_from(["shop", "search", "true"])
instance_types = (
    st.sampled_from(["g5.xlarge", "p3.8xlarge", "m5.xlarge", "c7i.8xlarge", "p5.48xlarge"]) | names
)
zones = st.sampled_from([f"us-east-1{letter}" for letter in "abcdef"]) | names
capacity_types = st.sampled_from(["spot", "on-demand", "reserved", None]) | texts
node_pools = st.sampled_from(["gpu", "long-pool-" * 6, None]) | names
quantities = st.sampled_from(
    ["0", "1n", "100u", "1500m", "0.1", "2", "1e3", "1E", "7Ei", "3Gi", "100", "1.5Ti"]
) | st.integers(0, 2**62)
label_keys = st.sampled_from(
    ["disk", "topology.kubernetes.io/zone", "node.kubernetes.io/instance-type", "x.org/y"]
)
tolerations = st.lists(
    st.fixed_dictionaries({"operator": st.just("Exists")}, optional={"key": st.just("dedicated")}), max_size=1
)


@st.composite
def rules(draw):
    operator = draw(st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]))
    rule = {"key": draw(label_keys), "operator": operator}
    if operator in ("In", "NotIn"):
        return rule | {"values": draw(st.lists(names, min_size=1, max_size=3))}
    return rule | ({"values": [str(draw(st.integers()))]} if operator in ("Gt", "Lt") else {})


@st.composite
def pods(draw):
    pod = {"tolerations": draw(tolerations)}
    if draw(st.integers(0, 3)) == 0:
        pod["nodeSelector"] = draw(st.dictionaries(label_keys, names, max_size=2))
    if draw(st.integers(0, 3)) == 0:
        terms = st.lists(
            st.fixed_dictionaries({"matchExpressions": st.lists(rules(), max_size=2)}), min_size=1, max_size=2
        )
        required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": draw(terms)}}
        pod["affinity"] = {"nodeAffinity": required}
    return pod


@st.composite
def deployments(draw):
    kinds = st.sampled_from(["cpu", "memory", "nvidia.com/gpu"])
    resources = st.dictionaries(st.sampled_from(["requests", "limits"]), st.dictionaries(kinds, quantities))
    return deployment(
        draw(names), namespace=draw(namespaces), replicas=draw(st.integers(0, 400) | st.integers(0, 2**31 - 1)),
        pod=draw(pods()), resources=draw(resources | st.just({"requests": {"cpu": "20m"}})),
        readinessProbe={"initialDelaySeconds": draw(st.integers(0, 2**31 - 1))},
    )  # fmt: skip


@st.composite
def nodes(draw):
    each = node(
        "a", draw(instance_types), zone=draw(zones), capacity_type=draw(capacity_types), pool=draw(node_pools),
        taints=draw(st.sampled_from([None, [{"key": "dedicated", "value": "x", "effect": "NoSchedule"}]])),
    )  # fmt: skip
    each["metadata"]["labels"] |= draw(st.dictionaries(label_keys, names, max_size=1))
    return each


@st.composite
def clusters(draw):
    found = draw(st.lists(deployments(), min_size=1, max_size=5))
    whose = st.sampled_from([(each["metadata"]["name"], each["metadata"]["namespace"]) for each in found])
    trigger = st.fixed_dictionaries(
        {"type": texts, "metadata": st.dictionaries(st.just("query") | texts, texts)}
    )
    metric = {
        "type": "Pods",
        "pods": {"metric": {"name": draw(texts)}, "target": {"averageValue": draw(texts)}},
    }
    return ClusterObjects(
        deployments=tuple(found),
        scaled_objects=tuple(
            scaled_object(name, namespace=namespace, triggers=draw(st.lists(trigger, max_size=2)))
            for name, namespace in draw(st.lists(whose, max_size=2))
        ),
        autoscalers=tuple(
            autoscaler(name, namespace=namespace, metrics=[metric])
            for name, namespace in draw(st.lists(whose, max_size=2))
        ),
        disruption_budgets=tuple(
            disruption_budget(name, namespace=namespace, minAvailable=draw(texts))
            for name, namespace in draw(st.lists(whose, max_size=2))
        ),
        node_pools=tuple(
            node_pool(*each)
            for each in draw(st.lists(st.tuples(names, instance_types, instance_types), max_size=2))
        ),
        nodes=tuple(draw(st.lists(nodes(), max_size=8))),
        unread=tuple(draw(st.lists(texts, max_size=1))),
    )


def expected(draft):
    """The document that a draft stands for, written down a second time."""
    names = [service.name for service in draft.services]
    pools = [pool for service in draft.services for pool in service.pools]
    unpriced = dict.fromkeys((pool.instance_type, pool.capacity_type) for pool in pools if not pool.priced)
    document = {
        "apiVersion": "baseload/v1",
        "metadata": {"name": draft.name, "description": one_line(f"The fleet of {draft.context} as it was found.")},
        "region": draft.region,
        "run": {"duration": "1h", "warmup": "5m"},
        "arrivals": [{"name": name, "rate": "1/s"} for name in names],
        "classes": [{"name": name, "arrivals": name, "route": name, "timeout": "1s"} for name in names],
        "routes": [{"name": name, "targets": [{"service": name}]} for name in names],
        "services": [
            {"name": each.name, "model": each.name, "pools": [pool.name for pool in each.pools],
             "replicas_per_instance": each.replicas_per_instance, "batching": {"max_batch_size": 1}}
            for each in draft.services
        ],
        "models": [
            {"name": each.name, "load": f"{each.load_s or 60:.0f}s",
             "profiles": [{"instance_types": ["*"], "latency": {"table": [[1, "100ms"]]}}]}
            | ({"memory": each.memory} if each.memory else {})
            for each in draft.services
        ],
        "pools": [
            {"name": pool.name, "instance_type": pool.instance_type, "capacity_type": pool.capacity_type,
             "size": pool.size, "startup": {"boot": "60s", "image_pull": "60s"}}
            | ({"zone": one_line(pool.zone)} if pool.zone else {})
            for pool in pools
        ],
        "slos": [{"name": name, "class": name, "latency": "500ms", "objective": "99%"} for name in names],
    }  # fmt: skip
    prices = [{"instance_type": kind, "capacity_type": bought, "price": "$1/h"} for kind, bought in unpriced]
    return document | ({"prices": prices} if prices else {})


def without_quotes(text):
    """The lines of a file without their quoted texts."""
    return re.sub(r'"(?:[^"\\\n]|\\.)*"', "", text).split("\n")


@given(clusters(), names)
def test_the_file_is_what_the_draft_says_and_nothing_else(objects, context):
    draft = draft_of(objects, context)
    text = scenario_text(draft)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fleet.yaml"
        path.write_text(text, encoding="utf-8")
        loaded = load_scenario(path)
    assert loaded.document == expected(draft)
    assert yaml.safe_load(text) == loaded.document  # whichever version of YAML somebody reads it by
    lines = [line.partition("#") for line in without_quotes(text)]
    assert all(re.fullmatch(r"[A-Za-z0-9 .:,/$%*_{}\[\]-]*", value) for value, _, _ in lines)
    assert marks(text) == sum(bool(re.match(" [A-Z]{4}: ", remark)) for _, _, remark in lines)
    price_of = list_prices(loaded.scenario, load_catalogue())
    for pool in loaded.scenario.pools:
        assert price_of(pool)
    resolve(loaded.scenario, loaded.files, 1)
    timeline(loaded.scenario)
