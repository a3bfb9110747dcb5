"""A directory's server knows who is a member, whatever clients say."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)
from tests.fmq.directory_parties import member_id

from busduct.fmq._directory import _roster
from busduct.fmq._directory._roster import Roster
from busduct.fmq._directory._wire import (
    MemberList,
    Refused,
    Register,
    Registered,
    Watch,
    encode,
    parse_answer,
)

ADDRESS = "ipc:///run/q"
OWN = (member_id(0), "ipc:///run/0")
PEERS = st.sampled_from([b"a", b"b", b"c", b"d"])
MAX_MEMBERS = 3


def roster() -> Roster:
    return Roster(ADDRESS, "q", "file", *OWN)


def register(number: int, endpoint: str = "ipc:///run/d", name: str = "q") -> bytes:
    return encode(Register(5, name, member_id(number), endpoint))


def test_member_is_told_which_file_is_the_servers() -> None:
    answer = roster().on_message(b"a", [register(1)])
    assert parse_answer([answer]) == Registered(5, "file")


def test_saying_the_same_twice_changes_nothing() -> None:
    those = roster()
    those.on_message(b"a", [register(1)])
    those.take_news()
    those.on_message(b"a", [register(1)])
    assert not those.is_changed


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (register(1, name="r"), "this is the address of 'q', not of 'r'"),
        (encode(Watch(5, "r")), "this is the address of 'q', not of 'r'"),
        (register(1, endpoint="tcp://127.0.0.1:1"), "cannot be that of a member"),
        (register(0), "this is the id of the member that serves"),
    ],
)
def test_client_is_told_why_it_is_refused(message: bytes, reason: str) -> None:
    those = roster()
    answer = parse_answer([those.on_message(b"a", [message])])
    assert isinstance(answer, Refused)
    assert answer.token == 5
    assert reason in answer.reason
    assert (those.num_refused, those.clients(), those.is_changed) == (1, set(), False)


def test_garbage_costs_a_client_its_own_place_alone() -> None:
    those = roster()
    for peer, number in ((b"a", 1), (b"b", 2)):
        those.on_message(peer, [register(number)])
        those.on_message(peer, [encode(Watch(1, "q"))])
    answer = parse_answer([those.on_message(b"a", [b"nonsense"])])
    assert isinstance(answer, Refused)
    assert answer.token == 0
    assert those.clients() == {b"b"}


class Clients(RuleBasedStateMachine):
    """Clients that come, go and take each other's places, against a plain model."""

    @initialize()
    def begin(self) -> None:
        self.monkeypatch = pytest.MonkeyPatch()
        self.monkeypatch.setattr(_roster, "MAX_MEMBERS", MAX_MEMBERS)
        self.roster = roster()
        # Who is where, by the peer; and the token of each that watches.
        self.members: dict[bytes, tuple[bytes, str]] = {}
        self.watchers: dict[bytes, int] = {}

    def teardown(self) -> None:
        self.monkeypatch.undo()

    @rule(peer=PEERS, number=st.integers(1, 5), where=st.sampled_from("xy"))
    def register(self, peer: bytes, number: int, where: str) -> None:
        endpoint = f"ipc:///run/{where}"
        answer = self.roster.on_message(peer, [register(number, endpoint)])
        left = {
            other: member
            for other, member in self.members.items()
            if other != peer and member[0] != member_id(number)
        }
        if len(left) + 1 < MAX_MEMBERS:
            assert parse_answer([answer]) == Registered(5, "file")
            self.members = left | {peer: (member_id(number), endpoint)}
        else:
            assert isinstance(parse_answer([answer]), Refused)
            self.members = left
            self.watchers.pop(peer, None)

    @rule(peer=PEERS, token=st.integers(1, 9))
    def watch(self, peer: bytes, token: int) -> None:
        answer = self.roster.on_message(peer, [encode(Watch(token, "q"))])
        assert parse_answer([answer]) == MemberList(token, self.listed())
        self.watchers[peer] = token

    @rule(peer=PEERS)
    def go(self, peer: bytes) -> None:
        self.roster.forget(peer)
        self.members.pop(peer, None)
        self.watchers.pop(peer, None)

    @rule()
    def tell(self) -> None:
        news = self.roster.take_news()
        assert not self.roster.is_changed
        assert {peer: parse_answer([what]) for peer, what in news} == {
            peer: MemberList(token, self.listed())
            for peer, token in self.watchers.items()
        }

    @invariant()
    def clients_are_those(self) -> None:
        if hasattr(self, "roster"):
            expected = self.members.keys() | self.watchers.keys()
            assert self.roster.clients() == expected

    def listed(self) -> dict[bytes, str]:
        return dict([OWN, *self.members.values()])


TestClients = Clients.TestCase
TestClients.settings = settings(deadline=None, max_examples=60)
