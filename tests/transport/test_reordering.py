"""Live and replayed batches become one order, each record once, and no gap untold."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busduct.errors import RemoteProtocolError
from busduct.transport._records import Batch, fence_topic
from busduct.transport._reordering import Gap, Item, Record, Reordering, Restart
from busduct.transport._replay_ring import ReplayRing
from busduct.transport._replay_server import plan_replay
from busduct.transport._sync_messages import ALL_RECORDS, Begin, new_request

EPOCH = 7
TOPICS = [b"a", b"b"]


def batch(
    first: int, *payloads: bytes, epoch: int = EPOCH, topic: bytes = b"a"
) -> Batch:
    return Batch(topic, epoch, first, list(payloads))


def following(**options: int) -> Reordering:
    sizes = {"num_replayed": 0, "max_held": 100, "max_held_bytes": 1 << 20}
    reordering = Reordering(**{**sizes, "max_topics": 10, **options})
    reordering.add_prefix(b"")
    return reordering


def records(*payloads: bytes, topic: bytes = b"a") -> list[Item]:
    return [Record(topic, payload) for payload in payloads]


def test_live_records_pass_from_where_they_begin() -> None:
    reordering = following()
    assert reordering.live(batch(5, b"5", b"6")) == records(b"5", b"6")
    assert reordering.live(batch(7, b"7")) == records(b"7")
    assert not reordering.needs_sync


def test_record_behind_a_gap_waits_and_a_duplicate_is_passed_over() -> None:
    reordering = following()
    reordering.live(batch(0, b"0"))
    assert reordering.live(batch(2, b"2", b"3")) == []
    assert reordering.needs_sync
    assert reordering.live(batch(0, b"0", b"1")) == records(b"1", b"2", b"3")
    assert (reordering.num_duplicates, reordering.num_held) == (1, 0)
    assert not reordering.needs_sync


def test_replay_fills_the_gap_and_tells_what_is_gone() -> None:
    reordering = following()
    reordering.live(batch(0, b"0"))
    reordering.live(batch(6, b"6"))
    begin = Begin(EPOCH, [(b"a", 1, 7)])
    assert reordering.begin(begin) == []
    assert reordering.replayed(batch(4, b"4", b"5", b"6")) == [
        Gap(b"a", 1, 3),
        *records(b"4", b"5", b"6"),
    ]
    assert reordering.end(begin, [b""]) == []


def test_end_tells_a_tail_that_is_gone() -> None:
    reordering = following()
    reordering.live(batch(0, b"0"))
    begin = Begin(EPOCH, [(b"a", 1, 4)])
    reordering.begin(begin)
    assert reordering.end(begin, [b""]) == [Gap(b"a", 1, 3)]


def test_what_the_replay_does_not_cover_is_asked_for_again() -> None:
    reordering = following()
    # Asked before anything had come: the replay begins at the head.
    reordering.live(batch(2, b"2"))
    reordering.live(batch(5, b"5"))
    begin = Begin(EPOCH, [(b"a", 6, 6)])
    reordering.begin(begin)
    assert reordering.end(begin, [b""]) == []
    assert reordering.needs_sync
    assert list(reordering.positions()) == [(b"a", 3)]


def test_wanted_replay_comes_before_what_came_live() -> None:
    reordering = following(num_replayed=2)
    assert reordering.live(batch(5, b"5")) == []
    assert list(reordering.prefixes()) == [(b"", 2)]
    begin = Begin(EPOCH, [(b"a", 4, 6)])
    reordering.begin(begin)
    assert reordering.replayed(batch(4, b"4", b"5")) == records(b"4", b"5")
    reordering.end(begin, [b""])
    assert reordering.live(batch(6, b"6")) == records(b"6")


def test_record_dropped_before_the_replay_began_is_not_taken_for_gone() -> None:
    reordering = following(num_replayed=2)
    reordering.live(batch(2, b"2"))
    begin = Begin(EPOCH, [(b"a", 4, 6)])
    assert reordering.begin(begin) == records(b"2")
    assert reordering.replayed(batch(4, b"4", b"5")) == []
    assert reordering.end(begin, [b""]) == []
    again = Begin(EPOCH, [(b"a", 3, 6)])
    reordering.begin(again)
    assert reordering.replayed(batch(3, b"3")) == records(b"3", b"4", b"5")


def test_topic_that_is_first_seen_after_the_answer_begins_at_zero() -> None:
    reordering = following()
    reordering.see_epoch(EPOCH)
    begin = Begin(EPOCH, [])
    reordering.begin(begin)
    reordering.end(begin, [b""])
    assert reordering.live(batch(1, b"1")) == []
    assert reordering.give_up() == [Gap(b"a", 0, 1), *records(b"1")]


def test_another_epoch_ends_what_was_waited_for() -> None:
    reordering = following()
    begin = Begin(EPOCH, [])
    reordering.see_epoch(EPOCH)
    reordering.begin(begin)
    reordering.end(begin, [b""])
    reordering.live(batch(1, b"1"))
    assert reordering.live(batch(0, b"new", epoch=8)) == [
        Gap(b"a", 0, 1),
        *records(b"1"),
        Restart(8),
        *records(b"new"),
    ]
    # What it published before we were back counts as missing.
    assert reordering.live(batch(3, b"x", epoch=9)) == [Restart(9)]
    assert reordering.needs_sync


def test_answers_of_another_epoch_are_passed_over() -> None:
    reordering = following()
    reordering.live(batch(0, b"0"))
    stale = Begin(6, [(b"a", 0, 50)])
    assert reordering.begin(stale) == []
    assert reordering.replayed(batch(1, b"x", epoch=6)) == []
    assert reordering.end(stale, [b""]) == []
    assert reordering.live(batch(1, b"1")) == records(b"1")


def test_held_records_are_bounded_and_what_is_dropped_is_asked_for() -> None:
    reordering = following(max_held=2)
    reordering.live(batch(0, b"0"))
    reordering.live(batch(2, b"2", b"3", b"4", b"5"))
    assert reordering.num_held == 2
    assert reordering.live(batch(1, b"1")) == records(b"1", b"2", b"3")
    assert reordering.needs_sync
    assert list(reordering.positions()) == [(b"a", 4)]


def test_held_bytes_are_bounded() -> None:
    reordering = following(max_held_bytes=1000)
    reordering.live(batch(0, b"0"))
    reordering.live(batch(2, bytes(800), bytes(800)))
    assert reordering.num_held == 1


def test_topic_too_many_or_foreign_is_refused() -> None:
    reordering = following(max_topics=2)
    reordering.live(batch(0, b"0", topic=b"a"))
    reordering.live(batch(0, b"0", topic=b"b"))
    with pytest.raises(RemoteProtocolError, match="more than 2 topics"):
        reordering.live(batch(0, b"0", topic=b"c"))
    with pytest.raises(RemoteProtocolError, match="more than 2 topics"):
        reordering.begin(Begin(EPOCH, [(b"%d" % n, 0, 0) for n in range(3)]))
    reordering.remove_prefix(b"")
    with pytest.raises(RemoteProtocolError, match="not subscribed to"):
        reordering.live(batch(0, b"0", topic=b"a"))


def test_topics_of_a_prefix_taken_back_are_forgotten() -> None:
    reordering = following()
    reordering.live(batch(0, b"0"))
    reordering.live(batch(2, b"2"))
    reordering.add_prefix(b"a")
    reordering.remove_prefix(b"")
    assert (reordering.num_topics, reordering.num_held) == (1, 1)
    reordering.remove_prefix(b"a")
    assert (reordering.num_topics, reordering.num_held) == (0, 0)


def test_whoever_wants_all_is_told_of_a_beginning_that_is_gone() -> None:
    reordering = following(num_replayed=ALL_RECORDS)
    assert reordering.live(batch(2, b"2")) == []
    assert reordering.give_up() == [Gap(b"a", 0, 2), *records(b"2")]
    # Without an answer so far, it does not wait for one again.
    assert reordering.live(batch(3, b"3", topic=b"b")) == []
    assert reordering.give_up() == [Gap(b"b", 0, 3), *records(b"3", topic=b"b")]


@dataclass
class World:
    """A publisher, a lossy live stream in order, and a subscriber."""

    ring: ReplayRing
    reordering: Reordering
    under_way: list[Batch] = field(default_factory=list)
    seen: list[Item] = field(default_factory=list)
    begin: Begin | None = None
    answers: list[Batch] = field(default_factory=list)

    def publish(self, topic: bytes, is_dropped: bool) -> None:
        number = self.ring.head_of(topic) if self.has(topic) else 0
        payload = topic + b"%d" % number
        self.ring.append(topic, payload)
        if not is_dropped:
            self.under_way.append(Batch(topic, EPOCH, number, [payload]))

    def has(self, topic: bytes) -> bool:
        return topic in {name for name, _, _ in self.ring.heads()}

    def receive(self) -> None:
        if self.under_way:
            self.seen += self.reordering.live(self.under_way.pop(0))

    def ask(self) -> None:
        """Ask, be answered, and read live up to the fence; what follows comes later."""
        request = new_request(
            1,
            self.reordering.epoch,
            fence_topic(b"x"),
            self.reordering.prefixes(),
            self.reordering.positions(),
        )
        plan = list(plan_replay(self.ring, request))
        self.answers = []
        for topic, start, head in plan:
            found = self.ring.batch_from(topic, start, head, 1000, 1 << 20)
            self.answers += [found] if found else []
        while self.under_way:
            self.receive()
        self.seen += self.reordering.see_epoch(EPOCH)
        self.begin = Begin(EPOCH, plan)
        self.seen += self.reordering.begin(self.begin)

    def finish(self) -> None:
        if self.begin is None:
            return
        for answer in self.answers:
            self.seen += self.reordering.replayed(answer)
        self.seen += self.reordering.end(self.begin, [b""])
        self.begin = None


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.sampled_from(TOPICS), st.booleans()),
        st.tuples(st.sampled_from(["receive", "ask", "finish"])),
    ),
    max_size=60,
)


@given(
    ACTIONS,
    st.sampled_from([0, 1, 2, 6, 1000]),
    st.integers(min_value=0, max_value=3),
    st.integers(min_value=0, max_value=5),
)
def test_every_record_comes_once_in_order_or_is_told_missing(
    actions: list[tuple[object, ...]], held: int, num_replayed: int, max_held: int
) -> None:
    world = World(
        ReplayRing(EPOCH, held, 1 << 20, 10),
        following(num_replayed=num_replayed, max_held=max_held),
    )
    for action, *arguments in actions:
        if action == "ask":
            world.finish()
        getattr(world, str(action))(*arguments)
    for _ in range(4):
        world.finish()
        world.ask()
    world.finish()
    position: dict[bytes, int] = {}
    for item in world.seen:
        assert not isinstance(item, Restart)
        if isinstance(item, Gap):
            assert position.get(item.topic, item.first_missing) == item.first_missing
            position[item.topic] = item.first_missing + item.num_missing
        else:
            number = int(item.payload[1:])
            assert position.get(item.topic, number) == number
            position[item.topic] = number + 1
    for topic, _, head in world.ring.heads():
        # Four requests without new records settle everything.
        assert position.get(topic, head) == head
    assert not world.reordering.needs_sync
    if held == 1000:
        assert not any(isinstance(item, Gap) for item in world.seen)
