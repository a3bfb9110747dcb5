"""pyzmq's blocking sockets, messages copied into `bytes`."""

import functools

import zmq
from driver import Task, main, report_rate, touch
from fan_out import END, Publishing
from round_trips import ask_blocking_with, one_at_a_time_blocking, report


class Peer:
    """Blocking code; `copy` is pyzmq's own option."""

    copy = True

    def send(self, task: Task) -> None:
        """Send without end."""
        tx = zmq.Context().socket(zmq.PUSH)
        tx.connect(task.endpoint)
        for message in task.first_messages():
            tx.send(message)
        payload, copy = task.payload, self.copy
        while True:
            tx.send(payload, copy=copy)

    def receive(self, task: Task) -> None:
        """Receive one by one and count."""
        with zmq.Context() as ctx, ctx.socket(zmq.PULL) as rx:
            rx.bind(task.endpoint)
            for index in range(task.num_checked):
                task.check(index, rx.recv())
            meter, chunk, copy = task.meter(), task.chunk, self.copy
            while meter.more(chunk):
                for _ in range(chunk):
                    rx.recv(copy=copy)
            report_rate(meter)

    def receive_view(self, task: Task) -> None:
        """Receive one by one, look at each where it lies, and count."""
        with zmq.Context() as ctx, ctx.socket(zmq.PULL) as rx:
            rx.bind(task.endpoint)
            for index in range(task.num_checked):
                task.check(index, rx.recv(copy=False))
            meter, chunk = task.meter(), task.chunk
            while meter.more(chunk):
                for _ in range(chunk):
                    touch(rx.recv(copy=False).buffer)
            report_rate(meter)

    def publish(self, task: Task) -> Publishing:
        """Publish one by one, at the pace of the slowest."""
        with zmq.Context() as ctx, ctx.socket(zmq.XPUB) as tx:
            tx.sndhwm, tx.xpub_nodrop, tx.xpub_verbose = task.hwm, 1, 1
            tx.bind(task.endpoint)
            for _ in range(task.num_subscribers):
                tx.recv()
            for message in task.first_messages():
                tx.send(message)
            payload, chunk = task.payload, task.chunk
            publishing = Publishing(task.seconds)
            copy = self.copy
            while publishing.more():
                for _ in range(chunk):
                    tx.send(payload, copy=copy)
                publishing.count += chunk
            tx.send(END)
            # Closing would lose what is queued: wait until the last has left.
            tx.recv()
            return publishing

    def subscribe(self, task: Task) -> int:
        """Receive one by one and count."""
        with zmq.Context() as ctx, ctx.socket(zmq.SUB) as rx:
            rx.rcvhwm, rx.subscribe = task.hwm, b""
            rx.connect(task.endpoint)
            for index in range(task.num_checked):
                task.check(index, rx.recv())
            count, copy = 0, self.copy
            while len(rx.recv(copy=copy)):
                count += 1
            return count

    def ask(self, task: Task) -> None:
        """Measure round trips."""
        with zmq.Context() as ctx, ctx.socket(zmq.DEALER) as dealer:
            dealer.linger = 0
            dealer.connect(task.endpoint)
            send = functools.partial(dealer.send, copy=self.copy)
            recv = functools.partial(dealer.recv, copy=self.copy)
            ask_blocking_with(task, send, recv)

    def answer(self, task: Task) -> None:
        """Echo without end."""
        router = zmq.Context().socket(zmq.ROUTER)
        router.bind(task.endpoint)
        copy = self.copy
        while True:
            router.send_multipart(router.recv_multipart(copy=copy), copy=copy)

    def request(self, task: Task) -> None:
        """Measure round trips, each a request and its reply."""
        with zmq.Context() as ctx, ctx.socket(zmq.REQ) as requester:
            requester.linger = 0
            requester.connect(task.endpoint)
            send = functools.partial(requester.send, copy=self.copy)
            recv = functools.partial(requester.recv, copy=self.copy)
            report(one_at_a_time_blocking(task, send, recv))

    def reply(self, task: Task) -> None:
        """Reply without end."""
        replier = zmq.Context().socket(zmq.REP)
        replier.bind(task.endpoint)
        copy = self.copy
        while True:
            replier.send(replier.recv(copy=copy), copy=copy)


if __name__ == "__main__":
    main(Peer())
