"""What a producer's ledger does, case by case."""

from typing import Any

import pytest

from busduct.errors import FrameTooLargeError, FullError, RemoteProtocolError
from busduct.fmq._options import QueueOptions
from busduct.fmq._producer._ledger import Ledger
from busduct.fmq._producer._share import Share
from busduct.fmq._producer._state import ProducerState
from busduct.fmq._wire import Ack, Encoded, Encoding, Nack


def encoded(nbytes: int = 1) -> Encoded:
    return Encoded(Encoding.BYTES, b"x" * nbytes, (), nbytes, False)


def ledger(on_unwanted: Any = print, **options: Any) -> Ledger:
    return Ledger(QueueOptions(**options), ProducerState(), on_unwanted)


class Sent:
    """A consumer's share, and what was sent for it."""

    def __init__(
        self, messages: int = 100, nbytes: int = 1 << 30, limit: int = 1 << 30
    ) -> None:
        self.ids: list[int] = []
        self.num_skipped = 0
        self.share = Share(messages, nbytes, limit, self._send)

    def _send(self, entries: list[Any], num_skipped: int) -> None:
        self.ids += [entry.msg_id for entry in entries]
        self.num_skipped = num_skipped


def deliver(book: Ledger) -> None:
    for share in book.assign():
        share.flush(book.num_dropped)


def waiting(book: Ledger) -> list[int]:
    return [entry.msg_id for entry in book._backlog]


def put(book: Ledger, count: int, nbytes: int = 1) -> list[int | None]:
    msg_ids = [book.put(encoded(nbytes), 0.0) for _ in range(count)]
    deliver(book)
    return msg_ids


def test_ids_count_from_zero_and_messages_wait_for_a_consumer() -> None:
    book, consumer = ledger(), Sent()
    assert put(book, 3) == [0, 1, 2]
    assert book.num_pending == 3
    book.add(consumer.share)
    deliver(book)
    assert consumer.ids == [0, 1, 2]
    assert (book.num_pending, book.num_unacknowledged) == (0, 3)


def test_idle_consumers_are_served_in_turn() -> None:
    book, first, second = ledger(), Sent(), Sent()
    book.add(first.share)
    book.add(second.share)
    for number in range(4):
        put(book, 1)
        consumer = first if number % 2 == 0 else second
        assert consumer.ids[-1] == number
        book.acknowledge(consumer.share, Ack(consumer.share.num_given, ()))


def test_the_consumer_with_fewest_messages_is_served() -> None:
    book, busy, idle = ledger(), Sent(), Sent()
    book.add(busy.share)
    put(book, 3)
    book.add(idle.share)
    put(book, 3)
    assert idle.ids == [3, 4, 5]


def test_consumers_that_have_many_are_served_some_at_once() -> None:
    book, first, second = ledger(), Sent(), Sent()
    book.add(first.share)
    book.add(second.share)
    put(book, 32)
    assert len(first.ids) == len(second.ids) == 16
    put(book, 6)
    # An eighth of what they have, after the one that was its turn.
    assert (first.ids[16:], second.ids[16:]) == ([32, 33, 34], [35, 36, 37])


def test_one_that_is_lost_amid_its_turn_gets_no_more() -> None:
    book, first, second = ledger(), Sent(), Sent()
    book.add(first.share)
    book.add(second.share)
    put(book, 33)
    book.suspend(first.share)
    put(book, 2)
    assert second.ids[16:] == [33, 34]


def test_a_consumer_that_is_quick_takes_no_more_than_its_turn() -> None:
    book, quick, slow = ledger(), Sent(), Sent()
    book.add(quick.share)
    book.add(slow.share)
    put(book, 33)
    book.acknowledge(slow.share, Ack(16, ()))
    for _ in range(3):
        book.acknowledge(quick.share, Ack(quick.share.num_given, ()))
        put(book, 1)
    assert (quick.ids[16:], slow.ids[16:]) == ([32, 33, 34], [35])


@pytest.mark.parametrize("window", [{"messages": 2}, {"nbytes": 15}])
def test_no_more_is_sent_ahead_than_the_window(window: dict[str, int]) -> None:
    book, consumer = ledger(), Sent(**window)
    book.add(consumer.share)
    put(book, 5, nbytes=10)
    assert consumer.ids == [0, 1]
    book.acknowledge(consumer.share, Ack(1, ()))
    deliver(book)
    assert consumer.ids == [0, 1, 2]


def test_an_answer_that_settles_nothing_makes_no_room() -> None:
    book, consumer = ledger(), Sent(messages=2)
    book.add(consumer.share)
    put(book, 3)
    book.acknowledge(consumer.share, Ack(0, ()))
    book.give_back(consumer.share, Nack(()))
    deliver(book)
    assert consumer.ids == [0, 1]


def test_a_message_larger_than_the_window_is_sent_alone() -> None:
    book, consumer = ledger(), Sent(nbytes=5)
    book.add(consumer.share)
    put(book, 2, nbytes=100)
    assert consumer.ids == [0]


def test_what_a_lost_consumer_had_goes_first_in_the_order_of_ids() -> None:
    book, lost, other = ledger(), Sent(messages=3), Sent(messages=2)
    book.add(lost.share)
    book.add(other.share)
    put(book, 8)
    assert (lost.ids, other.ids) == ([0, 2, 4], [1, 3])
    book.acknowledge(lost.share, Ack(0, (1,)))
    book.remove(lost.share)
    book.acknowledge(other.share, Ack(2, ()))
    book.remove(other.share)
    heir = Sent()
    book.add(heir.share)
    deliver(book)
    assert heir.ids == [0, 4, 5, 6, 7]
    assert [entry.num_deliveries for entry in heir.share.entries.values()] == [
        2,
        2,
        1,
        1,
        1,
    ]
    assert book.num_redelivered == 2


def test_what_comes_back_is_put_between_what_waits() -> None:
    book, first, second = ledger(), Sent(messages=1), Sent(messages=1)
    book.add(first.share)
    book.add(second.share)
    put(book, 3)
    book.remove(second.share)
    book.remove(first.share)
    assert waiting(book) == [0, 1, 2]


def test_what_comes_back_later_may_belong_around_what_came_back_before() -> None:
    book, first, second = ledger(), Sent(messages=2), Sent(messages=1)
    book.add(first.share)
    book.add(second.share)
    put(book, 4)
    assert (first.ids, second.ids) == ([0, 2], [1])
    book.remove(second.share)
    assert waiting(book) == [1, 3]
    book.remove(first.share)
    assert waiting(book) == [0, 1, 2, 3]


def test_what_is_given_back_is_sent_again() -> None:
    book, consumer = ledger(), Sent(messages=2)
    book.add(consumer.share)
    put(book, 3)
    book.give_back(consumer.share, Nack((0,)))
    deliver(book)
    assert consumer.ids == [0, 1, 0]
    book.acknowledge(consumer.share, Ack(3, ()))
    deliver(book)
    assert consumer.ids == [0, 1, 0, 2]
    assert book.num_acknowledged == 2


def test_acknowledging_twice_counts_once() -> None:
    book, consumer = ledger(), Sent()
    book.add(consumer.share)
    put(book, 4)
    for ack in (Ack(0, (2,)), Ack(3, (2,)), Ack(1, ()), Ack(3, (0, 0))):
        book.acknowledge(consumer.share, ack)
    assert (book.num_acknowledged, book.num_unacknowledged) == (3, 1)


@pytest.mark.parametrize("answer", [Ack(3, ()), Ack(0, (2,)), Ack(1 << 63, ())])
def test_an_ack_of_what_was_never_sent_is_refused(answer: Ack) -> None:
    book, consumer = ledger(), Sent()
    book.add(consumer.share)
    put(book, 2)
    with pytest.raises(RemoteProtocolError):
        book.acknowledge(consumer.share, answer)
    assert book.num_acknowledged == 0


def test_a_nack_of_what_was_never_sent_is_refused() -> None:
    book, consumer = ledger(), Sent()
    book.add(consumer.share)
    put(book, 2)
    with pytest.raises(RemoteProtocolError):
        book.give_back(consumer.share, Nack((0, 2)))
    assert book.num_unacknowledged == 2


@pytest.mark.parametrize("marks", [{"hwm_messages": 2}, {"hwm_bytes": 29}])
def test_a_putter_waits_at_either_mark(marks: dict[str, int]) -> None:
    book, consumer = ledger(**marks), Sent()
    assert put(book, 3, nbytes=10) == [0, 1, None]
    book.add(consumer.share)
    deliver(book)
    assert put(book, 1, nbytes=10) == [None]
    book.acknowledge(consumer.share, Ack(1, ()))
    assert put(book, 1, nbytes=10) == [2]


def test_a_message_beyond_the_mark_is_taken_by_an_empty_ledger() -> None:
    book = ledger(hwm_bytes=10)
    assert put(book, 2, nbytes=100) == [0, None]


def test_too_large_a_message_is_refused() -> None:
    book = ledger(max_message_bytes=9)
    with pytest.raises(FrameTooLargeError) as caught:
        put(book, 1, nbytes=10)
    assert (caught.value.size, caught.value.limit) == (10, 9)
    assert book.next_msg_id == 0


def test_error_is_raised_at_the_mark() -> None:
    book = ledger(hwm_messages=1, on_full="error")
    put(book, 1)
    with pytest.raises(FullError, match="1 messages"):
        put(book, 1)
    assert book.next_msg_id == 1


def test_the_newest_is_dropped_and_told_of() -> None:
    book, consumer = ledger(hwm_messages=1, on_full="drop_new"), Sent()
    assert put(book, 3) == [0, 1, 2]
    book.add(consumer.share)
    deliver(book)
    assert (consumer.ids, consumer.num_skipped) == ([0], 2)
    assert (book.num_put, book.num_dropped) == (3, 2)


def test_the_oldest_is_dropped_and_told_of() -> None:
    book, consumer = ledger(hwm_messages=2, on_full="drop_old"), Sent()
    put(book, 5)
    book.add(consumer.share)
    deliver(book)
    assert (consumer.ids, consumer.num_skipped) == ([3, 4], 3)


def test_the_newest_is_kept_where_consumers_hold_all_the_rest() -> None:
    book, consumer = ledger(hwm_messages=2, on_full="drop_old"), Sent()
    book.add(consumer.share)
    for _ in range(6):
        put(book, 1)
    assert consumer.ids == [0, 1]
    assert waiting(book) == [5]
    assert book.num_dropped == 3
    book.acknowledge(consumer.share, Ack(1, ()))
    deliver(book)
    assert consumer.ids == [0, 1, 5]


def test_immediate_waits_for_a_consumer() -> None:
    book, consumer = ledger(immediate=True, on_full="drop_new"), Sent()
    assert put(book, 1) == [None]
    assert book.room() == (0, 0)
    book.add(consumer.share)
    assert put(book, 1) == [0]


def test_room_is_what_can_be_put() -> None:
    book = ledger(hwm_messages=3, hwm_bytes=100)
    put(book, 2, nbytes=30)
    assert book.room() == (1, 40)


def test_ignoring_windows_gives_out_all_to_all_but_the_suspended() -> None:
    book, first, second = ledger(), Sent(messages=1), Sent(messages=1)
    book.add(first.share)
    book.add(second.share)
    put(book, 4)
    book.suspend(second.share)
    book.ignore_windows()
    deliver(book)
    assert (first.ids, second.ids) == ([0, 2, 3], [1])
    late = Sent(messages=1)
    book.add(late.share)
    put(book, 3)
    assert late.ids == [4, 5, 6]


def test_a_message_that_cannot_be_sent_is_dropped() -> None:
    book, consumer = ledger(), Sent()
    book.add(consumer.share)
    put(book, 3, nbytes=5)
    book.discard(consumer.share, 1)
    book.remove(consumer.share)
    assert waiting(book) == [0, 2]
    assert (book.num_dropped, book.pending_nbytes) == (1, 10)


def test_a_ledger_goes_on_for_another() -> None:
    first, consumer = ledger(), Sent(messages=1)
    first.add(consumer.share)
    put(first, 3)
    first.remove(consumer.share)
    second = Ledger(QueueOptions(), first.state(b"p" * 16, []), print)
    assert put(second, 1) == [3]
    heir = Sent()
    second.add(heir.share)
    deliver(second)
    assert heir.ids == [0, 1, 2, 3]
    assert heir.share.entries[0].num_deliveries == 2
    assert second.num_put == 4


def test_a_message_goes_to_a_consumer_that_takes_one_so_large() -> None:
    book, small, large = ledger(), Sent(limit=5), Sent(limit=10)
    book.add(small.share)
    book.add(large.share)
    for nbytes in (6, 10, 6):
        assert book.put_through(encoded(nbytes), 0.0) is None
        put(book, 1, nbytes)
    assert (large.ids, small.ids) == ([0, 1, 2], [])
    assert book.put_through(encoded(5), 0.0) is not None
    assert small.share.num_given == 1


def test_small_messages_pass_a_large_one_that_waits_for_its_consumer() -> None:
    book, small, large = ledger(), Sent(limit=5), Sent(messages=1, limit=10)
    book.add(small.share)
    book.add(large.share)
    for nbytes in (6, 7, 5, 8, 1):
        put(book, 1, nbytes)
    assert (large.ids, small.ids) == ([0], [2, 4])
    assert waiting(book) == [1, 3]
    assert book.num_unwanted == 0
    assert not book.is_stuck
    for number in range(1, 3):
        put(book, 1)
        book.acknowledge(large.share, Ack(number, ()))
        deliver(book)
    # Its oldest come first, and what came later goes to whoever has room.
    assert (large.ids, small.ids) == ([0, 1, 3], [2, 4, 5, 6])


def test_a_message_that_no_consumer_takes_waits_for_one_and_is_told() -> None:
    told: list[Any] = []
    book = ledger(lambda *it: told.append(it))
    small, other, large = Sent(limit=5), Sent(limit=4), Sent(limit=10)
    book.add(small.share)
    book.add(other.share)
    put(book, 1, 6)
    put(book, 2, 3)
    assert [(entry.msg_id, limit) for entry, limit in told] == [(0, 5)]
    assert (book.num_pending, book.num_unwanted) == (1, 1)
    assert sorted(small.ids + other.ids) == [1, 2]
    assert [entry.msg_id for entry in book.state(b"p" * 16, []).messages] == [0]
    book.add(large.share)
    deliver(book)
    assert large.ids == [0]
    assert book.num_unwanted == 0
    book.remove(large.share)
    deliver(book)
    assert waiting(book) == [0]
    assert book.num_unwanted == 1
    book.remove(small.share)
    book.remove(other.share)
    assert book.num_unwanted == 0


def test_what_was_passed_over_is_given_out_when_windows_are_ignored() -> None:
    book, small, large = ledger(), Sent(limit=5), Sent(messages=1, limit=10)
    book.add(small.share)
    book.add(large.share)
    put(book, 3, 6)
    assert (large.ids, waiting(book)) == ([0], [1, 2])
    book.ignore_windows()
    deliver(book)
    assert large.ids == [0, 1, 2]


def test_what_was_passed_over_is_the_first_to_be_dropped() -> None:
    book, small = ledger(on_full="drop_old", hwm_messages=3), Sent(limit=5, messages=1)
    book.add(small.share)
    put(book, 1, 6)
    put(book, 3, 1)
    assert (small.ids, waiting(book)) == ([1], [2, 3])
    assert book.num_dropped == 1
