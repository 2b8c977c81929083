"""The ledger: written before, read after, undone in an order in which nothing is in use."""

from hypothesis import given
from hypothesis import strategies as st

from serving_ref.cluster.ledger import (
    UNDO_ORDER,
    Cgroup,
    Folder,
    Ledger,
    Link,
    Processes,
    Sysctl,
    from_lines,
    to_line,
    undo_order,
)

words = st.text(min_size=1, max_size=8)
entries = st.one_of(
    st.builds(Processes, words),
    st.builds(Link, words),
    st.builds(Cgroup, words),
    st.builds(Folder, words),
    st.builds(Sysctl, words, words, words),
)


@given(st.lists(entries))
def test_what_is_written_is_read(several):
    assert from_lines("".join(map(to_line, several))) == several


@given(st.lists(entries, min_size=1), st.data())
def test_a_ledger_cut_off_while_it_was_written_loses_its_last_entry_at_most(several, data):
    lines = [to_line(entry) for entry in several]
    cut = data.draw(st.integers(0, len(lines[-1]) - 1))
    assert from_lines("".join(lines[:-1]) + lines[-1][:cut]) == several[:-1]


@given(st.lists(entries))
def test_processes_end_first_and_folders_go_last(several):
    ranks = [UNDO_ORDER.index(type(entry)) for entry in undo_order(several)]
    assert ranks == sorted(ranks)


def test_a_group_goes_before_the_group_that_holds_it():
    assert undo_order([Cgroup("/a"), Cgroup("/a/b")]) == [Cgroup("/a/b"), Cgroup("/a")]


def test_a_setting_goes_back_to_what_it_was_before_the_first_change():
    again = [Sysctl("/proc/x", "0", "1"), Sysctl("/proc/x", "1", "2")]
    assert undo_order(again) == [Sysctl("/proc/x", "0", "1")]


def test_an_entry_is_on_disk_when_write_returns_and_only_once(tmp_path):
    ledger = Ledger(tmp_path / "ledger")
    for _ in range(2):
        ledger.write(Link("bl-x"))
        ledger.write(Folder("/x"))
    assert Ledger(tmp_path / "ledger").entries() == [Link("bl-x"), Folder("/x")]


@given(st.lists(entries, min_size=1, unique=True), entries, st.data())
def test_after_a_line_that_was_cut_off_the_next_one_is_whole(tmp_path_factory, several, another, data):
    ledger = Ledger(tmp_path_factory.mktemp("ledger") / "ledger")
    *before, last = [to_line(entry).encode() for entry in several]
    ledger.path.write_bytes(b"".join(before) + last[: data.draw(st.integers(0, len(last) - 1))])
    ledger.write(another)
    assert ledger.entries() == list(dict.fromkeys([*several[:-1], another]))


def test_there_is_nothing_to_undo_without_a_ledger(tmp_path):
    assert Ledger(tmp_path / "none").entries() == []
