"""What every command has: an example of itself in its help, and a form for programs."""

import re

import click
import pytest

from baseload.cli import cli


def commands(group=cli, path=()):
    """(words, command) of all that can be run, groups looked through."""
    context = click.Context(group)
    for name in group.list_commands(context):
        each = group.get_command(context, name)
        if isinstance(each, click.Group):
            yield from commands(each, (*path, name))
        else:
            yield (*path, name), each


COMMANDS = dict(commands())


def test_none_is_overlooked():
    assert {("simulate",), ("cluster", "up"), ("cluster", "node", "add"), ("stack", "up")} <= COMMANDS.keys()


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_help_shows_the_command_at_work(words):
    help_text = COMMANDS[words].help
    assert re.search(rf"Examples?:\n(?:.*\n)*.*baseload {' '.join(words)}\b", help_text), help_text


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_programs_get_json(words):
    assert "--json" in {name for parameter in COMMANDS[words].params for name in parameter.opts}
