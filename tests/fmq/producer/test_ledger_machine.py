"""A ledger against a model, whatever is done with it in whatever order."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from busduct.errors import FullError, RemoteProtocolError
from busduct.fmq._options import QueueOptions
from busduct.fmq._producer._ledger import Ledger
from busduct.fmq._producer._share import Share
from busduct.fmq._producer._state import ProducerState
from busduct.fmq._wire import Ack, Adopted, Encoded, Encoding, Nack

POLICIES = ["wait", "error", "drop_new", "drop_old"]
numbers = st.integers(0, 40)


@dataclass(eq=False)
class Consumer:
    """What a consumer got, by number, and which of it is settled."""

    window: tuple[int, int]
    limit: int
    got: list[int] = field(default_factory=list)
    settled: set[int] = field(default_factory=set)
    is_suspended: bool = False
    share: Any = None

    def has(self) -> dict[int, int]:
        return {n: i for n, i in enumerate(self.got) if n not in self.settled}


class LedgerMachine(RuleBasedStateMachine):
    """Every message is in one place: waiting, with a consumer, done, or dropped."""

    @initialize(
        policy=st.sampled_from(POLICIES),
        hwm_messages=st.integers(1, 12),
        hwm_bytes=st.integers(1, 60),
    )
    def open(self, policy: Any, hwm_messages: int, hwm_bytes: int) -> None:
        self.options = QueueOptions(
            on_full=policy, hwm_messages=hwm_messages, hwm_bytes=hwm_bytes
        )
        self.ledger = Ledger(self.options, ProducerState(), self.note_unwanted)
        self.unwanted: set[int] = set()
        self.sizes: list[int] = []
        self.waiting: list[int] = []
        self.done: set[int] = set()
        self.adopted: set[int] = set()
        self.dropped: set[int] = set()
        self.num_deliveries: dict[int, int] = {}
        self.consumers: list[Consumer] = []

    @rule(nbytes=st.integers(0, 30))
    def put(self, nbytes: int) -> None:
        held = self.held()
        is_full = len(held) >= self.options.hwm_messages or (
            bool(held) and self.nbytes_of(held) + nbytes > self.options.hwm_bytes
        )
        encoded = Encoded(Encoding.BYTES, b"", (), nbytes, False)
        policy = self.options.on_full
        if is_full and policy == "error":
            with pytest.raises(FullError):
                self.ledger.put(encoded, 0.0)
            return
        msg_id = self.ledger.put(encoded, 0.0)
        if is_full and policy == "wait":
            assert msg_id is None
            return
        assert msg_id == len(self.sizes)
        self.sizes.append(nbytes)
        if is_full and policy == "drop_new":
            self.dropped.add(msg_id)
            return
        while is_full and self.waiting:
            self.dropped.add(self.waiting.pop(0))
            held = self.held()
            is_full = len(held) >= self.options.hwm_messages or (
                bool(held) and self.nbytes_of(held) + nbytes > self.options.hwm_bytes
            )
        self.waiting.append(msg_id)

    def note_unwanted(self, entry: Any, limit: int) -> None:
        assert entry.msg_id in self.waiting
        assert limit == max(each.limit for each in self.consumers)
        assert self.sizes[entry.msg_id] > limit
        self.unwanted.add(entry.msg_id)

    @rule(
        messages=st.integers(1, 6),
        nbytes=st.integers(1, 40),
        limit=st.sampled_from([1, 10, 20, 30]),
    )
    def join(self, messages: int, nbytes: int, limit: int) -> None:
        consumer = Consumer((messages, nbytes), limit)

        def send(entries: list[Any], num_skipped: int) -> None:
            assert num_skipped == len(self.dropped)
            assert entries
            for entry in entries:
                assert entry.msg_id in self.waiting
                assert self.sizes[entry.msg_id] <= limit
                self.waiting.remove(entry.msg_id)
                before = self.num_deliveries.get(entry.msg_id, 0)
                self.num_deliveries[entry.msg_id] = before + 1
                assert entry.num_deliveries == before + 1
                consumer.got.append(entry.msg_id)

        consumer.share = Share(messages, nbytes, limit, send)
        self.consumers.append(consumer)
        self.ledger.add(consumer.share)

    @rule()
    def assign(self) -> None:
        num_got = [len(each.got) for each in self.consumers]
        self.unwanted.clear()
        for share in self.ledger.assign():
            share.flush(self.ledger.num_dropped)
        for consumer, count in zip(self.consumers, num_got, strict=True):
            given = consumer.got[count:]
            left = [n for n in self.waiting if self.sizes[n] <= consumer.limit]
            # It was given the oldest that it takes, in their order.
            assert given == sorted(given)
            assert not given or not left or given[-1] < left[0]
            if self.options.on_full != "drop_old":
                assert not left or not self.has_room(consumer)
        if any(self.has_room(each) for each in self.consumers):
            self.all_unwanted_are_known()

    def all_unwanted_are_known(self) -> None:
        limit = max(each.limit for each in self.consumers)
        unwanted = {each for each in self.waiting if self.sizes[each] > limit}
        assert self.unwanted <= unwanted
        if self.options.on_full != "drop_old":
            assert self.ledger.num_unwanted == len(unwanted)

    @rule(sizes=st.lists(st.integers(0, 30), max_size=6))
    def put_and_assign_one_by_one(self, sizes: list[int]) -> None:
        for nbytes in sizes:
            self.put(nbytes)
            self.assign()
            self.marks_and_windows_hold()

    @rule(sizes=st.lists(st.integers(0, 30), min_size=1, max_size=6))
    def put_through_in_one_turn(self, sizes: list[int]) -> None:
        filled: list[Share] = []
        for nbytes in sizes:
            encoded = Encoded(Encoding.BYTES, b"", (), nbytes, False)
            num_put = self.ledger.num_put
            share = self.ledger.put_through(encoded, 0.0)
            assert self.ledger.num_put == num_put + (share is not None)
            if share is None:
                continue
            # Nobody is overtaken but those who were passed over.
            assert not self.ledger._backlog.queue
            self.sizes.append(nbytes)
            self.waiting.append(num_put)
            filled.append(share)
        for share in filled:
            share.flush(self.ledger.num_dropped)

    @precondition(lambda self: self.consumers)
    @rule(data=st.data(), upto=numbers, others=st.lists(numbers, max_size=5))
    def acknowledge(self, data: Any, upto: int, others: list[int]) -> None:
        consumer = data.draw(st.sampled_from(self.consumers))
        ack = Ack(upto, tuple(others))
        num_given = len(consumer.got)
        if upto > num_given or any(each >= num_given for each in others):
            with pytest.raises(RemoteProtocolError):
                self.ledger.acknowledge(consumer.share, ack)
            return
        self.ledger.acknowledge(consumer.share, ack)
        for number in {*range(upto), *others} - consumer.settled:
            consumer.settled.add(number)
            self.done.add(consumer.got[number])

    @precondition(lambda self: self.consumers)
    @rule(data=st.data(), upto=numbers)
    def give_up(self, data: Any, upto: int) -> None:
        consumer = data.draw(st.sampled_from(self.consumers))
        if upto > len(consumer.got):
            with pytest.raises(RemoteProtocolError):
                self.ledger.give_up(consumer.share, Adopted(upto))
            return
        self.ledger.give_up(consumer.share, Adopted(upto))
        for number in set(range(upto)) - consumer.settled:
            consumer.settled.add(number)
            self.adopted.add(consumer.got[number])

    @precondition(lambda self: self.consumers)
    @rule(data=st.data(), given=st.lists(numbers, max_size=5))
    def give_back(self, data: Any, given: list[int]) -> None:
        consumer = data.draw(st.sampled_from(self.consumers))
        if any(each >= len(consumer.got) for each in given):
            with pytest.raises(RemoteProtocolError):
                self.ledger.give_back(consumer.share, Nack(tuple(given)))
            return
        self.ledger.give_back(consumer.share, Nack(tuple(given)))
        for number in set(given) - consumer.settled:
            consumer.settled.add(number)
            self.waiting.append(consumer.got[number])
        self.waiting.sort()

    @precondition(lambda self: self.consumers)
    @rule(data=st.data())
    def lose(self, data: Any) -> None:
        consumer = data.draw(st.sampled_from(self.consumers))
        self.consumers.remove(consumer)
        self.ledger.remove(consumer.share)
        self.waiting = sorted([*self.waiting, *consumer.has().values()])

    @precondition(lambda self: self.consumers)
    @rule(data=st.data())
    def suspend(self, data: Any) -> None:
        consumer = data.draw(st.sampled_from(self.consumers))
        consumer.is_suspended = True
        self.ledger.suspend(consumer.share)

    @invariant()
    def every_message_is_in_one_place(self) -> None:
        out = [each for consumer in self.consumers for each in consumer.has().values()]
        over = self.done | self.adopted | self.dropped
        assert len(over) == len(self.done) + len(self.adopted) + len(self.dropped)
        places = sorted([*self.waiting, *out, *over])
        assert places == list(range(len(self.sizes)))
        assert [each.msg_id for each in self.ledger._backlog] == self.waiting
        for consumer in self.consumers:
            entries = consumer.share.entries
            assert {n: e.msg_id for n, e in entries.items()} == consumer.has()
            assert consumer.share.nbytes == self.nbytes_of(consumer.has().values())

    @invariant()
    def counters_tell_the_truth(self) -> None:
        ledger = self.ledger
        assert ledger.next_msg_id == ledger.num_put == len(self.sizes)
        assert ledger.num_acknowledged == len(self.done)
        assert ledger.num_adopted == len(self.adopted)
        assert ledger.num_dropped == len(self.dropped)
        assert ledger.num_pending == len(self.waiting)
        assert ledger.num_pending + ledger.num_unacknowledged == len(self.held())
        assert ledger.is_empty == (not self.held())
        assert ledger.pending_nbytes == self.nbytes_of(self.waiting)
        again = sum(count - 1 for count in self.num_deliveries.values())
        assert ledger.num_redelivered == again

    @invariant()
    def marks_and_windows_hold(self) -> None:
        excess = 1 if self.options.on_full == "drop_old" else 0
        held = self.held()
        assert len(held) <= self.options.hwm_messages + excess
        # The last taken may be what goes beyond the mark of bytes.
        largest = max((self.sizes[each] for each in held), default=0)
        assert self.nbytes_of(held) <= max(self.options.hwm_bytes, largest) + (
            excess * largest
        )
        for consumer in self.consumers:
            messages, nbytes = consumer.window
            sizes = [self.sizes[each] for each in consumer.has().values()]
            assert len(sizes) <= messages
            assert sum(sizes) < nbytes + max(sizes, default=1)

    def held(self) -> list[int]:
        out = [each for consumer in self.consumers for each in consumer.has().values()]
        return [*self.waiting, *out]

    def nbytes_of(self, ids: Any) -> int:
        return sum(self.sizes[each] for each in ids)

    def has_room(self, consumer: Consumer) -> bool:
        messages, nbytes = consumer.window
        has = consumer.has()
        return (
            not consumer.is_suspended
            and len(has) < messages
            and self.nbytes_of(has.values()) < nbytes
        )


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(max_examples=150, stateful_step_count=40)
