"""Both backends have the face that the stub describes."""

import ast
import inspect
import sys
from pathlib import Path
from types import ModuleType

import pytest

import busduct
from busduct import _fallback

STUB = Path(busduct.__file__).with_name("_core.pyi")


def stub_classes() -> dict[str, ast.ClassDef]:
    body = ast.parse(STUB.read_text()).body
    return {node.name: node for node in body if isinstance(node, ast.ClassDef)}


# Before PEP 688 the buffer of a class shows in none of its attributes.
UNSEEN = {"__new__"} | (
    {"__buffer__", "__release_buffer__"} if sys.version_info < (3, 12) else set()
)
METHODS = [
    (cls, node)
    for cls, definition in stub_classes().items()
    for node in definition.body
    if isinstance(node, ast.FunctionDef) and node.name not in UNSEEN
]


def name_of(part: str | ast.FunctionDef) -> str:
    return part if isinstance(part, str) else part.name


@pytest.mark.parametrize(("cls", "node"), METHODS, ids=name_of)
def test_member_exists_on_both_backends(
    backend: ModuleType, cls: str, node: ast.FunctionDef
) -> None:
    assert hasattr(getattr(backend, cls), node.name)


@pytest.mark.parametrize(
    ("cls", "node"),
    [
        (cls, node)
        for cls, node in METHODS
        if not node.decorator_list and not node.name.startswith("__")
    ],
    ids=name_of,
)
def test_fallback_takes_the_arguments_of_the_stub(
    cls: str, node: ast.FunctionDef
) -> None:
    taken = inspect.signature(getattr(getattr(_fallback, cls), node.name)).parameters
    arguments = node.args
    positional = [p for p in taken.values() if p.kind is not p.KEYWORD_ONLY]
    keyword = [p for p in taken.values() if p.kind is p.KEYWORD_ONLY]
    assert [p.name for p in positional] == [a.arg for a in arguments.args]
    assert [p.name for p in keyword] == [a.arg for a in arguments.kwonlyargs]
    defaults = [p.default for p in positional if p.default is not p.empty]
    assert defaults == [ast.literal_eval(d) for d in arguments.defaults]
    assert [p.default for p in keyword if p.default is not p.empty] == [
        ast.literal_eval(d) for d in arguments.kw_defaults if d is not None
    ]


def test_public_members_of_the_fallback_are_those_of_the_stub() -> None:
    for name, definition in stub_classes().items():
        described = {n.name for n in definition.body if isinstance(n, ast.FunctionDef)}
        found = {m for m in vars(getattr(_fallback, name)) if not m.startswith("_")}
        assert found == {member for member in described if not member.startswith("_")}


@pytest.mark.parametrize("cls", ["Batches", "Lease", "Loan", "Monitor", "Socket"])
def test_what_others_open_cannot_be_made(backend: ModuleType, cls: str) -> None:
    with pytest.raises(TypeError):
        getattr(backend, cls)()


def test_kinds_are_numbered_as_in_libzmq(backend: ModuleType) -> None:
    names = [
        "PAIR",
        "PUB",
        "SUB",
        "REQ",
        "REP",
        "DEALER",
        "ROUTER",
        "PULL",
        "PUSH",
        "XPUB",
        "XSUB",
    ]
    assert [getattr(backend, name) for name in names] == list(range(len(names)))
    assert backend.BACKEND in {"rust", "python"}
