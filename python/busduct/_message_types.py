"""Read what a message type is made of, and tell why a payload is not one."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, get_type_hints

import msgspec

from busduct.errors import ConfigError, MalformedFrameError, RemoteProtocolError
from busduct.tensors._fields import check_hint
from busduct.tensors._libraries import maker_of

__all__ = ["check_message_type", "decode_error", "nodes_of"]

_OFFSET = re.compile(r" ?\(byte (\d+)\)$")


def check_message_type(message_type: Any, nodes: Iterable[Any]) -> bool:
    """Tell whether messages of a type may hold arrays.

    Args:
        message_type: The type.
        nodes: What it is made of, from `nodes_of`.

    Raises:
        ConfigError: It holds `msgspec.msgpack.Ext`, or arrays that cannot be checked.
    """
    nodes = list(nodes)
    if any(isinstance(node, msgspec.inspect.ExtType) for node in nodes):
        msg = f"{message_type} holds an extension type, which could be anything"
        raise ConfigError(msg)
    if not any(_is_tensor(node) for node in nodes):
        return False
    check_hint(message_type)
    for hint in _hints_of(nodes):
        check_hint(hint)
    return True


def nodes_of(message_type: Any) -> Iterator[Any]:
    """Yield what a type is made of; types may refer to themselves."""
    seen: set[int] = set()
    nodes: list[Any] = [msgspec.inspect.type_info(message_type)]
    while nodes:
        node = nodes.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        if isinstance(node, tuple | list):
            nodes.extend(node)
        elif isinstance(node, msgspec.inspect.Type | msgspec.inspect.Field):
            nodes.extend(getattr(node, name) for name in node.__struct_fields__)


def decode_error(error: Exception, name: str, nbytes: int) -> RemoteProtocolError:
    """Return what to raise of a payload that msgspec did not decode.

    Args:
        error: What it raised.
        name: Of the type that was due.
        nbytes: Of the payload.
    """
    if isinstance(error, msgspec.DecodeError) and not isinstance(
        error, msgspec.ValidationError
    ):
        text = str(error)
        found = _OFFSET.search(text)
        # Without an offset, it is the end that came too early.
        offset = int(found.group(1)) if found else nbytes
        return MalformedFrameError(offset, _OFFSET.sub("", text))
    return RemoteProtocolError(f"payload is not a {name}: {error}")


def _is_tensor(node: Any) -> bool:
    is_custom = isinstance(node, msgspec.inspect.CustomType)
    return is_custom and maker_of(node.cls) is not None


def _hints_of(nodes: Iterable[Any]) -> Iterator[Any]:
    """Yield the types of fields as they were written: `inspect` tells only classes."""
    for node in nodes:
        owner = getattr(node, "cls", None)
        if owner is not None and not _is_tensor(node):
            yield from get_type_hints(owner).values()
