"""Where queues and topics are, and what they do at their limits."""

import os
from pathlib import Path
from typing import Any

from busduct.errors import ConfigError
from busduct.fmq._class_or_instance import of_class_or_instance
from busduct.fmq._config import Config, Endpoint, default_ipc_root
from busduct.fmq._config_checks import check_name
from busduct.fmq._config_source import AnyConfig, read_config
from busduct.fmq._options import QueueOptions
from busduct.fmq._queue_options import queue_options
from busduct.transport._runtime_dir import base_directory, ipc_endpoint, make_private

__all__ = ["EndpointManager"]

_IPC_SCHEME = "ipc://"


class _ConfigOf:
    """The settings of a manager; on the class, those of the environment."""

    def __get__(
        self, instance: "EndpointManager | None", owner: "type[EndpointManager]"
    ) -> Config:
        return (owner() if instance is None else instance)._config


class EndpointManager:
    """Answers, for each name, from one set of settings.

    On the class itself, `config`, `load_config` and `get_endpoint` answer from what the
    environment says at that moment; nothing is kept there.

    Args:
        config: A `Config`, a mapping of settings, or the path of a JSON or TOML file.
            None for what stands in ``FMQ_CONFIG_JSON``, or else the defaults.
        **overrides: Settings that take the place of those; `endpoints` and
            `socket_config` are joined key by key.

    Raises:
        ConfigError: A key that is not known, a wrong value, or no such file.
    """

    config = _ConfigOf()

    def __init__(self, config: AnyConfig = None, **overrides: Any) -> None:
        self._config = read_config(config, overrides)

    @of_class_or_instance
    def load_config(self, path: AnyConfig = None) -> Config:
        """Read settings anew, keep them from here on, and return them.

        Args:
            path: As `config` of the constructor.

        Raises:
            ConfigError: As for the constructor.
        """
        self._config = read_config(path, {})
        return self._config

    @of_class_or_instance
    def get_endpoint(self, name: str) -> Endpoint:
        """Return where a queue or topic is; nothing in it is None.

        Raises:
            ConfigError: It cannot be a name, or there is no address for it.
        """
        config = self._config
        given = config.endpoints.get(check_name(name))
        protocol = config.default_protocol if given is None else given.protocol
        address = None if given is None else given.address
        if address is None:
            address = self._automatic_address(name, protocol)
        elif protocol == "ipc":
            address = _within_limit(Path(address))
        io_threads = None if given is None else given.io_threads
        copy = None if given is None else given.copy
        return Endpoint(
            protocol,
            address,
            config.io_threads if io_threads is None else io_threads,
            config.copy if copy is None else copy,
        )

    def address_of(self, name: str) -> str:
        """Return where a queue or topic is, as sockets write it.

        Raises:
            ConfigError: As `get_endpoint`.
        """
        endpoint = self.get_endpoint(name)
        return f"{endpoint.protocol}://{endpoint.address}"

    def options_of(self, name: str, **overrides: Any) -> QueueOptions:
        """Return what a queue or topic does at its limits.

        Args:
            name: Which one.
            **overrides: Fields of `QueueOptions` that take the place of what the
                settings say.

        Raises:
            ConfigError: As `get_endpoint`; or an override that is not known, or wrong.
        """
        copy = bool(self.get_endpoint(name).copy)
        return queue_options(self._config.socket_config, copy, overrides)

    @property
    def uses_io_thread(self) -> bool:
        """Whether a thread of the context's own moves bytes: `Config.io_threads`."""
        config = self._config
        asked = [endpoint.io_threads or 0 for endpoint in config.endpoints.values()]
        return max([config.io_threads, *asked]) > 1

    def make_directory_of(self, name: str) -> None:
        """Make the directory that an ipc endpoint is in, of mode 0700, if need be.

        One that is there already is left as it is, but for the automatic one, which
        must be of this user alone.

        Raises:
            ConfigError: As `get_endpoint`; or what is there will not do.
            OSError: What else the system refuses.
        """
        endpoint = self.get_endpoint(name)
        if endpoint.protocol != "ipc":
            return
        directory = Path(str(endpoint.address)).parent
        if str(directory) == default_ipc_root():
            make_private(base_directory())
            make_private(directory)
        elif not directory.is_dir():
            _make_directory(directory)

    def data_directory_of(self, name: str) -> Path | None:
        """Return where sockets of single members go, below which each makes its own.

        It is near the address, so that who shares that directory shares this one; None
        over tcp. A `RuntimeDirectory` makes it, of mode 0700.

        Raises:
            ConfigError: As `get_endpoint`.
        """
        endpoint = self.get_endpoint(name)
        if endpoint.protocol != "ipc":
            return None
        directory = Path(str(endpoint.address)).parent
        is_automatic = str(directory) == default_ipc_root()
        return directory if is_automatic else directory / f"fmq-{os.getuid()}"

    def _automatic_address(self, name: str, protocol: str) -> str:
        if protocol == "ipc":
            return _within_limit(Path(self._config.ipc_root) / f"fmq_{name}.ipc")
        msg = (
            f"endpoints.{name} has no address: over tcp both sides must know one; set "
            f'endpoints.{name} to {{"protocol": "tcp", "address": "HOST:PORT"}}, or '
            "default_protocol to ipc"
        )
        raise ConfigError(msg)


def _within_limit(path: Path) -> str:
    return ipc_endpoint(path.parent, path.name).removeprefix(_IPC_SCHEME)


def _make_directory(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError as error:
        msg = f"{directory}, where the endpoint is to be, is no directory"
        raise ConfigError(msg) from error
