"""The mode ``variable``: answers that take their time, as a model's do."""

import random
import time
from collections import deque
from collections.abc import Callable
from functools import partial

import msgspec

from busduct.endpoint.echo._config import EchoConfig
from busduct.endpoint.echo._connection import Connection, Service
from busduct.endpoint.echo._formats import FORMATS, AnswerFormat, error_body
from busduct.endpoint.echo._http import EVENTS_HEAD, LAST_CHUNK, chunk, response
from busduct.endpoint.echo._requests import EchoRequest, decode_request
from busduct.endpoint.echo._timer_wheel import TimerWheel

__all__ = ["PacedConnection", "PacedService"]

# Requests of one connection that wait for the responses before theirs.
_MAX_PIPELINED = 64
_MAX_TOKENS = 1 << 20


class PacedService(Service):
    """What the connections share: the wheel, chance, and the places for requests.

    Attributes:
        config: Of the server.
        wheel: Of the loop.
        source: Of delays and errors.
        formats: How to answer, by path.
    """

    def __init__(self, config: EchoConfig, wheel: TimerWheel) -> None:
        super().__init__(config.model, config.max_body_bytes)
        self.config = config
        self.wheel = wheel
        self.source = random.Random(config.seed)
        self.formats = {format_.path: format_ for format_ in FORMATS}
        self._num_running = 0
        self._waiting: deque[_Answer] = deque()

    def admit(self, answer: "_Answer") -> None:
        """Start `answer` when there is a place for it."""
        limit = self.config.max_concurrency
        if limit and self._num_running >= limit:
            self._waiting.append(answer)
        else:
            self._num_running += 1
            answer.start()

    def leave(self) -> None:
        """Give the place of an answer to the next."""
        self._num_running -= 1
        while self._waiting:
            answer = self._waiting.popleft()
            if not answer.is_cancelled:
                self.admit(answer)
                return


class PacedConnection(Connection):
    """A connection whose requests are answered one after the other."""

    def __init__(self, service: PacedService) -> None:
        super().__init__(service)
        self._paced = service
        self._queue: deque[Callable[[], None]] = deque()
        self._running: _Answer | None = None
        self._closes = False

    def takes_posts(self, path: bytes) -> bool:
        """Tell whether requests for answers go to `path`."""
        return path in self._paced.formats

    def answer(self, path: bytes, body: bytes) -> bool:
        """Answer in turn."""
        format_ = self._paced.formats.get(path)
        if format_ is None:
            return False
        self._enqueue(partial(self._begin, format_, body))
        return True

    def reply(self, data: bytes) -> None:
        """Send `data` in turn."""
        self._enqueue(partial(self._transport.write, data))

    def close_after_replies(self) -> None:
        """Close once all is sent."""
        self._closes = True
        self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give up what is under way: nobody reads it."""
        super().connection_lost(exc)
        self._queue.clear()
        if self._running is not None:
            self._running.cancel()
            self._running = None

    def write(self, data: bytes) -> None:
        """Send a part of the running answer."""
        self._transport.write(data)

    def finish(self) -> None:
        """Go on to the next request: the running answer is all sent."""
        self._running = None
        self._go_on()

    def _enqueue(self, work: Callable[[], None]) -> None:
        self._queue.append(work)
        self._go_on()
        if len(self._queue) > _MAX_PIPELINED:
            self._transport.pause_reading()

    def _go_on(self) -> None:
        while self._queue and self._running is None:
            self._queue.popleft()()
        if self._running is not None:
            return
        if self._closes:
            self._transport.close()
        elif not self._transport.is_closing():
            self._transport.resume_reading()

    def _begin(self, format_: AnswerFormat, body: bytes) -> None:
        try:
            request = decode_request(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self.write(response(400, error_body(str(error), "invalid_json")))
            return
        config = self._paced.config
        if self._paced.source.random() < config.error_rate:
            body = error_body("an error, as was asked for", "echo_error")
            self.write(response(config.error_status, body))
            return
        kind = _StreamedAnswer if request.stream else _WholeAnswer
        self._running = kind(self, self._paced, format_, request)
        self._paced.admit(self._running)


class _Answer:
    """An answer under way.

    Attributes:
        is_cancelled: Whether its connection is gone.
    """

    def __init__(
        self,
        connection: PacedConnection,
        service: PacedService,
        format_: AnswerFormat,
        request: EchoRequest,
    ) -> None:
        self.is_cancelled = False
        self._has_started = False
        self._connection = connection
        self._service = service
        self._format = format_
        self._include_usage = request.include_usage
        prompt = request.prompt_text()
        self._num_prompt_tokens = len(prompt)
        self._text = _text_of(service.config, request, prompt)
        self._due = time.monotonic()

    def start(self) -> None:
        """Begin to run."""
        self._has_started = True
        # The time to the first token counts from here: a wait for a place adds to it.
        self._due = time.monotonic()
        self._wait(self._first_wait())

    def cancel(self) -> None:
        """Give up, and leave the place to another."""
        self.is_cancelled = True
        if self._has_started:
            self._service.leave()

    def _first_wait(self) -> float:
        raise NotImplementedError

    def _step(self) -> None:
        raise NotImplementedError

    def _wait(self, seconds: float) -> None:
        # Added to when it was due, not to when it happened: delays do not add up.
        self._due += seconds
        self._service.wheel.call_at(self._due, self._on_due)

    def _on_due(self) -> None:
        if not self.is_cancelled:
            self._step()

    def _finish(self) -> None:
        self._service.leave()
        self._connection.finish()


class _WholeAnswer(_Answer):
    """An answer in one piece, after as long as a streamed one would have taken."""

    def _first_wait(self) -> float:
        config, source = self._service.config, self._service.source
        rest = (len(self._text) - 1) * config.tpot.sample(source)
        return config.ttft.sample(source) + max(rest, 0.0)

    def _step(self) -> None:
        model = self._service.config.model
        body = self._format.whole(model, self._text, self._num_prompt_tokens)
        self._connection.write(response(200, body))
        self._finish()


class _StreamedAnswer(_Answer):
    """An answer as events: the first when its first token is due."""

    _position = 0

    def _first_wait(self) -> float:
        return self._service.config.ttft.sample(self._service.source)

    def _step(self) -> None:
        config = self._service.config
        start = self._position
        end = self._position = min(start + config.stream_interval, len(self._text))
        data = EVENTS_HEAD if start == 0 else b""
        if end > start:
            data += chunk(self._format.piece(config.model, self._text, start, end))
        if end < len(self._text):
            self._connection.write(data)
            wait = config.tpot.sample(self._service.source) * config.stream_interval
            self._wait(wait)
            return
        ending = self._format.ending(
            config.model,
            self._text,
            self._num_prompt_tokens,
            include_usage=self._include_usage,
        )
        self._connection.write(data + chunk(ending) + LAST_CHUNK)
        self._finish()


def _text_of(config: EchoConfig, request: EchoRequest, prompt: str) -> str:
    limit = request.num_tokens
    if config.echo:
        return prompt if limit is None else prompt[: max(limit, 0)]
    length = config.output_length if limit is None else limit
    return "x" * min(max(length, 0), _MAX_TOKENS)
