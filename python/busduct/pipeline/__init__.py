"""From text to text: tokenizer, scheduler and detokenizer in processes of their own."""

from busduct.pipeline._types import (
    EngineConfig,
    EngineHealth,
    EngineStatus,
    FinishReason,
    GenerateOutput,
    ProcessHealth,
    SamplingParams,
)
from busduct.pipeline.engine import Engine
from busduct.pipeline.port_args import PortArgs
from busduct.pipeline.tokenizer_manager import TokenizerManager
from busduct.transport import get_zmq_socket

__all__ = [
    "Engine",
    "EngineConfig",
    "EngineHealth",
    "EngineStatus",
    "FinishReason",
    "GenerateOutput",
    "PortArgs",
    "ProcessHealth",
    "SamplingParams",
    "TokenizerManager",
    "get_zmq_socket",
]
