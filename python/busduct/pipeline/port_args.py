"""The endpoints of one engine."""

from typing import Self

import msgspec

from busduct.pipeline._types import EngineConfig
from busduct.transport._runtime_dir import (
    base_directory,
    ipc_endpoint,
    new_instance_path,
)

__all__ = ["PortArgs"]


class PortArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The names of an engine's sockets, each bound by the process it is named after.

    Attributes:
        directory: Of the sockets.
        tokenizer_ipc_name: Text and readiness, to the tokenizer.
        scheduler_input_ipc_name: Requests, to the scheduler.
        detokenizer_ipc_name: Tokens, to the detokenizer.
    """

    directory: str
    tokenizer_ipc_name: str
    scheduler_input_ipc_name: str
    detokenizer_ipc_name: str

    @classmethod
    def init_new(cls, config: EngineConfig) -> Self:
        """Choose names that no other instance has; nothing is made in the file system.

        Raises:
            ConfigError: The paths are too long for sockets.
        """
        directory = new_instance_path(base_directory(config.runtime_dir))
        return cls(
            directory=str(directory),
            tokenizer_ipc_name=ipc_endpoint(directory, "tokenizer"),
            scheduler_input_ipc_name=ipc_endpoint(directory, "scheduler"),
            detokenizer_ipc_name=ipc_endpoint(directory, "detokenizer"),
        )
