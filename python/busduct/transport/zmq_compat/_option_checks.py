"""Whether an option is there, and takes a value."""

import operator

from busduct.transport.zmq_compat.constants import Errno, SocketOption
from busduct.transport.zmq_compat.error import NotSupportedError, ZMQError

__all__ = ["BYTES_OPTIONS", "check_range", "check_type", "named", "refusal"]

O = SocketOption  # noqa: E741

BYTES_OPTIONS = frozenset(
    {
        O.ROUTING_ID,
        O.SUBSCRIBE,
        O.UNSUBSCRIBE,
        O.LAST_ENDPOINT,
        O.PLAIN_USERNAME,
        O.PLAIN_PASSWORD,
        O.CURVE_PUBLICKEY,
        O.CURVE_SECRETKEY,
        O.CURVE_SERVERKEY,
        O.ZAP_DOMAIN,
        O.CONNECT_ROUTING_ID,
        O.SOCKS_PROXY,
        O.XPUB_WELCOME_MSG,
        O.BINDTODEVICE,
    }
)


def named(option: int, value: int | bytes = 0) -> SocketOption:
    """Return an option by its number.

    Raises:
        TypeError: No such option, and the value is no number.
        ZMQError: EINVAL: no such option.
    """
    try:
        return SocketOption(option)
    except ValueError:
        if not isinstance(value, int):
            msg = f"option {option} is unknown, and then a number is expected"
            raise TypeError(msg) from None
        raise ZMQError(Errno.EINVAL, f"no socket option {option}") from None


def check_type(name: SocketOption, value: object) -> None:
    """Check that a value is bytes, or a number, as the option takes.

    Raises:
        TypeError: It is not.
    """
    if name in BYTES_OPTIONS:
        if not isinstance(value, bytes):
            msg = f"option {name.name} takes bytes, not {type(value).__name__}"
            raise TypeError(msg)
        return
    try:
        operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        msg = f"option {name.name} takes a number, not {type(value).__name__}"
        raise TypeError(msg) from None


def check_range(name: SocketOption, value: int | bytes) -> None:
    """Check a value of the right type.

    Raises:
        NotSupportedError: libzmq takes it, busduct does not.
        ZMQError: EINVAL: out of range.
    """
    if name is O.ROUTING_ID:
        is_right = isinstance(value, bytes) and 1 <= len(value) <= 255
        is_right = is_right and value[:1] != b"\0"  # type: ignore[index]
    elif name in {O.SNDHWM, O.RCVHWM, O.RECONNECT_IVL_MAX, O.HANDSHAKE_IVL, O.BACKLOG}:
        is_right = value >= 0  # type: ignore[operator]
    elif name is O.HEARTBEAT_TTL:
        is_right = 0 <= value < 6553600  # type: ignore[operator]
    else:
        is_right = isinstance(value, bytes) or value >= -1
    if not is_right:
        raise ZMQError(Errno.EINVAL, f"option {name.name} cannot be {value!r}")
    if name is O.RECONNECT_IVL and value == -1:
        text = "option RECONNECT_IVL cannot be -1: a lost connection is always retried"
        raise NotSupportedError(msg=text)


def refusal(name: SocketOption) -> ZMQError:
    """Return why an option that libzmq has cannot be set here."""
    if name in {O.EVENTS, O.FD, O.TYPE, O.RCVMORE, O.LAST_ENDPOINT, O.MECHANISM}:
        return ZMQError(Errno.EINVAL, f"option {name.name} can only be read")
    if name in {O.SUBSCRIBE, O.UNSUBSCRIBE}:
        return ZMQError(Errno.EINVAL, f"option {name.name} is for SUB sockets")
    if name.name.startswith(("CURVE_", "PLAIN_")):
        text = (
            f"option {name.name} is not supported; "
            "zmq_compat.Context(key=...) protects TCP between busduct processes"
        )
        return NotSupportedError(msg=text)
    return NotSupportedError(msg=f"option {name.name} is not supported")
