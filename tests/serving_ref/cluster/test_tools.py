"""Programs from source: versions are pinned once, and what is built is built for exactly that recipe."""

import re

import pytest

from scenarios.errors import EnvironmentProblem
from serving_ref.cluster import tools
from serving_ref.cluster.programs import COMPONENTS, COMPONENTS_BY_NAME, components_for
from serving_ref.cluster.tools import TOOLS, Toolbox, find_go, link_flags, needed_go, pinned_version

SAID = []


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.name)
def test_every_component_is_pinned_with_its_sums_and_names_its_tools(component):
    text = (TOOLS / component.name / "go.mod").read_text()
    assert (TOOLS / component.name / "go.sum").stat().st_size > 0
    assert re.fullmatch(r"v\d+\.\d+\.\d+", pinned_version(component))
    named = re.search(r"^tool \((.*?)^\)|^tool (\S+)$", text, re.MULTILINE | re.DOTALL)
    built = set((named[1] or named[2]).split()) if named else {"."}
    assert built == set(component.packages.values())
    assert (TOOLS / component.name / "main.go").exists() == (built == {"."})


def test_kubernetes_libraries_are_of_kubernetes_version():
    text = (TOOLS / "kubernetes" / "go.mod").read_text()
    version = pinned_version(COMPONENTS_BY_NAME["kubernetes"])
    replaced = re.findall(r"=> k8s.io/\S+ (v\S+)", text)
    assert set(replaced) == {version.replace("v1.", "v0.", 1)}


def test_parts_decide_what_is_built():
    assert [each.name for each in components_for(frozenset())] == ["etcd", "kubernetes", "coredns"]
    assert {each.name for each in components_for(frozenset({"karpenter"}))} >= {"kwok", "karpenter"}
    assert "keda" not in {each.name for each in components_for(frozenset({"prometheus", "redis"}))}


def test_the_folder_names_version_and_recipe(tmp_path, monkeypatch):
    component = COMPONENTS_BY_NAME["etcd"]
    before = Toolbox(tmp_path, SAID.append).folder(component)
    assert before.name.startswith(f"etcd-{pinned_version(component)}-")
    (tmp_path / "copy" / "etcd").mkdir(parents=True)
    for name in ("go.mod", "go.sum"):
        (tmp_path / "copy" / "etcd" / name).write_bytes((TOOLS / "etcd" / name).read_bytes() + b"\n")
    monkeypatch.setattr(tools, "TOOLS", tmp_path / "copy")
    assert Toolbox(tmp_path, SAID.append).folder(component) != before


def test_what_is_built_is_not_built_again(tmp_path, monkeypatch):
    component = COMPONENTS_BY_NAME["etcd"]
    toolbox = Toolbox(tmp_path, SAID.append)
    assert toolbox.missing([component]) == [component]
    toolbox.folder(component).mkdir(parents=True)
    (toolbox.folder(component) / "etcd").touch()
    monkeypatch.setattr(tools, "find_go", lambda _: pytest.fail("Go was asked for"))
    toolbox.build([component])


def test_without_go_the_message_says_which_is_needed(monkeypatch):
    monkeypatch.setattr(tools, "find_program", lambda _: None)
    with pytest.raises(
        EnvironmentProblem, match=r"needs Go 1\.\d+.* or newer, and there is no go on the PATH"
    ):
        find_go(COMPONENTS)


def test_a_go_that_is_too_old_is_refused_in_words(monkeypatch, tmp_path):
    program = tmp_path / "go"
    program.write_text("#!/bin/sh\necho go1.19.8\n")
    program.chmod(0o755)
    monkeypatch.setattr(tools, "find_program", lambda _: program)
    with pytest.raises(EnvironmentProblem, match=r"go is go1\.19\.8"):
        find_go(COMPONENTS)


def test_the_newest_requirement_counts():
    assert needed_go(COMPONENTS) == max(needed_go([component]) for component in COMPONENTS)


def test_a_build_that_fails_keeps_nothing_and_shows_the_end_of_what_go_said(tmp_path, monkeypatch):
    program = tmp_path / "go"
    program.write_text("#!/bin/sh\n[ $1 = env ] && echo go9.9.9 && exit\necho 'no such module' >&2; exit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(tools, "find_program", lambda _: program)
    toolbox, component = Toolbox(tmp_path / "cache", SAID.append), COMPONENTS_BY_NAME["etcd"]
    with pytest.raises(EnvironmentProblem, match="go build of etcd failed with status 1:\nno such module"):
        toolbox.build([component])
    assert toolbox.missing([component]) == [component]


def test_the_version_is_stamped_into_the_program():
    flags = link_flags(COMPONENTS_BY_NAME["kubernetes"])
    assert (
        f"-X=k8s.io/component-base/version.gitVersion={pinned_version(COMPONENTS_BY_NAME['kubernetes'])}"
        in flags
    )
