"""Join the events of a stream into chunks and a result."""

from busduct.endpoint.accumulators._openai import OpenAISSEAccumulator
from busduct.endpoint.accumulators._protocol import SSEAccumulatorProtocol
from busduct.endpoint.accumulators._sglang import SGLangSSEAccumulator

__all__ = ["OpenAISSEAccumulator", "SGLangSSEAccumulator", "SSEAccumulatorProtocol"]
