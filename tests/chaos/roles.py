"""What the processes do that are killed: `python -m tests.chaos.roles OPTIONS`."""

import ctypes
import json
import os
import resource
import signal
import sys
import time
from collections import deque
from contextlib import suppress
from typing import Any

from tests.chaos.ledger import Ledger, Word
from tests.chaos.traffic import TornError, message, number_of

from busduct import _core
from busduct.errors import WaitTimeoutError

# NB: not when the first event comes, for by then there may be no descriptor left.
from busduct.monitor import MonitorEvent

FOREVER = 3600.0
_PR_SET_PDEATHSIG = 1


def send(sock: Any, ledger: Ledger, num_messages: int | None = None) -> None:
    """Send messages from the first on, without end or so many."""
    number = 0
    while number != num_messages:
        ledger[Word.BEGUN] = number + 1
        with suppress(WaitTimeoutError):
            sock.send_multipart_blocking(message(number), 0.005)
            number += 1
        ledger[Word.SENT] = sock.statistics().num_messages_sent
        ledger[Word.READY] = ledger[Word.SENT] > 0
    attend(sock, ledger)


def receive(
    sock: Any,
    ledger: Ledger,
    num_leases: int = 0,
    closes: bool = False,
    pause: float = 0.0,
) -> None:
    """Receive without end, and hold the last `num_leases` messages by leases.

    Args:
        sock: A DEALER says who it is first.
        ledger: Told of each message.
        num_leases: 0 to take copies.
        closes: Close the socket with so many leases held, and go on holding them.
        pause: Seconds that each message is work for, so that others wait.
    """
    if sock.kind == _core.DEALER:
        sock.send_blocking(b"", FOREVER)
    take = sock.recv_multipart_lease_blocking if num_leases else None
    take = take or sock.recv_multipart_blocking
    held: deque[list[Any]] = deque(maxlen=num_leases)
    last = -1
    while not (closes and len(held) == num_leases):
        parts = take(FOREVER)
        last = _note(parts, last, ledger)
        held.append(parts)
        ledger[Word.LEASED] = len(held)
        del parts
        time.sleep(pause)
    sock.close()
    sys.stdin.read()


def take_one(sock: Any, ledger: Ledger) -> None:
    """Take a request, and never answer it."""
    sock.recv_blocking(FOREVER)
    ledger[Word.RECEIVED] = 1
    sys.stdin.read()


def attend(sock: Any, ledger: Ledger) -> None:
    """Keep the connection, and take nothing that comes."""
    monitor = sock.monitor()
    while True:
        _event: MonitorEvent = monitor.recv_blocking(FOREVER)


def _note(parts: list[Any], last: int, ledger: Ledger) -> int:
    try:
        number = number_of(parts)
    except TornError as error:
        ledger[Word.TORN] += 1
        sys.stderr.write(f"{error}\n")
        return last
    ledger[Word.DISORDERED] += number <= last
    ledger.note_received(number)
    return number


def _limit(limits: dict[str, int]) -> None:
    """Take so many bytes of a file at most, and so many descriptors more."""
    if "FSIZE" in limits:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limits["FSIZE"],) * 2)
    if "NOFILE" in limits:
        last = max(map(int, os.listdir("/proc/self/fd")))
        # Those that are free below it are taken first.
        while (last_taken := os.dup(0)) <= last:
            pass
        num_fds = last_taken + 1 + limits["NOFILE"]
        resource.setrlimit(resource.RLIMIT_NOFILE, (num_fds, num_fds))


def main() -> None:
    """Be what the options say, once a line comes."""
    # Whoever started this may be killed too.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    options = json.loads(sys.argv[1])
    ledger = Ledger(options["ledger"])
    if not sys.stdin.readline() or os.getppid() != options["parent"]:
        return
    with _core.Context(**options["context"]) as context:
        if "routing_id" in options["socket"]:
            options["socket"]["routing_id"] = options["socket"]["routing_id"].encode()
        sock = context.socket(getattr(_core, options["kind"]), **options["socket"])
        # NB: it imports what it needs, which needs a descriptor.
        sock.statistics()
        _limit(options["limits"])
        getattr(sock, options["way"])(options["endpoint"])
        role, arguments = options["role"], options["arguments"]
        # What is sent before the connection is up waits.
        while role != "send" and not ledger[Word.READY]:
            context.run_once(0.01)
            ledger[Word.READY] = sock.statistics().num_peers
        ROLES[role](sock, ledger, **arguments)


ROLES = {role.__name__: role for role in (send, receive, take_one, attend)}

if __name__ == "__main__":
    main()
