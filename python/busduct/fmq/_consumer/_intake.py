"""What all producers of a queue have sent to one consumer: no input or output."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from msgspec.structs import replace

from busduct.errors import RemoteProtocolError
from busduct.fmq._consumer._frames import without_frames
from busduct.fmq._consumer._greeting import Greeter
from busduct.fmq._consumer._origins import Origins
from busduct.fmq._consumer._producer_link import Origin, ProducerLink, Taken
from busduct.fmq._consumer._shelf import Shelf
from busduct.fmq._consumer._streak import Streak
from busduct.fmq._options import QueueOptions
from busduct.fmq._wire import (
    VERSION,
    Data,
    Goodbye,
    Hello,
    Refusal,
    Run,
    encode_control,
    parse_from_producer,
)

__all__ = ["Intake"]

# Small messages that are taken by the shortest way before anything else is looked at.
MAX_STREAK = 32

_NOBODY = Origin("")


class Intake:
    """The producers' connections, what they brought, and what they are to be told.

    A connection that says what no producer says is told so and not listened to any
    more. What it had brought and was not taken is dropped: its producer has it still.

    Args:
        name: Of the queue.
        consumer_id: What the consumer is to its producers.
        options: Of the queue.

    Attributes:
        name: Of the queue.
        origins: The producers.
        answers: What is to be sent to connections at once.
        refusals: What they did wrong, since this was last cleared.
        shelf: What came and was not taken, beside what was of the streak.
        streak: What is ready to be taken.
        num_unsettled: Messages taken that the application is not done with.
        num_settled: Those that it is done with.
        num_returned: Those that it gave back.
        num_redelivered: Messages taken that had been sent to a consumer before.
        num_superseded: Messages dropped because they came again before their turn.
        num_malformed: Messages dropped of connections that are not listened to.
        num_links: Connections of producers that are.
        is_ending: Whether nothing is adopted any more.
    """

    def __init__(self, name: str, consumer_id: bytes, options: QueueOptions) -> None:
        self.name = name
        self.origins = Origins()
        self.answers: list[tuple[bytes, bytes]] = []
        self.refusals: list[RemoteProtocolError] = []
        self.shelf = Shelf()
        self.streak = Streak()
        self.num_unsettled = 0
        self.num_settled = 0
        self.num_returned = 0
        self.num_redelivered = 0
        self.num_superseded = 0
        self.num_malformed = 0
        self.num_links = 0
        self.is_ending = False
        self._options = options
        self._greeter = Greeter(name, consumer_id, options)
        self._links: dict[bytes, ProducerLink] = {}
        self._ended: dict[ProducerLink, None] = {}
        self._keeping: dict[ProducerLink, None] = {}
        self._untold: dict[ProducerLink, None] = {}
        # Told no later, so that a producer does not come to the end of its window.
        self._due_messages = max(1, options.prefetch_messages // 4)
        self._due_nbytes = options.prefetch_bytes // 4

    @property
    def is_full(self) -> bool:
        """Whether no more should be received until some of what is held is taken.

        Producers that keep to their windows never bring that about.
        """
        options, num_links = self._options, self.num_links
        return self.shelf.exceeds(
            options.hwm_messages + num_links * options.prefetch_messages,
            options.hwm_bytes + num_links * options.prefetch_bytes,
        )

    @property
    def has_room(self) -> bool:
        """Whether it is well below where it `is_full`."""
        most = self._options
        return not self.shelf.exceeds(most.hwm_messages // 2, most.hwm_bytes // 2)

    @property
    def routing_ids(self) -> list[bytes]:
        """All connections that are known, of producers or not."""
        return list(self._links)

    def receive(self, routing_id: bytes, parts: Sequence[Any]) -> None:
        """Take in what came by a connection."""
        link = self._links.get(routing_id)
        found = self._listen(routing_id, link, parts)
        if link is not None and found:
            self.shelf.put(link, found)

    def receive_and_take(self, routing_id: bytes, parts: Sequence[Any]) -> Taken | None:
        """Take in what came by a connection, and take the next message.

        A message before which none is held does not get there: that takes as long as
        all else.
        """
        link = self._links.get(routing_id)
        found = self._listen(routing_id, link, parts)
        if link is None or not found:
            return self.take()
        data, nbytes = found[0]
        is_plain = data.num_deliveries == 1 and not link.is_over and not link.superseded
        if self.shelf.num_held or len(found) > 1 or not is_plain:
            self.shelf.put(link, found)
            return self.take()
        number = link.num_taken
        link.num_taken = number + 1
        return link, number, data, nbytes

    def take(self) -> Taken | None:
        """Take the next message; each connection that has some gets its turn."""
        shelf = self.shelf
        if self.streak.num_begun:
            self.end_streak()
        while (taken := shelf.take()) is not None:
            link, number, data, nbytes = taken
            if link.is_over:
                self._let_go(link)
            if not link.superseded or data.msg_id not in link.superseded:
                self.num_redelivered += data.num_deliveries > 1
                return taken
            self.num_superseded += 1
            link.settle_taken(number, nbytes)
            self._is_due(link)
        return None

    def room_for_streak(self, link: ProducerLink) -> tuple[int, int]:
        """Return how many messages and bytes of a connection may be taken together.

        None where not all is the same; else until its producer is to be told, and where
        other producers wait for their turn, an eighth of what the connection has here.
        """
        if link.is_over or link.superseded or link.unsettled:
            return 0, 0
        most = len(link.held) if self.shelf.num_links == 1 else len(link.held) // 8
        num_messages = min(most, MAX_STREAK, self._due_messages - link.num_untold)
        return max(num_messages, 0), self._due_nbytes - link.untold_nbytes

    def end_streak(self) -> bool:
        """Settle what was taken of the streak, and have none.

        Returns:
            As `settle_taken`.
        """
        link, count = self.shelf.next_link, self.streak.end()
        if link is None or not count:
            return False
        self.num_settled += count
        link.num_untold += count
        link.untold_nbytes += self.shelf.take_first(count)
        return self._is_due(link)

    def settle_taken(self, taken: Taken) -> bool:
        """Note that the application is done with what it took last.

        Returns:
            Whether its producer is to be told at once.
        """
        link, number, _, nbytes = taken
        self.num_settled += 1
        link.settle_taken(number, nbytes)
        return self._is_due(link)

    def keep(self, taken: Taken) -> None:
        """Note that the application is not done with what it took last."""
        link, number, data, nbytes = taken
        self.num_unsettled += 1
        link.keep_unsettled(number, data, nbytes)
        self._keeping[link] = None

    def settle(self, link: ProducerLink, number: int) -> bool:
        """Note that the application is done with what it kept; again does nothing.

        Returns:
            As `settle_taken`.
        """
        if not link.settle(number):
            return False
        self.num_settled += 1
        self._note_finished(link)
        return self._is_due(link)

    def give_back(self, link: ProducerLink, number: int) -> None:
        """Note that the application gives back what it kept; again does nothing.

        It is held again where its producer cannot be told.
        """
        found = link.give_back(number)
        if found is None:
            return
        self.num_returned += 1
        if link.is_own(number) and found[0].msg_id not in link.superseded:
            self._hold_again(link.origin, *found)
        self._note_finished(link)
        self._is_due(link)

    def take_news(self) -> list[ProducerLink]:
        """Take the connections whose producers are to be told something."""
        self.end_streak()
        links = list(self._untold)
        self._untold.clear()
        return links

    def put_off(self, link: ProducerLink) -> None:
        """Note that a producer could not be told."""
        self._untold[link] = None

    def end(self, routing_id: bytes) -> None:
        """Note that a connection is lost; more of what it brought may still come."""
        self.end_streak()
        link = self._links.get(routing_id)
        if link is not None:
            self._ended[link] = None
            self._note_over(link)

    def forget_ended(self) -> None:
        """Forget the connections that are lost: nothing of them comes any more.

        What they brought is still to be taken.
        """
        for link in self._ended:
            if self._links.get(link.routing_id) is link:
                del self._links[link.routing_id]
            self._let_go(link)
        self._ended.clear()

    def drop_all(self) -> list[Taken]:
        """Drop all that is held or unsettled.

        Returns:
            What came by connections that are lost, or was adopted. Producers deliver to
            somebody else what else a connection brought that they see end.
        """
        self.end_streak()
        links = dict.fromkeys((*self._keeping, *self.shelf.links()))
        orphans = [taken for link in links for taken in link.orphans()]
        for link in links:
            self.shelf.drop(link)
        self._keeping.clear()
        return orphans

    def _greet(
        self, routing_id: bytes, link: ProducerLink | None, hello: Hello
    ) -> None:
        if link is not None and not link.is_over:
            msg = "said a second time what it is"
            raise RemoteProtocolError(msg)
        answer = self._greeter.answer(hello)
        link = ProducerLink(routing_id, self.origins.find(hello.producer_id))
        link.origin.links.append(link)
        self._links[routing_id] = link
        self.num_links += 1
        self.answers.append((routing_id, answer))

    def _listen(
        self, routing_id: bytes, link: ProducerLink | None, parts: Sequence[Any]
    ) -> Sequence[tuple[Data, int]]:
        """Look at what came by a connection.

        Returns:
            The messages and their bytes, if that is what it is.
        """
        if self.streak.num_begun:
            self.end_streak()
        if link is not None and link.is_refused:
            self.num_malformed += 1
            return ()
        try:
            said = parse_from_producer(parts)
            if type(said) is Hello:
                self._greet(routing_id, link, said)
                return ()
            if link is None:
                msg = "message before anything was said about its producer"
                raise RemoteProtocolError(msg)
            if type(said) is Goodbye:
                self._adopt(link)
                return ()
        except RemoteProtocolError as error:
            self._refuse(routing_id, error)
            return ()
        if type(said) is Run:
            found = said.messages
        else:
            assert type(said) is Data
            found = (_with_bytes(said),)
        first = found[0][0]
        if first.num_skipped or first.num_deliveries > 1:
            # NB: no message of a run says more than its first one.
            self.origins.note(link, first)
        return found

    def _refuse(self, routing_id: bytes, error: RemoteProtocolError) -> None:
        self.num_malformed += 1
        self.refusals.append(without_frames(error))
        link = self._links.get(routing_id)
        if link is None:
            link = self._links[routing_id] = ProducerLink(routing_id, _NOBODY)
            link.is_over = True
        else:
            self._note_over(link)
            self._answer_all(link)
            self.shelf.drop(link)
            self._let_go(link)
        link.is_refused = True
        refusal = encode_control(Refusal(VERSION, str(error)))
        self.answers.append((routing_id, refusal))

    def _adopt(self, link: ProducerLink) -> None:
        """Own what a producer has sent, which wants to end; not at one's own end."""
        if not self.is_ending and not link.is_over:
            # NB: what is given back is not the consumer's, so that comes first.
            self._answer_all(link)
            self.answers.append((link.routing_id, encode_control(link.adopt())))

    def _answer_all(self, link: ProducerLink) -> None:
        while (news := link.next_news()) is not None:
            self.answers.append((link.routing_id, news))
            link.note_told()

    def _hold_again(self, origin: Origin, data: Data, nbytes: int) -> None:
        link = ProducerLink(b"", origin)
        link.is_over = True
        origin.links.append(link)
        data = replace(data, num_deliveries=data.num_deliveries + 1)
        self.shelf.put(link, ((data, nbytes),))

    def _note_finished(self, link: ProducerLink) -> None:
        self.num_unsettled -= 1
        if not link.num_unsettled:
            self._keeping.pop(link, None)
            self._let_go(link)

    def _is_due(self, link: ProducerLink) -> bool:
        if link.is_over:
            return False
        self._untold[link] = None
        return (
            link.num_untold >= self._due_messages
            or link.untold_nbytes >= self._due_nbytes
        )

    def _note_over(self, link: ProducerLink) -> None:
        if not link.is_over:
            link.is_over = True
            self.num_links -= 1
            self._untold.pop(link, None)

    def _let_go(self, link: ProducerLink) -> None:
        """Forget a connection that is over, once all it brought is done with."""
        if link.is_over and not link.held and not link.num_unsettled:
            with suppress(ValueError):
                link.origin.links.remove(link)


def _with_bytes(data: Data) -> tuple[Data, int]:
    nbytes = len(data.body)
    for part in data.parts:
        nbytes += len(part)
    return data, nbytes
