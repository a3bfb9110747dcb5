"""What an engine tells a process that it starts."""

from typing import Literal, TypeAlias

import msgspec

from busduct.pipeline._types import EngineConfig
from busduct.pipeline.port_args import PortArgs

__all__ = ["ChildSettings", "Role"]

Role: TypeAlias = Literal["scheduler", "detokenizer"]


class ChildSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the engine writes to a process's standard input, as a line of JSON.

    Attributes:
        role: What to be.
        parent_pid: Of the engine.
        generation: Comes back in the report of readiness.
        epoch: Requests of earlier ones are ignored.
        model_path: Directory of the model; None lets the runner choose.
        tokenizer_path: The file ``tokenizer.json``.
        config: Of the engine.
        ports: Of the engine.
    """

    role: Role
    parent_pid: int
    generation: int
    epoch: int
    model_path: str | None
    tokenizer_path: str
    config: EngineConfig
    ports: PortArgs
