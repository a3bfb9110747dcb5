"""busduct in blocking code: `send_blocking()` and `recv_blocking()`."""

from driver import Task, main
from round_trips import ask_blocking_with, one_at_a_time_blocking, report

from busduct.transport import DEALER, REP, REQ, ROUTER, Context


class Peer:
    """Code without an event loop."""

    def ask(self, task: Task) -> None:
        """Measure round trips."""
        with Context() as ctx:
            dealer = ctx.socket(DEALER, linger=0.0)
            dealer.connect(task.endpoint)
            ask_blocking_with(task, dealer.send_blocking, dealer.recv_blocking)

    def answer(self, task: Task) -> None:
        """Echo without end."""
        with Context() as ctx:
            router = ctx.socket(ROUTER)
            router.bind(task.endpoint)
            while True:
                router.send_multipart_blocking(router.recv_multipart_blocking())

    def request(self, task: Task) -> None:
        """Measure round trips, each a request and its reply."""
        with Context() as ctx:
            requester = ctx.socket(REQ, linger=0.0)
            requester.connect(task.endpoint)
            send, recv = requester.send_blocking, requester.recv_blocking
            report(one_at_a_time_blocking(task, send, recv))

    def reply(self, task: Task) -> None:
        """Reply without end."""
        with Context() as ctx:
            replier = ctx.socket(REP)
            replier.bind(task.endpoint)
            while True:
                replier.send_blocking(replier.recv_blocking())


if __name__ == "__main__":
    main(Peer())
