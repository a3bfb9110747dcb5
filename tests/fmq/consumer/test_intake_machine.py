"""Whatever producers and the application do, every message is accounted for."""

from typing import Any

from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from hypothesis.strategies import data as any_choice
from hypothesis.strategies import integers
from tests.fmq.raw_producer import NAME, parts_of, run_of

from busduct.fmq._consumer._intake import Intake
from busduct.fmq._consumer._opening import Opener
from busduct.fmq._options import QueueOptions
from busduct.fmq._payload import PayloadDecoder
from busduct.fmq._wire import (
    VERSION,
    Ack,
    Adopted,
    Goodbye,
    Hello,
    Nack,
    Refusal,
    Welcome,
    encode_control,
    parse_from_consumer,
)


class ProducerSide:
    """What one connection's producer knows.

    Attributes:
        outstanding: Numbers that it has heard nothing of, and their message ids.
        is_up: Whether anything can be said on it.
    """

    def __init__(self, number: int) -> None:
        self.routing_id = number.to_bytes(5, "big")
        self.num_sent = 0
        self.upto = 0
        self.outstanding: dict[int, int] = {}
        self.acknowledged: set[int] = set()
        self.returned: set[int] = set()
        self.is_up = True
        self.is_refused = False
        # Ids of messages that the consumer owns.
        self.adopted: set[int] = set()

    def hear(self, said: Welcome | Refusal | Ack | Nack | Adopted) -> None:
        match said:
            case Ack(upto, others):
                assert self.upto <= upto <= self.num_sent
                self.upto = upto
                done = {n for n in self.outstanding if n < upto or n in others}
                for number in done:
                    self.acknowledged.add(self.outstanding.pop(number))
            case Nack(numbers):
                for number in numbers:
                    if number in self.outstanding:
                        self.returned.add(self.outstanding.pop(number))
            case Adopted(upto):
                assert upto == self.num_sent
                self.adopted.update(self.outstanding.values())
                self.outstanding.clear()
            case Refusal():
                self.is_refused = True


class IntakeMachine(RuleBasedStateMachine):
    """A consumer's intake, a producer at the end of each connection, and a caller."""

    @initialize()
    def begin(self) -> None:
        options = QueueOptions(prefetch_messages=16, prefetch_bytes=80)
        self.intake = Intake(NAME, bytes(16), options)
        self.opener = Opener(PayloadDecoder())
        self.sides: list[ProducerSide] = []
        self.num_connections = 0
        self.next_msg_id = 0
        # By message id: which side sent it, as which number.
        self.held: dict[int, tuple[ProducerSide | None, int]] = {}
        self.kept: dict[int, tuple[ProducerSide | None, Any, int]] = {}
        self.settled: set[int] = set()
        self.given_back: set[int] = set()
        self.last_taken: dict[ProducerSide, int] = {}

    def _hear_answers(self) -> None:
        for routing_id, answer in self.intake.answers:
            for side in self.sides:
                if side.routing_id == routing_id:
                    side.hear(parse_from_consumer([answer]))
        self.intake.answers.clear()

    def _up(self) -> list[ProducerSide]:
        return [side for side in self.sides if side.is_up and not side.is_refused]

    @rule()
    def connect(self) -> None:
        self.num_connections += 1
        side = ProducerSide(self.num_connections)
        self.sides.append(side)
        producer_id = self.num_connections.to_bytes(16, "big")
        hello = encode_control(Hello(VERSION, NAME, producer_id))
        self.intake.receive(side.routing_id, [hello])
        self._hear_answers()

    @precondition(lambda self: self._up())
    @rule(choice=any_choice(), count=integers(1, 6))
    def send(self, choice: Any, count: int) -> None:
        side = choice.draw(integers(0, len(self._up()) - 1).map(self._up().__getitem__))
        for _ in range(count):
            msg_id = self._note_sent(side)
            self.intake.receive(side.routing_id, parts_of(b"12345", msg_id))

    @precondition(lambda self: self._up())
    @rule(choice=any_choice(), count=integers(1, 6), is_taking=integers(0, 1))
    def send_together(self, choice: Any, count: int, is_taking: int) -> None:
        side = choice.draw(integers(0, len(self._up()) - 1).map(self._up().__getitem__))
        run = [run_of(*[b"12345"] * count, first_id=self.next_msg_id)]
        for _ in range(count):
            self._note_sent(side)
        if not is_taking:
            self.intake.receive(side.routing_id, run)
            return
        taken = self.intake.receive_and_take(side.routing_id, run)
        assert taken is not None
        self._note_taken(taken, is_kept=0)

    def _note_sent(self, side: ProducerSide) -> int:
        msg_id, self.next_msg_id = self.next_msg_id, self.next_msg_id + 1
        side.outstanding[side.num_sent] = msg_id
        self.held[msg_id] = (side, side.num_sent)
        side.num_sent += 1
        return msg_id

    @rule(count=integers(1, 5), is_kept=integers(0, 1))
    def take(self, count: int, is_kept: int) -> None:
        for _ in range(count):
            taken = self.intake.take()
            if taken is None:
                assert not self.held
                return
            self._note_taken(taken, is_kept)

    def _note_taken(self, taken: Any, is_kept: int) -> None:
        link, number, data, nbytes = taken
        side, sent_as = self.held.pop(data.msg_id)
        assert (number, nbytes) == (sent_as, 5)
        if side is not None:
            assert self.last_taken.get(side, -1) < number
            self.last_taken[side] = number
        if is_kept:
            self.intake.keep(taken)
            self.kept[data.msg_id] = (side, link, number)
        else:
            self.settled.add(data.msg_id)
            self.intake.settle_taken(taken)

    @precondition(lambda self: self.intake.shelf.next_link is not None)
    @rule()
    def look_ahead(self) -> None:
        # What was taken of an earlier one is settled, and the rest may come again.
        self.intake.end_streak()
        link = self.intake.shelf.next_link
        if link is None:
            return
        room = self.intake.room_for_streak(link)
        messages = self.opener.open_ahead(link, *room)
        assert len(messages) <= max(room[0], 0)
        self.intake.streak.begin(messages)

    @precondition(lambda self: self.intake.streak.ready)
    @rule(count=integers(1, 4))
    def take_ready(self, count: int) -> None:
        ready = self.intake.streak.ready
        for _ in range(min(count, len(ready))):
            message = ready.popleft()
            side, number = self.held.pop(message.msg_id)
            assert self.last_taken.get(side, -1) < number
            self.last_taken[side] = number
            self.settled.add(message.msg_id)
        if not ready:
            self.intake.end_streak()

    @precondition(lambda self: self.kept)
    @rule(choice=any_choice(), is_done=integers(0, 1))
    def finish(self, choice: Any, is_done: int) -> None:
        ids = sorted(self.kept)
        msg_id = choice.draw(integers(0, len(ids) - 1).map(ids.__getitem__))
        side, link, number = self.kept.pop(msg_id)
        # The second time counts for nothing.
        for _ in range(2):
            if is_done:
                self.intake.settle(link, number)
            else:
                self.intake.give_back(link, number)
        self.intake.settle(link, number)
        (self.settled if is_done else self.given_back).add(msg_id)
        is_own = side is None or msg_id in side.adopted
        if not is_done and (is_own or not (side.is_up or side.is_refused)):
            # Nobody is there to have it back.
            self.held[msg_id] = (None, 0)

    @rule()
    def tell(self) -> None:
        for link in self.intake.take_news():
            side = next(s for s in self.sides if s.routing_id == link.routing_id)
            while (news := link.next_news()) is not None:
                side.hear(parse_from_consumer([news]))
                link.note_told()
        assert not self.intake.take_news()
        for side in self._up():
            held = {m for m, (of, _) in self.held.items() if of is side}
            kept = {m for m, (of, _, _) in self.kept.items() if of is side}
            assert set(side.outstanding.values()) == (held | kept) - side.adopted

    @precondition(lambda self: self._up())
    @rule(choice=any_choice())
    def say_goodbye(self, choice: Any) -> None:
        side = choice.draw(integers(0, len(self._up()) - 1).map(self._up().__getitem__))
        before = set(side.adopted)
        self.intake.receive(side.routing_id, [encode_control(Goodbye())])
        self._hear_answers()
        assert not side.outstanding
        assert not (side.adopted - before) & (self.settled | self.given_back)
        held = {m for m, (of, _) in self.held.items() if of is side}
        kept = {m for m, (of, _, _) in self.kept.items() if of is side}
        assert side.adopted - self.settled - self.given_back == held | kept

    @precondition(lambda self: self._up())
    @rule(choice=any_choice())
    def lose(self, choice: Any) -> None:
        side = choice.draw(integers(0, len(self._up()) - 1).map(self._up().__getitem__))
        side.is_up = False
        self.intake.end(side.routing_id)
        self.intake.forget_ended()

    @precondition(lambda self: self._up())
    @rule(choice=any_choice())
    def talk_nonsense(self, choice: Any) -> None:
        side = choice.draw(integers(0, len(self._up()) - 1).map(self._up().__getitem__))
        self.intake.receive(side.routing_id, [b"\xff nonsense"])
        self.held = {m: h for m, h in self.held.items() if h[0] is not side}
        self._hear_answers()
        assert side.is_refused
        kept = {m for m, (of, _, _) in self.kept.items() if of is side}
        # It knew all that was done when it was told to go.
        assert kept - side.adopted <= set(side.outstanding.values())
        assert not set(side.outstanding.values()) & self.settled

    @invariant()
    def counts_agree(self) -> None:
        if not hasattr(self, "intake"):
            return
        streak = self.intake.streak
        num_ahead = streak.num_begun - len(streak.ready)
        assert self.intake.shelf.num_held == len(self.held) + num_ahead
        assert self.intake.shelf.held_nbytes == 5 * (len(self.held) + num_ahead)
        assert self.intake.num_unsettled == len(self.kept)
        assert self.intake.num_settled == len(self.settled) - num_ahead
        assert self.intake.num_returned >= len(self.given_back)
        assert self.intake.num_links == len(self._up())
        for side in self.sides:
            assert side.acknowledged <= self.settled
            assert side.returned <= self.given_back

    def teardown(self) -> None:
        if hasattr(self, "intake"):
            known = len(self.intake.routing_ids)
            refused = sum(side.is_up and side.is_refused for side in self.sides)
            assert known == len(self._up()) + refused


TestIntake = IntakeMachine.TestCase
TestIntake.settings = settings(max_examples=200, stateful_step_count=40)
