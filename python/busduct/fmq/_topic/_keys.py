"""Keys of messages, and patterns of keys, as the typed publisher's topics.

A key ends with a zero byte there, so that a whole key is a prefix of no other one.
"""

from busduct.errors import ConfigError, RemoteProtocolError
from busduct.transport._records import MAX_TOPIC_BYTES

__all__ = ["MAX_KEY_BYTES", "key_of", "prefix_of", "topic_of"]

_END = b"\0"
_WILDCARD = "*"
MAX_KEY_BYTES = MAX_TOPIC_BYTES - len(_END)


def topic_of(key: str) -> bytes:
    """Return what messages of a key are published under.

    Raises:
        ConfigError: Over 254 bytes in UTF-8, or with a zero byte or an asterisk.
    """
    if _WILDCARD in key:
        msg = f"key {key!r} has an asterisk; only a subscription may end with one"
        raise ConfigError(msg)
    return _encode(key) + _END


def prefix_of(pattern: str) -> bytes:
    """Return what to subscribe to: "gpu.*" is every key that begins so, "" every key.

    Raises:
        ConfigError: As of `topic_of`; an asterisk elsewhere than at the end.
    """
    start, wildcard, rest = pattern.partition(_WILDCARD)
    if rest:
        msg = f"pattern {pattern!r} has an asterisk before its end"
        raise ConfigError(msg)
    return _encode(start) if wildcard or not start else _encode(start) + _END


def key_of(topic: bytes) -> str:
    """Return the key that a publisher published under.

    Raises:
        RemoteProtocolError: There is none that would be published so.
    """
    if topic and topic.find(_END) == len(topic) - 1:
        try:
            return topic[:-1].decode()
        except UnicodeDecodeError:
            pass
    msg = f"{topic!r} is no topic of a key"
    raise RemoteProtocolError(msg)


def _encode(text: str) -> bytes:
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        msg = f"key {text!r} is no text: {error.reason}"
        raise ConfigError(msg) from error
    if _END in data:
        msg = f"key {text!r} has a zero byte"
        raise ConfigError(msg)
    if len(data) > MAX_KEY_BYTES:
        msg = f"key of {len(data)} bytes exceeds limit of {MAX_KEY_BYTES} bytes"
        raise ConfigError(msg)
    return data
