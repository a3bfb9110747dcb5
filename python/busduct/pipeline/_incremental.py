"""Turn tokens into text piece by piece; no I/O."""

import codecs
from collections.abc import Sequence
from typing import TYPE_CHECKING

from busduct.errors import ConfigError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["IncrementalDecoder", "StopMatcher", "token_bytes_table"]


def token_bytes_table(tokenizer: "Tokenizer") -> list[bytes]:
    """Return the bytes of every token of a byte-level tokenizer, by id.

    Special tokens have none.

    Raises:
        ConfigError: The tokenizer is not byte-level, so tokens have no bytes.
    """
    decoder = type(tokenizer.decoder).__name__
    if decoder != "ByteLevel":
        msg = f"tokenizer decodes by {decoder}; only ByteLevel is supported"
        raise ConfigError(msg)
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    table = [b""] * (max(vocabulary.values(), default=-1) + 1)
    alphabet = _byte_of_char()
    for token, number in vocabulary.items():
        # As the library does: a token with a foreign character stands for itself.
        if all(char in alphabet for char in token):
            table[number] = bytes(alphabet[char] for char in token)
        else:
            table[number] = token.encode()
    for number, added in tokenizer.get_added_tokens_decoder().items():
        table[number] = b"" if added.special else added.content.encode()
    return table


def _byte_of_char() -> dict[str, int]:
    """Return the byte that each character of the byte-level alphabet stands for.

    Printable Latin-1 stands for itself, the other bytes for the characters from U+0100
    on, in order: https://github.com/openai/gpt-2/blob/master/src/encoder.py
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    table = {chr(byte): byte for byte in printable}
    table |= {chr(0x100 + position): byte for position, byte in enumerate(others)}
    return table


class IncrementalDecoder:
    """The text of one request's tokens, never split inside a character.

    Bytes that cannot become UTF-8 give U+FFFD as soon as that is certain.
    """

    def __init__(self, table: Sequence[bytes]) -> None:
        self._table = table
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def feed(self, token_ids: Sequence[int]) -> str:
        """Return the text that these tokens complete; unknown ids have none."""
        table = self._table
        known = len(table)
        return self._decoder.decode(
            b"".join(table[token] for token in token_ids if 0 <= token < known)
        )

    def flush(self) -> str:
        """Return what is left at the end: U+FFFD for a character cut short, or ''."""
        return self._decoder.decode(b"", final=True)


class StopMatcher:
    """Find the first stop string in text that comes in pieces.

    The one that is complete first wins, and of those the longest, so the result does
    not depend on where the pieces were cut.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._held = ""

    def feed(self, text: str) -> tuple[str, bool]:
        """Take more text; return what is safe to show, and whether a stop was found.

        What may be the beginning of a stop string is held back.
        """
        if not self._stops:
            return text, False
        buffer = self._held + text
        found = [
            (start + len(stop), start)
            for stop in self._stops
            if (start := buffer.find(stop)) >= 0
        ]
        if found:
            self._held = ""
            return buffer[: min(found)[1]], True
        keep = max(_overlap(buffer, stop) for stop in self._stops)
        shown = len(buffer) - keep
        self._held = buffer[shown:]
        return buffer[:shown], False

    def flush(self) -> str:
        """Return what was held back, at the end of the text."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Return the length of the longest end of `text` that begins `stop`."""
    for length in range(min(len(stop) - 1, len(text)), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
