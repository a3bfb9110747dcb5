"""Who stands in line has a turn, and whoever leaves gives it on."""

import asyncio

import pytest
from tests.transport.waiting import settle

from busduct.transport._waiting_line import WaitingLine

pytestmark = pytest.mark.usefixtures("any_loop")


class Visit:
    """A task that joins a line, and leaves when told."""

    def __init__(self, line: WaitingLine) -> None:
        self.has_turn = False
        self._may_leave = asyncio.Event()
        self.task = asyncio.create_task(self._stand(line))

    async def _stand(self, line: WaitingLine) -> None:
        await line.join()
        self.has_turn = True
        await self._may_leave.wait()
        line.leave()

    def leave(self) -> None:
        self._may_leave.set()


async def standing(num: int) -> tuple[WaitingLine, list[Visit]]:
    """Begin a line, and have some join it."""
    line = WaitingLine()
    line.begin()
    visits = [Visit(line) for _ in range(num)]
    await settle()
    assert len(line.places) == 1 + num
    return line, visits


async def test_turns_come_in_the_order_of_joining() -> None:
    line, visits = await standing(3)
    line.leave()
    for index, visit in enumerate(visits):
        await settle()
        assert [each.has_turn for each in visits].count(True) == index + 1
        assert visit.has_turn
        visit.leave()
    await settle()
    assert not line.places


async def test_who_is_cancelled_before_the_turn_is_passed_over() -> None:
    line, (first, second) = await standing(2)
    first.task.cancel()
    await settle()
    assert len(line.places) == 2
    line.leave()
    await settle()
    assert second.has_turn


async def test_who_is_cancelled_as_the_turn_comes_gives_it_on() -> None:
    line, (first, second) = await standing(2)
    line.leave()
    first.task.cancel()
    await settle()
    assert not first.has_turn
    assert second.has_turn


async def test_turn_of_one_that_was_cancelled_and_did_not_run_goes_on() -> None:
    line, (first, second) = await standing(2)
    first.task.cancel()
    line.leave()
    await settle()
    assert not first.has_turn
    assert second.has_turn
