"""Who is a member and who watches, as a directory's server knows it; no I/O."""

import msgspec

from busduct.errors import RemoteProtocolError
from busduct.fmq._directory._address import check_data_endpoint
from busduct.fmq._directory._wire import (
    MAX_MEMBERS,
    Hello,
    Refused,
    Register,
    Registered,
    Watch,
    encode,
    encode_members,
    parse_hello,
)

__all__ = ["Roster"]

# The server's own place among the members: no peer has an empty routing id.
_SELF = b""


class Roster:
    """Messages of clients in, answers and news out.

    A member is one for as long as its connection lasts. One that comes again under the
    same id, over another connection, takes its own former place: over TCP the server
    may learn last that a connection is lost.

    Args:
        address: Of the directory.
        name: Of the queue or topic.
        file: What tells the server's socket file from others.
        member_id: Of the server, which is a member itself.
        endpoint: Where the server's member listens.

    Attributes:
        is_changed: The members are others than those that watchers were told last.
        num_refused: Clients turned away, those included that said nothing sensible.
    """

    def __init__(
        self, address: str, name: str, file: str, member_id: bytes, endpoint: str
    ) -> None:
        self.is_changed = False
        self.num_refused = 0
        self._address = address
        self._name = name
        self._file = file
        self._endpoints = {member_id: endpoint}
        self._peers = {member_id: _SELF}
        self._member_ids = {_SELF: member_id}
        self._watchers: dict[bytes, int] = {}

    def clients(self) -> set[bytes]:
        """Return the routing ids of those that are listed for anything."""
        return (self._member_ids.keys() | self._watchers.keys()) - {_SELF}

    def on_message(self, peer: bytes, parts: list[bytes]) -> bytes:
        """Take in what a client said; return the answer."""
        hello: Hello | None = None
        try:
            hello = parse_hello(parts)
            if hello.name != self._name:
                msg = f"this is the address of {self._name!r}, not of {hello.name!r}"
                raise RemoteProtocolError(msg)
            if isinstance(hello, Watch):
                return self._watch(peer, hello)
            return self._register(peer, hello)
        except RemoteProtocolError as error:
            self.num_refused += 1
            self.forget(peer)
            return encode(Refused(hello.token if hello else 0, str(error)))

    def forget(self, peer: bytes) -> None:
        """Note that a client is gone."""
        self._watchers.pop(peer, None)
        self._forget_member(peer)

    def take_news(self) -> list[tuple[bytes, bytes]]:
        """Return what is to be said, and to whom; they count as told."""
        self.is_changed = False
        members = self._encoded_members()
        return [
            (peer, encode_members(token, members))
            for peer, token in self._watchers.items()
        ]

    def _watch(self, peer: bytes, hello: Watch) -> bytes:
        self._watchers[peer] = hello.token
        return encode_members(hello.token, self._encoded_members())

    def _register(self, peer: bytes, hello: Register) -> bytes:
        check_data_endpoint(hello.endpoint, self._address)
        owner = self._peers.get(hello.member_id)
        if owner == _SELF:
            msg = "this is the id of the member that serves"
            raise RemoteProtocolError(msg)
        is_same = owner == peer and self._endpoints[hello.member_id] == hello.endpoint
        if not is_same:
            self._forget_member(peer)
            if owner is not None:
                self._forget_member(owner)
            self._add(peer, hello)
        return encode(Registered(hello.token, self._file))

    def _forget_member(self, peer: bytes) -> None:
        member_id = self._member_ids.pop(peer, None)
        if member_id is not None:
            del self._peers[member_id]
            del self._endpoints[member_id]
            self.is_changed = True

    def _add(self, peer: bytes, hello: Register) -> None:
        if len(self._endpoints) >= MAX_MEMBERS:
            msg = f"there are {MAX_MEMBERS} members already"
            raise RemoteProtocolError(msg)
        self._endpoints[hello.member_id] = hello.endpoint
        self._peers[hello.member_id] = peer
        self._member_ids[peer] = hello.member_id
        self.is_changed = True

    def _encoded_members(self) -> msgspec.Raw:
        return msgspec.Raw(msgspec.msgpack.encode(self._endpoints))
