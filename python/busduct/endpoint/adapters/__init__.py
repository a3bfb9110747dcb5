"""How queries and results look to each kind of inference endpoint."""

from busduct.endpoint.adapters._openai import OpenAIEvent
from busduct.endpoint.adapters._openai_chat import OpenAIChatAdapter
from busduct.endpoint.adapters._openai_completions import OpenAICompletionsAdapter
from busduct.endpoint.adapters._protocol import HttpRequestAdapter
from busduct.endpoint.adapters._sglang import SGLangEvent, SGLangGenerateAdapter

__all__ = [
    "HttpRequestAdapter",
    "OpenAIChatAdapter",
    "OpenAICompletionsAdapter",
    "OpenAIEvent",
    "SGLangEvent",
    "SGLangGenerateAdapter",
]
