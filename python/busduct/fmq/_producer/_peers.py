"""The consumers of a queue, as they come and go, and what they did wrong."""

import logging
from collections import deque
from collections.abc import Mapping
from functools import partial

from busduct.errors import BusductError
from busduct.fmq._producer._peer import OpenLink, Peer
from busduct.fmq._producer._share import Entry

__all__ = ["Peers"]

_log = logging.getLogger("busduct.fmq")

NUM_ERRORS_KEPT = 16


class Peers:
    """Holds a link to every consumer that is listed, or connected.

    Args:
        name: Of the queue, for the log.
        open_link: Opens a link to an endpoint, which calls the second argument at its
            end, with what the consumer did wrong.

    Attributes:
        num_faults: Times that a consumer broke the protocol.
        errors: What the last ones did.
    """

    def __init__(self, name: str, open_link: OpenLink) -> None:
        self.num_faults = 0
        self.errors: deque[BusductError] = deque(maxlen=NUM_ERRORS_KEPT)
        self._name = name
        self._open_link = open_link
        self._peers: dict[bytes, Peer] = {}
        # Whose faults are in the log.
        self._logged: set[bytes] = set()
        self._is_closed = False

    def update(self, members: Mapping[bytes, str]) -> None:
        """Be told of all consumers that are listed."""
        if self._is_closed:
            return
        for member_id, endpoint in members.items():
            if (peer := self._peers.get(member_id)) is not None:
                peer.note_listed(endpoint)
            else:
                self._add(member_id, endpoint)
        for member_id in self._peers.keys() - members.keys():
            self._peers[member_id].note_unlisted()

    def drain(self) -> None:
        """Take what consumers have said."""
        for peer in tuple(self._peers.values()):
            peer.drain()

    def say_goodbye(self) -> None:
        """Ask all to own what they have, as `Link.say_goodbye`."""
        for peer in tuple(self._peers.values()):
            peer.say_goodbye()

    def close(self, linger: float | None) -> None:
        """End all links, as `Link.close`."""
        self._is_closed = True
        for peer in self._peers.values():
            peer.close(linger)

    def unsent(self) -> list[Entry]:
        """Return what the last links did not send, as `Link.unsent`."""
        return [entry for peer in self._peers.values() for entry in peer.unsent()]

    def _add(self, member_id: bytes, endpoint: str) -> None:
        peer = Peer(
            endpoint,
            self._open_link,
            on_fault=partial(self._on_fault, member_id),
            on_gone=partial(self._on_gone, member_id),
        )
        self._peers[member_id] = peer
        peer.open()

    def _on_gone(self, member_id: bytes) -> None:
        self._peers.pop(member_id, None)
        self._logged.discard(member_id)

    def _on_fault(self, member_id: bytes, error: BusductError) -> None:
        self.num_faults += 1
        self.errors.append(error)
        if member_id not in self._logged:
            self._logged.add(member_id)
            _log.warning(
                "queue %s: consumer %s: %s", self._name, member_id.hex(), error
            )
