"""Whatever is in a scenario file, loading it ends with a scenario or with an error that fits on a screen."""

from __future__ import annotations

import copy
import json
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scenarios.errors import BaseloadError
from scenarios.load import LoadedScenario, load_scenario
from tests.scenarios.documents import full_document, write

if TYPE_CHECKING:
    from pathlib import Path

DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
QUICK = settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
ODD: list[Any] = [
    None, True, False, 0, -1, 1, 2.5, -0.0, 1e308, -1e308, 2**31, 2**63, 2**64, 10**30, float("nan"),
    float("inf"), float("-inf"), "", " ", "0", "-5s", "1e999s", "1e-999s", "9" * 400 + "s", "1h30", "5 m",
    "1e999/s", "1e999Gi", "200%", "-1%", "1e999%", "$1e999999999/h", "$-1", "$1e-999999", "300", "2", "on",
    "yes", "1:30", "2024-01-01", "0001-01-01", "9999-12-31T23:59:59+14:00", "${NOPE}/x", "/dev/zero", "..",
    "\x00", "x" * 5000, "名前", "\u202e", "\U0001f600", "*", "&a", "!!python/object:os.system", "<<",
    "$remove", [], {}, [[]], [{}], [None], {"": None}, {"constant": "1s"}, {"name": "x"},
    {"lognormal": {"mean": "0s", "cv": 1}}, {"uniform": [2, 1]}, {"mu": 1e308, "sigma": 1e-308},
    ["a"] * 300, "web", "main", "reco", "gpu", "poisson", "samples.csv",
]  # fmt: skip


def containers(value: Any) -> list[Any]:
    """All mappings and lists of a document that hold something."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return ([value] if inner else []) + [each for child in inner for each in containers(child)]


def mutate(document: Any, random: Random) -> None:
    """Change one thing somewhere in a document."""
    place = random.choice(containers(document) or [document])
    if not place:
        return
    key = random.choice(list(place) if isinstance(place, dict) else range(len(place)))
    how = random.randrange(8)
    if how == 0:
        del place[key]
    elif how == 1:
        place[key] = copy.deepcopy(random.choice(ODD))
    elif how == 2:
        place[key] = copy.deepcopy(random.choice(containers(document)))
    elif how == 3 and isinstance(place, dict):
        place[
            random.choice(["name", "x", "", "rate", "timout", "constant", "file", "extends", key + "s"])
        ] = place.pop(key)
    elif how == 4 and isinstance(place, list):
        place.append(copy.deepcopy(place[key]))
    elif how == 5:
        for _ in range(random.choice([1, 5, 60])):
            place[key] = (
                {"mixture": [{"weight": 1, "x": place[key]}]} if random.random() < 0.5 else [place[key]]
            )
    elif how == 6:
        other = random.choice(containers(document))
        place[key] = copy.deepcopy(random.choice(list(other.values()) if isinstance(other, dict) else other))
    else:
        place[key] = str(place[key])[:2000] if random.random() < 0.5 else [place[key]]


def loads_or_explains(path: Path, overrides: tuple[str, ...] = ()) -> LoadedScenario | None:
    try:
        return load_scenario(path, overrides)
    except BaseloadError as error:
        message = str(error)
    lines = message.split("\n")
    assert 1 <= len(lines) <= 40
    assert 1 <= max(map(len, lines)) <= 400
    assert "".join(lines).isprintable()  # no control characters, no halves of surrogate pairs
    assert "Input should" not in message
    return None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    write(folder, full_document())
    return folder


def test_the_document_to_mutate_is_valid(folder: Path):
    assert loads_or_explains(write(folder, full_document())) is not None


@QUICK
@given(seed=st.integers(0, 2**32), times=st.integers(1, 6), as_yaml=st.booleans())
def test_mutated_documents(folder: Path, seed: int, times: int, as_yaml: bool):
    random = Random(seed)
    document = full_document()
    for _ in range(times):
        mutate(document, random)
    path = folder / "mutated.yaml"
    path.write_text(yaml.dump(document, Dumper=DUMPER, sort_keys=False) if as_yaml else json.dumps(document))
    loads_or_explains(path)


@QUICK
@given(seed=st.integers(0, 2**32), times=st.integers(1, 5))
def test_mutated_text(folder: Path, seed: int, times: int):
    random = Random(seed)
    lines = yaml.dump(full_document(), Dumper=DUMPER, sort_keys=False).splitlines()
    junk = [
        "&a", "*a", "<<: *a", "- ", ": ", "? ", "| ", "> ", "!!int ", "%YAML 1.1", "---", "...", "{", "}",
        "[", "]", '"', "'", "#", "\t", "\0", "\x85", "\u2028", "\ufeff", "@", "`", "  ", "!<tag:x> ",
        "&a [*a, *a]",
    ]  # fmt: skip
    for _ in range(times):
        number = random.randrange(len(lines))
        line, how = lines[number], random.randrange(6)
        at = random.randrange(len(line) + 1)
        if how == 0:
            lines[number] = line[:at] + random.choice(junk) + line[at:]
        elif how == 1:
            del lines[number]
        elif how == 2:
            lines.insert(random.randrange(len(lines)), line)
        elif how == 3:
            lines[number] = line[:at]
        elif how == 4:
            lines[number] = " " * random.randrange(8) + line.lstrip()
        else:
            lines[number] = line.replace(":", random.choice([":", "", " :", ": &a", ": *a", ": !!str"]), 1)
        if not lines:
            break
    path = folder / "text.yaml"
    path.write_text("\n".join(lines), encoding="utf-8")
    loads_or_explains(path)


@QUICK
@given(
    data=st.one_of(
        st.binary(max_size=300), st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace"))
    )
)
def test_junk_files(folder: Path, data: bytes):
    path = folder / "junk.yaml"
    path.write_bytes(data)
    assert loads_or_explains(path) is None


@QUICK
@given(seed=st.integers(0, 2**32), junk=st.text(max_size=20))
def test_mutated_overrides(folder: Path, seed: int, junk: str):
    random = Random(seed)
    path = folder / "base.yaml"
    if not path.exists():
        write(folder, full_document(), "base.yaml")
    keys = [
        "run", "duration", "classes", "[home-page]", ".home-page", "[0]", "[99]", ".timeout", "services",
        "[reco]", "", ".batching", ".max_batch_size", "models[big]", ".load", ".exponential", "[", "]",
        ".", "slos", "=", junk,
    ]  # fmt: skip
    where = "".join(random.choice(keys) for _ in range(random.randrange(5)))
    value = random.choice([*ODD, junk])
    text = value if isinstance(value, str) else json.dumps(value)
    loads_or_explains(path, (f"{where}={text}",))


@QUICK
@given(seed=st.integers(0, 2**32), times=st.integers(1, 4))
def test_mutated_extensions(folder: Path, seed: int, times: int):
    random = Random(seed)
    base = folder / "extended.yaml"
    if not base.exists():
        write(folder, full_document(), "extended.yaml")
    whole = full_document()
    document = {key: whole[key] for key in random.sample(sorted(whole), 4)}
    for _ in range(times):
        mutate(document, random)
    document["extends"] = "extended.yaml"
    for entry in document.get("classes", [])[:1] if isinstance(document.get("classes"), list) else []:
        if isinstance(entry, dict):
            entry["$remove"] = random.choice([True, False, None, "yes"])
    path = folder / "extension.yaml"
    path.write_text(json.dumps(document))
    loads_or_explains(path)
