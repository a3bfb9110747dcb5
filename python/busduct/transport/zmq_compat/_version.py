"""What this stands for, as pyzmq's functions tell it."""

__all__ = [
    "has",
    "pyzmq_version",
    "pyzmq_version_info",
    "zmq_version",
    "zmq_version_info",
]

# The libzmq and the pyzmq whose behaviour the face was held against.
_ZMQ = (4, 3, 5)
_PYZMQ = (27, 1, 0)


def zmq_version_info() -> tuple[int, int, int]:
    """Return the version of libzmq whose behaviour is offered."""
    return _ZMQ


def zmq_version() -> str:
    """Return the version of libzmq whose behaviour is offered, as text."""
    return ".".join(map(str, _ZMQ))


def pyzmq_version_info() -> tuple[int, int, int]:
    """Return the version of pyzmq whose face is offered."""
    return _PYZMQ


def pyzmq_version() -> str:
    """Return the version of pyzmq whose face is offered, as text."""
    return ".".join(map(str, _PYZMQ))


def has(capability: str) -> bool:
    """Tell whether a transport or mechanism of libzmq is there: only ipc is."""
    return capability == "ipc"
