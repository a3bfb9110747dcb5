"""The options of a socket, as calls and as attributes."""

from typing import Any

from busduct.transport.zmq_compat._attributes import OptionAttributes
from busduct.transport.zmq_compat._option_checks import BYTES_OPTIONS
from busduct.transport.zmq_compat._shared_socket import SharedSocket
from busduct.transport.zmq_compat.constants import SocketOption

__all__ = ["SocketSettings"]


class SocketSettings(OptionAttributes):
    """The part of a socket that sets and gets options."""

    _shared: SharedSocket

    def set(self, option: int, value: Any) -> None:
        """Set an option, in libzmq's units.

        Raises:
            NotSupportedError: busduct has no such thing.
            TypeError: A number is wanted, or bytes are.
            ZMQError: EINVAL: no such option, a value out of its range, or the socket is
                bound or connected and the option cannot change any more.
        """
        shared = self._shared
        with shared.shared:
            shared.check()
            if option in {SocketOption.SUBSCRIBE, SocketOption.UNSUBSCRIBE}:
                is_wanted = option == SocketOption.SUBSCRIBE
                shared.subscribe(_topic(value), is_wanted=is_wanted)
            else:
                shared.options.set(option, value)

    def get(self, option: int) -> Any:
        """Return the value of an option, in libzmq's units.

        Raises:
            ZMQError: EINVAL: no such option, or one that can only be set.
        """
        shared = self._shared
        with shared.shared:
            shared.check()
            match option:
                case SocketOption.EVENTS:
                    shared.shared.process()
                    return shared.events()
                case SocketOption.FD:
                    return shared.shared.core.fileno()
                case SocketOption.RCVMORE:
                    return int(shared.has_more)
                case SocketOption.TYPE:
                    return int(shared.kind)
                case SocketOption.LAST_ENDPOINT:
                    return shared.last_endpoint.encode()
            return shared.options.get(option)

    setsockopt = set  # noqa: A003
    getsockopt = get

    def set_string(self, option: int, optval: str, encoding: str = "utf-8") -> None:
        """Set an option that takes bytes from text.

        Raises:
            TypeError: Not text.
            ZMQError: As for `set`.
        """
        if not isinstance(optval, str):
            msg = f"a str is wanted, not {type(optval).__name__}"
            raise TypeError(msg)
        self.set(option, optval.encode(encoding))

    def get_string(self, option: int, encoding: str = "utf-8") -> str:
        """Return the value of an option that is bytes as text.

        Raises:
            TypeError: It is a number.
            ZMQError: As for `get`.
        """
        if option not in BYTES_OPTIONS:
            msg = f"option {option} is not text"
            raise TypeError(msg)
        return str(self.get(option), encoding)

    setsockopt_string = setsockopt_unicode = set_string
    getsockopt_string = getsockopt_unicode = get_string

    def subscribe(self, topic: str | bytes) -> None:
        """Take messages that start with `topic`; of SUB sockets."""
        self.set(SocketOption.SUBSCRIBE, _encoded(topic))

    def unsubscribe(self, topic: str | bytes) -> None:
        """Take back one `subscribe`."""
        self.set(SocketOption.UNSUBSCRIBE, _encoded(topic))

    def fileno(self) -> int:
        """Return the descriptor to be watched; the option FD."""
        return int(self.get(SocketOption.FD))

    def get_hwm(self) -> int:
        """Return the option SNDHWM."""
        return int(self.get(SocketOption.SNDHWM))

    def set_hwm(self, value: int) -> None:
        """Set the options SNDHWM and RCVHWM."""
        self.set(SocketOption.HWM, value)

    hwm = property(get_hwm, set_hwm)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in {"subscribe", "unsubscribe"}:
            getattr(self, name)(value)
        else:
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *SocketOption.__members__]


def _topic(value: object) -> bytes:
    if not isinstance(value, bytes):
        msg = f"a topic is bytes, not {type(value).__name__}"
        raise TypeError(msg)
    return value


def _encoded(topic: str | bytes) -> bytes:
    return topic.encode() if isinstance(topic, str) else topic
