"""The mode ``max``: answers made beforehand, sent as soon as a request is whole."""

import re
from dataclasses import dataclass

from busduct.endpoint.echo._config import EchoConfig
from busduct.endpoint.echo._connection import Connection, Service
from busduct.endpoint.echo._formats import FORMATS, AnswerFormat
from busduct.endpoint.echo._http import EVENTS_HEAD, LAST_CHUNK, chunk, response

__all__ = ["PrebuiltConnection", "PrebuiltService"]

# NB: the body is searched, not parsed. Inside a text the quotes have backslashes, so
# no prompt can pass for the field; a field of that name deeper in the object could.
_STREAM = re.compile(rb'"stream"\s*:\s*true')
_USAGE = re.compile(rb'"include_usage"\s*:\s*true')


@dataclass(frozen=True)
class _Answers:
    """Whole responses for one path."""

    whole: bytes
    streamed: bytes
    streamed_with_usage: bytes


class _AnswersByPath(dict[bytes, _Answers]):
    """Answers, made when the first request for them comes: they may be large."""

    def __init__(self, config: EchoConfig) -> None:
        super().__init__()
        self._config = config
        self.formats = {format_.path: format_ for format_ in FORMATS}

    def __missing__(self, path: bytes) -> _Answers:
        self[path] = _build(self.formats[path], self._config)
        return self[path]


class PrebuiltService(Service):
    """The responses of a server, by path."""

    def __init__(self, config: EchoConfig) -> None:
        super().__init__(config.model, config.max_body_bytes)
        self.answers = _AnswersByPath(config)


class PrebuiltConnection(Connection):
    """A connection whose requests are answered at once."""

    def __init__(self, service: PrebuiltService) -> None:
        super().__init__(service)
        self._answers = service.answers

    def takes_posts(self, path: bytes) -> bool:
        """Tell whether requests for answers go to `path`."""
        return path in self._answers.formats

    def answer(self, path: bytes, body: bytes) -> bool:
        """Send what is made for `path`."""
        try:
            answers = self._answers[path]
        except KeyError:
            return False
        # Looking for the plain name first is many times faster than the pattern.
        if b'"stream"' in body and _STREAM.search(body):
            with_usage = b'"include_usage"' in body and _USAGE.search(body)
            self._transport.write(
                answers.streamed_with_usage if with_usage else answers.streamed
            )
        else:
            self._transport.write(answers.whole)
        return True

    def reply(self, data: bytes) -> None:
        """Send `data`."""
        self._transport.write(data)

    def close_after_replies(self) -> None:
        """Close once all is sent."""
        self._transport.close()


def _build(format_: AnswerFormat, config: EchoConfig) -> _Answers:
    text = "x" * config.output_length
    step = config.stream_interval
    pieces = b"".join(
        chunk(format_.piece(config.model, text, start, min(start + step, len(text))))
        for start in range(0, len(text), step)
    )
    plain, with_usage = (
        EVENTS_HEAD
        + pieces
        + chunk(format_.ending(config.model, text, 1, include_usage=include_usage))
        + LAST_CHUNK
        for include_usage in (False, True)
    )
    whole = response(200, format_.whole(config.model, text, 1))
    return _Answers(whole, plain, with_usage)
