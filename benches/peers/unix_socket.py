"""Unix sockets for peers that are no ZeroMQ: paths, patience, what is handed over."""

import socket
import time

DEADLINE_S = 20.0


def path_of(endpoint: str) -> str:
    """Return the path of an ipc endpoint."""
    return endpoint.removeprefix("ipc://")


def connect(endpoint: str) -> socket.socket:
    """Connect to who binds there, or will within 20 s.

    Raises:
        OSError: Nobody came.
    """
    deadline = time.monotonic() + DEADLINE_S
    while True:
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.connect(path_of(endpoint))
        except (FileNotFoundError, ConnectionRefusedError):
            sock.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.005)
        else:
            return sock


def accept(endpoint: str) -> socket.socket:
    """Bind, and return the first connection."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path_of(endpoint))
        listener.listen()
        sock, _ = listener.accept()
        return sock


def offer(endpoint: str, descriptors: list[int]) -> None:
    """Bind, and hand descriptors to the first who connects."""
    with accept(endpoint) as sock:
        socket.send_fds(sock, [b"d"], descriptors)


def hand_out(endpoint: str, text: str, count: int) -> None:
    """Bind, and give a text to so many who connect."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path_of(endpoint))
        listener.listen(count)
        for _ in range(count):
            sock, _ = listener.accept()
            with sock:
                sock.sendall(text.encode())


def fetch(endpoint: str) -> str:
    """Connect and return the text that is handed out there."""
    with connect(endpoint) as sock, sock.makefile() as lines:
        return lines.read()


def take(endpoint: str, count: int) -> list[int]:
    """Connect and receive as many descriptors.

    Raises:
        OSError: Nobody offered any.
    """
    with connect(endpoint) as sock:
        _, descriptors, _, _ = socket.recv_fds(sock, 1, count)
        return descriptors
