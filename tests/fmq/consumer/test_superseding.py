"""What a producer sends again on another connection is not delivered twice here."""

from tests.fmq.raw_producer import NAME, parts_of

from busduct.fmq._consumer._intake import Intake
from busduct.fmq._consumer._origins import MAX_ORIGINS, Origins
from busduct.fmq._consumer._producer_link import Taken
from busduct.fmq._options import QueueOptions
from busduct.fmq._wire import VERSION, Hello, encode_control

PRODUCER = bytes(range(16))


class Exchange:
    """An intake, one producer of it, and connections by their numbers."""

    def __init__(self) -> None:
        self.intake = Intake(NAME, bytes(16), QueueOptions())

    def connect(self, number: int) -> None:
        hello = encode_control(Hello(VERSION, NAME, PRODUCER))
        self.intake.receive(bytes([number]), [hello])

    def send(self, number: int, *msg_ids: int, num_deliveries: int = 1) -> None:
        for msg_id in msg_ids:
            parts = parts_of(b"x", msg_id, num_deliveries=num_deliveries)
            self.intake.receive(bytes([number]), parts)

    def lose(self, number: int) -> None:
        self.intake.end(bytes([number]))
        self.intake.forget_ended()

    def take(self) -> Taken:
        taken = self.intake.take()
        assert taken is not None
        return taken

    def take_all(self) -> list[int]:
        """Return the ids of all that is left."""
        ids = []
        while (taken := self.intake.take()) is not None:
            ids.append(taken[2].msg_id)
        return ids


def test_what_came_again_is_skipped_where_it_came_first() -> None:
    here = Exchange()
    here.connect(1)
    here.send(1, 0, 1, 2)
    here.connect(2)
    # The end of the first connection may be seen later than the second begins.
    here.send(2, 1, num_deliveries=2)
    here.lose(1)
    assert sorted(here.take_all()) == [0, 1, 2]
    assert here.intake.num_superseded == 1


def test_what_is_sent_for_the_first_time_supersedes_nothing() -> None:
    here = Exchange()
    here.connect(1)
    here.send(1, 0)
    here.connect(2)
    here.send(2, 0)
    assert here.take_all() == [0, 0]


def test_what_came_again_is_not_held_again_when_it_is_given_back() -> None:
    here = Exchange()
    here.connect(1)
    here.send(1, 0)
    link, number, _, _ = taken = here.take()
    here.intake.keep(taken)
    here.lose(1)
    here.connect(2)
    here.send(2, 0, num_deliveries=2)
    here.intake.give_back(link, number)
    assert here.take_all() == [0]


def test_what_came_again_is_left_to_its_producer_at_the_end() -> None:
    here = Exchange()
    here.connect(1)
    here.send(1, 0, 1, 2)
    here.intake.keep(here.take())
    here.lose(1)
    here.connect(2)
    here.send(2, 0, 2, num_deliveries=2)
    left = here.intake.drop_all()
    assert [data.msg_id for _, _, data, _ in left] == [1]
    assert here.intake.shelf.num_held == 0


def test_what_was_held_again_is_superseded_as_well() -> None:
    here = Exchange()
    here.connect(1)
    here.send(1, 0)
    link, number, _, _ = taken = here.take()
    here.intake.keep(taken)
    here.lose(1)
    here.intake.give_back(link, number)
    here.connect(2)
    here.send(2, 0, num_deliveries=2)
    assert here.take_all() == [0]


def test_producers_that_are_gone_are_forgotten_one_after_the_other() -> None:
    origins = Origins()
    first = origins.find(bytes(16))
    for n in range(1, MAX_ORIGINS):
        origins.find(n.to_bytes(16, "big"))
        assert origins.find(bytes(16)) is first
    origins.find(MAX_ORIGINS.to_bytes(16, "big"))
    assert origins.find(bytes(16)) is first
    assert origins.find((2).to_bytes(16, "big")).num_skipped == 0
    assert len(origins) == MAX_ORIGINS
