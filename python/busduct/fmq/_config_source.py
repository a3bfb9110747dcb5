"""Where settings come from: the environment, a file, a mapping, keyword arguments."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import msgspec

from busduct.errors import ConfigError
from busduct.fmq._config import Config, Endpoint, SocketOptions
from busduct.fmq._config_checks import check_keys

__all__ = ["CONFIG_VARIABLE", "AnyConfig", "read_config"]

CONFIG_VARIABLE = "FMQ_CONFIG_JSON"

AnyConfig: TypeAlias = Config | Mapping[str, Any] | str | os.PathLike[str] | None

StructT = TypeVar("StructT", bound=msgspec.Struct)


def read_config(given: AnyConfig, overrides: Mapping[str, Any]) -> Config:
    """Return the settings that are given, or else those of the environment.

    Args:
        given: A `Config`, a mapping, or the path of a file: TOML if its name ends so,
            else JSON. None for what stands in ``FMQ_CONFIG_JSON``, or else the
            defaults.
        overrides: Settings that take the place of those. `endpoints` and
            `socket_config` are joined key by key.

    Raises:
        ConfigError: A key that is not known, a wrong value, or no such file.
    """
    source, values = _read(given)
    given_values = _mapping(values, source)
    config = _config(given_values, f"{source}: " if source else "")
    if not overrides:
        return config
    joined = {
        name: _joined(given_values, name, value) for name, value in overrides.items()
    }
    return _config(given_values | joined, "")


def _read(given: AnyConfig) -> tuple[str, Any]:
    """Return where settings come from, for errors, and what stands there."""
    match given:
        case None:
            text = os.environ.get(CONFIG_VARIABLE, "")
            return CONFIG_VARIABLE, _parse_json(CONFIG_VARIABLE, text.encode())
        case Config():
            return "", _plain(given)
        case str() | os.PathLike():
            return os.fspath(given), _read_file(Path(given))
        case _:
            return "", _plain(given)


def _read_file(path: Path) -> Any:
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        msg = f"settings cannot be read: {error}"
        raise ConfigError(msg) from error
    if path.suffix.lower() != ".toml":
        return _parse_json(str(path), data)
    try:
        return tomllib.loads(data.decode())
    except ValueError as error:
        msg = f"{path}: not TOML: {error}"
        raise ConfigError(msg) from error


def _parse_json(source: str, data: bytes) -> Any:
    try:
        return msgspec.json.decode(data) if data.strip() else {}
    except (ValueError, RecursionError) as error:
        msg = f"{source}: not JSON: {error}"
        raise ConfigError(msg) from error


def _joined(given: Mapping[str, Any], name: str, value: Any) -> Any:
    plain = _plain(value)
    if name in {"endpoints", "socket_config"} and isinstance(plain, dict):
        return dict(given.get(name, {})) | plain
    return plain


def _plain(value: Any) -> Any:
    """Return settings as JSON would have them, which then are checked like it."""
    match value:
        case msgspec.Struct():
            return msgspec.to_builtins(value)
        case os.PathLike():
            return os.fspath(value)
        case Mapping():
            return {name: _plain(item) for name, item in value.items()}
    return value


def _config(given: dict[str, Any], source: str) -> Config:
    check_keys(given, Config.__struct_fields__, source)
    values = dict(given)
    if "endpoints" in values:
        endpoints = _mapping(values["endpoints"], f"{source}endpoints")
        protocol = values.get("default_protocol", "ipc")
        values["endpoints"] = {
            name: _endpoint(endpoint, protocol, f"{source}endpoints.{name}")
            for name, endpoint in endpoints.items()
        }
    if "socket_config" in values:
        path = f"{source}socket_config"
        options = _mapping(values["socket_config"], path)
        values["socket_config"] = _make(SocketOptions, options, f"{path}.")
    return _make(Config, values, source)


def _endpoint(given: Any, protocol: str, path: str) -> Endpoint:
    values = {"protocol": protocol} | _mapping(given, path)
    check_keys(values, (*Endpoint.__struct_fields__, "path"), f"{path}.")
    if "path" in values:
        if "address" in values:
            msg = f"{path} has both address and path, which mean the same"
            raise ConfigError(msg)
        values["address"] = values.pop("path")
    return _make(Endpoint, values, f"{path}.")


def _make(kind: type[StructT], values: dict[str, Any], path: str) -> StructT:
    check_keys(values, kind.__struct_fields__, path)
    try:
        return kind(**values)
    except ConfigError as error:
        msg = f"{path}{error}"
        raise ConfigError(msg) from error


def _mapping(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        msg = f"{path or 'config'} is {value!r}; it must be a mapping of settings"
        raise ConfigError(msg)
    return dict(value)
