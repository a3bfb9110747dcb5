"""The queries to send, one after the other (no I/O)."""

import random
from typing import Any

from busduct.endpoint._urls import ApiType
from busduct.endpoint.load._config import LoadConfig
from busduct.endpoint.load._prompts import PromptMaker
from busduct.messages import Query

__all__ = ["QuerySource"]

# What each adapter calls the most tokens of an answer.
_LIMIT_FIELDS: dict[ApiType, str] = {
    "openai": "max_completion_tokens",
    "openai_completions": "max_tokens",
    "sglang": "max_new_tokens",
}
_ANY_LIMIT = (*_LIMIT_FIELDS.values(), "sampling_params", "sampling_parameters")


class QuerySource:
    """Makes queries of a dataset's lines, in turn, or of made-up prompts.

    Args:
        config: Of the load.
        rows: The dataset; None makes prompts up.
    """

    def __init__(self, config: LoadConfig, rows: list[dict[str, Any]] | None) -> None:
        self._config = config
        self._rows = rows
        self._prompts = PromptMaker(config.input_lengths, config.seed)
        # Of its own, so that lengths of answers do not change those of prompts.
        self._source = random.Random(config.seed + 1)
        self._common: dict[str, Any] = {"stream": config.stream}
        if config.model is not None:
            self._common["model"] = config.model
        if config.stream and config.api != "sglang":
            # Without it a stream does not tell how many tokens it was.
            self._common["stream_options"] = {"include_usage": True}

    def query(self, number: int) -> Query:
        """Return the query of that number, from 0; never the same id twice."""
        if self._rows is None:
            data = {**self._common, "prompt": self._prompts.prompt(number)}
        else:
            row = self._rows[number % len(self._rows)]
            # What a line says of itself stands, but not whether it is streamed: what is
            # measured depends on that.
            data = {**self._common, **row, "stream": self._config.stream}
            if "prompt" not in data and "text" in data:
                data["prompt"] = data.pop("text")
            if not self._config.stream:
                data.pop("stream_options", None)
        lengths = self._config.output_lengths
        if lengths is not None and not any(name in data for name in _ANY_LIMIT):
            data[_LIMIT_FIELDS[self._config.api]] = lengths.sample(self._source)
        return Query(id=str(number), data=data, created_at=0.0)
