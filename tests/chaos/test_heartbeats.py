"""Heartbeats of moved connections tell who is dead from who only takes nothing."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.chaos.children import Child, child
from tests.chaos.ledger import Word
from tests.chaos.traffic import message
from tests.transport.waiting import turn_until

from busduct.errors import PeerLostError

# Longer than a machine that does much else holds up a process that lives.
INTERVAL, TIMEOUT = 0.05, 1.5
HEARTBEAT = {"heartbeat_interval": INTERVAL, "heartbeat_timeout": TIMEOUT}


@contextmanager
def overfull(
    rust: ModuleType, directory: Path, theirs: dict[str, Any], **options: Any
) -> Iterator[tuple[Any, Any, Child]]:
    """Give a sender whose living peer takes nothing and has no room for more."""
    with rust.Context(shm="require", shm_ring_bytes=64 << 10) as context:
        tx = context.socket(rust.PUSH, linger=0.0, hwm_messages=10, **options)
        endpoint = tx.bind(f"ipc://{directory}/a")
        with child("attend", "PULL", endpoint, socket=theirs) as peer:
            turn_until(context, lambda: peer.ledger[Word.READY])
            turn_until(context, lambda: tx.statistics().num_peers)
            # Nothing more fits the ring, not even a command.
            while tx.statistics().num_send_queued < 10:
                if tx.writable:
                    tx.send_nowait(b"")
                context.run_once(0.0)
            yield context, tx, peer


@pytest.mark.parametrize("who", ["sender", "receiver", "both"])
def test_living_peer_that_takes_nothing_stays(
    rust: ModuleType, ipc_dir: Path, who: str
) -> None:
    ours = HEARTBEAT if who != "receiver" else {}
    theirs = HEARTBEAT if who != "sender" else {}
    with overfull(rust, ipc_dir, theirs, **ours) as (context, tx, _):
        # There is no telling when nothing has happened: beyond the bound.
        end = time.monotonic() + 2 * TIMEOUT
        while time.monotonic() < end:
            context.run_once(INTERVAL)
        assert tx.statistics().num_disconnected == 0
        assert tx.recent_errors() == []


def test_stopped_peer_is_given_up(rust: ModuleType, ipc_dir: Path) -> None:
    with overfull(rust, ipc_dir, {}, **HEARTBEAT) as (context, tx, peer):
        peer.signal(signal.SIGSTOP)
        turn_until(context, lambda: not tx.statistics().num_peers)
        assert [type(error) for error in tx.recent_errors()] == [PeerLostError]


def test_peer_that_is_given_up_comes_back(rust: ModuleType, ipc_dir: Path) -> None:
    with rust.Context(shm="require") as context:
        tx = context.socket(rust.PUSH, **HEARTBEAT)
        with child("receive", "PULL", tx.bind(f"ipc://{ipc_dir}/a")) as peer:
            tx.send_multipart_blocking(message(0), 20.0)
            turn_until(context, lambda: peer.ledger[Word.RECEIVED] == 1)
            peer.signal(signal.SIGSTOP)
            turn_until(context, lambda: not tx.statistics().num_peers)
            for number in range(1, 50):
                tx.send_multipart_nowait(message(number))
            peer.signal(signal.SIGCONT)
            turn_until(context, lambda: peer.ledger[Word.RECEIVED] == 50)
            assert peer.ledger.times_received(50) == b"\x01" * 50
            assert peer.ledger[Word.DISORDERED] == 0
