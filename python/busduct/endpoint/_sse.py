"""Take the data of events out of a `text/event-stream`, fed in pieces of any size."""

from busduct.errors import ConfigError, FrameTooLargeError

__all__ = ["SSEParser"]

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BLANK_LINE = b"\n\n"


class SSEParser:
    """Parse server-sent events as the WHATWG specification says.

    See https://html.spec.whatwg.org/multipage/server-sent-events.html. Lines end in CR,
    LF or CRLF; a byte order mark counts only at the start; the `data` lines of an event
    are joined by LF; comments and fields without a colon are understood. Of the other
    fields nothing is kept: `event`, `id` and `retry` serve reconnecting, and a request
    of an inference endpoint is not made twice.

    Data is given as the bytes that came: the specification has text that is not UTF-8
    replaced, here whoever decodes it finds out.

    What is held, and looked at again, is at most one unfinished event, whatever the
    size of the pieces: the work is linear in the bytes fed.

    Args:
        max_event_bytes: What one event may take with names of fields, comments and the
            blank line that ends it.

    Raises:
        ConfigError: `max_event_bytes` is below 1.
    """

    __slots__ = ("_after_cr", "_held", "_is_between", "_max_event_bytes", "_start")

    def __init__(self, max_event_bytes: int = 64 << 20) -> None:
        if max_event_bytes < 1:
            msg = f"max_event_bytes is {max_event_bytes}; it is at least 1"
            raise ConfigError(msg)
        self._max_event_bytes = max_event_bytes
        # Of an unfinished event, with every line end made LF.
        self._held = bytearray()
        # What may become a byte order mark; None once the stream is past it.
        self._start: bytes | None = b""
        self._after_cr = False
        self._is_between = True

    def feed(self, data: bytes) -> list[bytes]:
        """Take the bytes that came next.

        Args:
            data: Any number of them, cut anywhere.

        Returns:
            The data of each event that they completed, in order.

        Raises:
            FrameTooLargeError: An event is over `max_event_bytes`. Events before it in
                `data` are not given, and the stream cannot be gone on with.
        """
        if (
            self._is_between
            and data[-2:] == _BLANK_LINE
            and len(data) <= self._max_event_bytes
        ):
            events = _plain_events(data)
            if events is not None:
                self._start = None
                return events
        return self._feed_any(data)

    def finish(self) -> bool:
        """Tell whether the stream, at its end, broke off within an event.

        The specification has such an event discarded.

        Returns:
            Whether data, or part of a line, is left. Whole lines that carry none, such
            as comments, are not an event.
        """
        if self._start:
            return True
        *lines, rest = bytes(self._held).split(b"\n")
        return rest != b"" or any(_is_data(line) for line in lines)

    def _feed_any(self, data: bytes) -> list[bytes]:
        data = self._with_line_feeds(self._without_mark(data))
        held = self._held
        end = _end_of_events(held, data)
        events: list[bytes] = []
        if end:
            block = bytes(held) + data[:end]
            held.clear()
            data = data[end:]
            events = self._events_of(block)
        held += data
        if len(held) > self._max_event_bytes:
            raise FrameTooLargeError(len(held), self._max_event_bytes)
        self._is_between = not (held or self._after_cr or self._start)
        return events

    def _without_mark(self, data: bytes) -> bytes:
        if self._start is None:
            return data
        start = self._start + data
        if len(start) < len(_BYTE_ORDER_MARK) and _BYTE_ORDER_MARK.startswith(start):
            self._start = start
            return b""
        self._start = None
        return start.removeprefix(_BYTE_ORDER_MARK)

    def _with_line_feeds(self, data: bytes) -> bytes:
        """Make every line end an LF, also the CRLF that is cut in two."""
        if not data:
            return data
        if self._after_cr and data[:1] == b"\n":
            data = data[1:]
        if b"\r" not in data:
            self._after_cr = False
            return data
        self._after_cr = data[-1:] == b"\r"
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _events_of(self, block: bytes) -> list[bytes]:
        """Return the data of the events of a block, which ends with a blank line."""
        if len(block) > self._max_event_bytes:
            self._check_sizes(block)
        events = _plain_events(block)
        return _events_by_line(block) if events is None else events

    def _check_sizes(self, block: bytes) -> None:
        parts = block.split(_BLANK_LINE)
        nbytes = max(len(part.lstrip(b"\n")) for part in parts) + len(_BLANK_LINE)
        if nbytes > self._max_event_bytes:
            raise FrameTooLargeError(nbytes, self._max_event_bytes)


def _end_of_events(held: bytearray, data: bytes) -> int:
    """Return where in `data` the last event ends; 0 if none does."""
    last = data.rfind(_BLANK_LINE)
    if last >= 0:
        return last + len(_BLANK_LINE)
    # A blank line may be cut in two.
    return 1 if data[:1] == b"\n" and held[-1:] == b"\n" else 0


def _plain_events(block: bytes) -> list[bytes] | None:
    """Split a block that ends with a blank line, if it is ``data: `` lines and LF only.

    It is what servers write, and has no step in Python for each event: 0.7 us for a
    block of one and 0.2 us an event in a large one, `_events_by_line` takes 0.4 us.
    """
    if block[:6] != b"data: " or b"\r" in block:
        return None
    num_lines = block.count(b"\n")
    if num_lines == 2:
        return [block[6:-2]]
    events = block[6:-2].split(b"\n\ndata: ")
    # Two line ends for each event are those around it: then no other line is there.
    return events if num_lines == 2 * len(events) else None


def _events_by_line(block: bytes) -> list[bytes]:
    events: list[bytes] = []
    values: list[bytes] = []
    for line in block.split(b"\n"):
        if not line:
            if values:
                events.append(values[0] if len(values) == 1 else b"\n".join(values))
                values = []
        elif _is_data(line):
            values.append(line[6:] if line[5:6] == b" " else line[5:])
    return events


def _is_data(line: bytes) -> bool:
    return line[:5] == b"data:" or line == b"data"
