"""What stands against a cluster here is told in words that say what to do; control groups, old and new."""

import errno
from pathlib import Path

import pytest

from scenarios.errors import EnvironmentProblem
from serving_ref.cluster import cgroups
from serving_ref.cluster.cgroups import CgroupHost, make_group, read_cgroup_host, remove_group
from serving_ref.cluster.host import ENOUGH_INOTIFY, SYSCTLS, HostFacts, complaint, wanted_sysctls

GOOD = HostFacts(is_root=True, missing_packages=(), missing_features=())


def test_a_machine_that_can_has_nothing_against_it():
    assert complaint(GOOD) is None


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (HostFacts(False, (), ()), "needs root"),
        (HostFacts(True, ("containerd", "runc"), ()), "apt-get install containerd runc"),
        (HostFacts(True, (), ("the file system overlay: modprobe overlay",)), "modprobe overlay"),
        (HostFacts(True, (), (), linux=False), "needs Linux"),
    ],
)
def test_what_is_missing_is_told_with_what_to_do(facts, words):
    assert words in complaint(facts)


def test_all_that_is_missing_is_told_at_once():
    words = complaint(HostFacts(True, ("runc",), ("network namespaces (CONFIG_NET_NS)",)))
    assert "runc" in words
    assert "CONFIG_NET_NS" in words


def test_only_settings_that_differ_are_changed_and_only_upwards_where_more_is_enough():
    right = {**SYSCTLS, **{path: str(enough) for path, enough in ENOUGH_INOTIFY.items()}}
    assert wanted_sysctls(right) == {}
    first, second = ENOUGH_INOTIFY
    found = wanted_sysctls({**right, "/proc/sys/kernel/panic": "0", first: "128", second: "9999999"})
    assert found == {"/proc/sys/kernel/panic": "10", first: str(ENOUGH_INOTIFY[first])}


def test_a_setting_that_the_kernel_does_not_have_is_left_out():
    assert wanted_sysctls({}) == {}


@pytest.fixture
def old_host(tmp_path):
    for name in ("cpu", "cpuacct", "cpuset", "memory", "pids"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tasks").touch()
        (tmp_path / name / "cgroup.procs").touch()
    (tmp_path / "unified").mkdir()
    (tmp_path / "unified" / "cgroup.procs").touch()
    return tmp_path


def test_old_control_groups_are_a_hierarchy_a_controller(old_host):
    host = read_cgroup_host(old_host)
    assert host.version == 1
    assert host.missing() == []
    assert "unified" not in host.controllers


def test_groups_are_made_and_removed_in_the_hierarchy_without_controllers_too(old_host):
    assert {path.parent.name for path in read_cgroup_host(old_host).folders("x")} == {
        *("cpu", "cpuacct", "cpuset", "memory", "pids", "unified")
    }


def test_hierarchies_of_several_controllers_count_for_each(tmp_path):
    (tmp_path / "cpu,cpuacct").mkdir()
    for name in ("tasks", "cgroup.procs"):
        (tmp_path / "cpu,cpuacct" / name).touch()
    (tmp_path / "cpu").symlink_to("cpu,cpuacct")
    host = read_cgroup_host(tmp_path)
    assert {"cpu", "cpuacct"} <= set(host.controllers)
    assert host.hierarchies == ((tmp_path / "cpu,cpuacct").resolve(),)
    assert host.missing() == ["cpuset", "memory", "pids"]


def test_a_new_hierarchy_is_one_for_all_and_hands_its_controllers_down(tmp_path):
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    (tmp_path / "cgroup.subtree_control").write_text("cpu memory")
    host = read_cgroup_host(tmp_path)
    assert (host.version, host.missing()) == (2, [])
    make_group(host, "x")
    assert (tmp_path / "x").is_dir()
    # The kernel adds what is written; a plain file keeps the last word only.
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+io"


def test_a_group_that_holds_processes_itself_is_told_with_what_to_do(tmp_path, monkeypatch):
    for name in ("cgroup.controllers", "cgroup.subtree_control"):
        (tmp_path / name).write_text("" if "subtree" in name else "cpu cpuset memory pids perf_event")
    host = read_cgroup_host(tmp_path)

    def refuse(text):
        def write(_, words):
            if words == text:
                raise OSError(errno.EBUSY, "Device or resource busy")

        monkeypatch.setattr(Path, "write_text", write)

    refuse("+cpu +cpuset +memory +pids")
    with pytest.raises(EnvironmentProblem, match=r"busy; .*move them into a group below"):
        make_group(host, "x")
    assert not (tmp_path / "x").exists()
    refuse("+perf_event")  # nodes need it not
    make_group(host, "x")
    assert (tmp_path / "x").is_dir()


def test_a_group_may_use_the_processors_that_its_parent_may(old_host):
    host = read_cgroup_host(old_host)
    folder = old_host / "cpuset"
    (folder / "cpuset.cpus").write_text("0-1")
    (folder / "cpuset.mems").write_text("0")
    (folder / "x").mkdir()
    (folder / "x" / "cpuset.cpus").touch()
    make_group(host, "x")
    assert (folder / "x" / "cpuset.cpus").read_text() == "0-1"
    assert (folder / "x" / "cpuset.mems").read_text() == "0"


def test_a_group_goes_with_all_below_it_and_may_be_gone(tmp_path):
    (tmp_path / "x" / "pod" / "container").mkdir(parents=True)
    remove_group(tmp_path / "x")
    assert not (tmp_path / "x").exists()
    remove_group(tmp_path / "x")


def test_a_group_that_stays_in_use_is_told_by_its_path(tmp_path, monkeypatch):
    monkeypatch.setattr(cgroups, "REMOVAL_TIMEOUT_S", 0.0)
    (tmp_path / "x" / "busy").mkdir(parents=True)
    (tmp_path / "x" / "busy" / "file").touch()
    with pytest.raises(EnvironmentProblem, match="busy"):
        remove_group(tmp_path / "x")


def test_what_nodes_need_is_asked_of_either_version():
    assert CgroupHost(2, (), ("cpu", "memory")).missing() == ["cpuset", "pids"]
    assert "cpuacct" in CgroupHost(1, (), ()).missing()
