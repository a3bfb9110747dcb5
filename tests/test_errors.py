"""The tree in the documentation of the errors is the tree of their classes."""

import builtins
import inspect
import re
from typing import NamedTuple

import pytest

from busduct import errors

# Three characters a level: "|- ", "`- ", "|  " or spaces.
LINE = re.compile(
    r"    (?P<indent>(?:[|` ][- ] )*)(?P<name>\w+)(?:\((?P<fields>[\w, ]+)\))?"
    r"(?: +also an? (?P<other>\w+))?$"
)


class Entry(NamedTuple):
    name: str
    parent: str
    fields: tuple[str, ...]
    other: str | None


def entries() -> list[Entry]:
    assert errors.__doc__ is not None
    found, above = [], ["Exception"]
    for line in errors.__doc__.split("::\n\n")[1].splitlines():
        match = LINE.match(line)
        assert match, line
        depth = len(match["indent"]) // 3 + 1
        fields = match["fields"].split(", ") if match["fields"] else ()
        found.append(Entry(match["name"], above[depth - 1], (*fields,), match["other"]))
        above[depth:] = [match["name"]]
    return found


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.name)
def test_class_is_where_the_tree_has_it(entry: Entry) -> None:
    kind = getattr(errors, entry.name)
    bases = [base.__name__ for base in kind.__bases__]
    assert bases == [entry.parent, *([entry.other] if entry.other else [])]
    if entry.other:
        assert issubclass(kind, getattr(builtins, entry.other))


@pytest.mark.parametrize(
    "entry",
    [entry for entry in entries() if entry.fields],
    ids=lambda entry: entry.name,
)
def test_fields_are_attributes(entry: Entry) -> None:
    kind = getattr(errors, entry.name)
    parameters = [*inspect.signature(kind).parameters.values()]
    given = {one.name: 7 for one in parameters if one.default is one.empty}
    error = kind(**given)
    assert {
        name: getattr(error, name) for name in entry.fields
    }.items() <= given.items()


def test_tree_has_all_that_is_exported() -> None:
    assert sorted(entry.name for entry in entries()) == errors.__all__
