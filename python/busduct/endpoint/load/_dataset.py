"""Prompts from a file of JSON lines."""

from pathlib import Path
from typing import Any

import msgspec

from busduct.endpoint._urls import ApiType
from busduct.errors import ConfigError

__all__ = ["load_dataset", "parse_dataset"]

# One of these says what to ask.
_PROMPT_FIELDS: dict[ApiType, tuple[str, ...]] = {
    "openai": ("messages", "prompt", "text"),
    "openai_completions": ("prompt", "text", "input_tokens", "input_ids"),
    "sglang": ("prompt", "text", "input_tokens", "input_ids"),
}


def load_dataset(path: Path, api: ApiType) -> list[dict[str, Any]]:
    """Return the requests of a file for an API, in the file's order.

    Raises:
        ConfigError: It cannot be read, or a line is no request; the text tells which.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        msg = f"dataset {path}: {error.strerror}"
        raise ConfigError(msg) from error
    return parse_dataset(data, str(path), api)


def parse_dataset(data: bytes, name: str, api: ApiType) -> list[dict[str, Any]]:
    """Return the requests in `data`; empty lines are skipped.

    Args:
        data: JSON objects, one a line.
        name: Of the file, for errors.
        api: Which must be able to ask it.

    Raises:
        ConfigError: A line is no request, or there is none.
    """
    found = [
        _parse_line(line, f"{name}, line {number}", _PROMPT_FIELDS[api])
        for number, line in enumerate(data.split(b"\n"), 1)
        if line.strip()
    ]
    if not found:
        msg = f"dataset {name} has no lines"
        raise ConfigError(msg)
    return found


def _parse_line(line: bytes, where: str, fields: tuple[str, ...]) -> dict[str, Any]:
    try:
        row = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        msg = f"{where}: not JSON: {error}"
        raise ConfigError(msg) from error
    if not isinstance(row, dict):
        msg = f"{where}: a JSON {_kind(row)}; it must be an object"
        raise ConfigError(msg)
    given = [field for field in fields if row.get(field) is not None]
    if not given:
        msg = f"{where}: nothing to ask; give one of {', '.join(fields)}"
        raise ConfigError(msg)
    for field in given:
        _check_field(field, row[field], where)
    return row


def _check_field(field: str, value: Any, where: str) -> None:
    if field == "text":
        is_sound, wanted = isinstance(value, str), "a string"
    elif field == "prompt":
        is_sound = isinstance(value, str) or (isinstance(value, list) and value != [])
        wanted = "a string or an array, not empty"
    else:
        item = dict if field == "messages" else int
        is_sound = isinstance(value, list) and value != []
        is_sound = is_sound and all(type(entry) is item for entry in value)
        wanted = f"an array of {'objects' if item is dict else 'integers'}, not empty"
    if not is_sound:
        msg = f"{where}: {field} is a JSON {_kind(value)}; it must be {wanted}"
        raise ConfigError(msg)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "boolean", int: "number", float: "number", str: "string"}
    return names.get(type(value), "array" if isinstance(value, list) else "object")
