"""The writer's side of a broadcast queue: its socket, and who reads from it."""

import asyncio
import logging
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Literal

from busduct._backend import load_backend
from busduct.errors import BusductError, ClosedError, FullError, PeerLostError
from busduct.statistics import PeerStatistics, RankStatistics
from busduct.transport.broadcast._handle import new_handle
from busduct.transport.broadcast._roster import Roster
from busduct.transport.broadcast._waiting import Interrupts

if TYPE_CHECKING:
    from busduct._core import Context

__all__ = ["Audience"]

_backend = load_backend()
_log = logging.getLogger("busduct.broadcast")

# Either side may load a model for minutes before it looks at its sockets again.
JOIN_SECONDS: Final = 3600.0
PART_OVERHEAD_NBYTES: Final = 96


class Audience:
    """The readers of one queue, and the socket that reaches them.

    Args:
        context: Owns the socket.
        endpoint: Where readers join.
        num_readers: How many there shall be.
        fails_on_loss: The loss of one reader ends sending; else that of the last does.
        hwm_messages: As of `Context.socket`.
        hwm_bytes: As of `Context.socket`.
        max_message_bytes: As of `Context.socket`.

    Attributes:
        socket: An XPUB.
        handle: For the readers.
        roster: Who has joined.
        completed: Set once all have joined, or can join no more.
        is_flowing: Nothing is known that keeps items from being sent.
        interrupts: Those who wait to send.

    Raises:
        AddressInUseError: Somebody listens there.
        ConfigError: A value out of its range.
        ClosedError: The context is closed.
        OSError: What else the system refuses.
    """

    def __init__(
        self,
        context: "Context",
        endpoint: str,
        num_readers: int,
        *,
        fails_on_loss: bool,
        hwm_messages: int,
        hwm_bytes: int,
        max_message_bytes: int,
    ) -> None:
        self.socket = context.socket(
            _backend.XPUB,
            on_full="wait",
            hwm_messages=hwm_messages,
            hwm_bytes=hwm_bytes,
            max_message_bytes=max_message_bytes,
            handshake_timeout=JOIN_SECONDS,
        )
        try:
            bound = self.socket.bind(endpoint)
            self.handle = new_handle(num_readers, max_message_bytes, bound)
        except BaseException:
            self.socket.close(0)
            raise
        self.roster = Roster(num_readers, self.handle.token_bytes)
        self.completed = asyncio.Event()
        self.is_flowing = False
        self.interrupts = Interrupts()
        self._fails_on_loss = fails_on_loss
        self._hwm_messages = hwm_messages
        self._hwm_bytes = hwm_bytes
        self._answers: deque[list[bytes]] = deque()
        self._num_told = 0

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return f"broadcast queue {self.handle.endpoint}"

    @property
    def failure(self) -> BusductError | None:
        """Why nothing can be sent any more, if readers that are lost are the reason."""
        lost = self.roster.lost
        if lost and (self._fails_on_loss or not self.roster.present):
            ranks = ", ".join(map(str, sorted(lost)))
            return PeerLostError(f"rank {ranks} of {self.name}")
        return None

    def look(self) -> None:
        """Take what readers have said, and answer."""
        with suppress(ClosedError):
            while (notice := self.socket.recv_multipart_nowait()) is not None:
                # NB: subscriptions have one part. A peer may send other messages.
                if len(notice) == 1:
                    self._answers.extend(self.roster.note(notice[0]))
            self._answer()
            if self.roster.is_complete and not self.completed.is_set():
                self._complete()
        self._tell_losses()

    def stop(self) -> None:
        """Let nobody wait to send any more. Idempotent."""
        self.is_flowing = False
        self.completed.set()
        self.interrupts.interrupt()

    def close(self, linger: float | None) -> None:
        """Send what is queued in the background. Idempotent."""
        self.stop()
        self.socket.close(linger)

    def describe(self, nbytes: int) -> tuple[RankStatistics, ...]:
        """Return how each reader stands towards an item of so many bytes."""
        peers = {
            self.roster.rank_of(peer.routing_id): peer for peer in self.socket.peers()
        }
        return tuple(
            RankStatistics(
                rank=rank,
                state=self._state_of(rank),
                num_queued=peers[rank].num_send_queued if rank in peers else 0,
                num_queued_bytes=(
                    peers[rank].num_send_queued_bytes if rank in peers else 0
                ),
                is_full=rank in peers and self._is_full(peers[rank], nbytes),
            )
            for rank in range(self.handle.num_readers)
        )

    def strangers(self, nbytes: int) -> list[bool]:
        """Return of each peer that is no reader whether it is full for such an item."""
        return [
            self._is_full(peer, nbytes)
            for peer in self.socket.peers()
            if self.roster.rank_of(peer.routing_id) is None
        ]

    def _answer(self) -> None:
        while self._answers:
            try:
                self.socket.send_multipart_nowait(self._answers[0])
            except FullError:
                # NB: what is said to one passes by all. The next look tries again.
                return
            self._answers.popleft()

    def _complete(self) -> None:
        # NB: who comes now is refused by the kernel, however long we do not look.
        self.socket.unbind(self.handle.endpoint)
        self.is_flowing = True
        self.completed.set()

    def _tell_losses(self) -> None:
        lost = self.roster.lost
        if len(lost) == self._num_told:
            return
        for rank in lost[self._num_told :]:
            _log.warning("%s has lost its reader of rank %d", self.name, rank)
        self._num_told = len(lost)
        if self.failure is not None:
            self.is_flowing = False
            self.interrupts.interrupt()

    def _state_of(self, rank: int) -> Literal["missing", "joined", "lost"]:
        if rank in self.roster.lost:
            return "lost"
        return "joined" if rank in self.roster.present else "missing"

    def _is_full(self, peer: PeerStatistics, nbytes: int) -> bool:
        """Tell whether an item would have to wait for a peer."""
        num_queued = peer.num_send_queued
        cost = peer.num_send_queued_bytes + PART_OVERHEAD_NBYTES + nbytes
        return num_queued > 0 and (
            num_queued >= self._hwm_messages or cost > self._hwm_bytes
        )
