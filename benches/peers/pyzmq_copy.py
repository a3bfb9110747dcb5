"""pyzmq's blocking sockets, messages copied into `bytes`."""

import functools

import zmq
from driver import NUM_CHECKED, Task, ask_blocking_with, main, report_rate


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
            for index in range(NUM_CHECKED):
                task.check(index, rx.recv())
            meter, chunk, copy = task.meter(), task.chunk, self.copy
            while meter.more(chunk):
                for _ in range(chunk):
                    rx.recv(copy=copy)
            report_rate(meter)

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


if __name__ == "__main__":
    main(Peer())
