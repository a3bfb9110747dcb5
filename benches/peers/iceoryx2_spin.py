"""iceoryx2, spinning: the receiver asks again until something is there.

The sender copies each payload into a loaned sample (`ctypes.memmove`); `receive` copies
it out as `bytes`, `receive_view` reads it in the sample and releases that. Blocking
code without an event loop: the Python face has no descriptor to wait on. A full queue
makes the sender wait, nothing is dropped; as many samples are under way as `Task.depth`
says, but 64 at least.
"""

import ctypes
from typing import Any

from driver import Task, main, report_rate, skip, touch
from round_trips import ask_blocking_with

try:
    import iceoryx2 as iox
except ImportError:
    skip("iceoryx2 is not installed")

MAX_OUTSTANDING = 64


class Link:
    """One direction of one service, with both its ends."""

    def __init__(self, task: Task, name: str) -> None:
        self._nbytes = task.nbytes
        iox.set_log_level(iox.LogLevel.Error)
        self.node = iox.NodeBuilder.new().create(iox.ServiceType.Ipc)
        self.name = iox.ServiceName.new(f"{task.endpoint}/{name}")
        depth = max(task.depth, MAX_OUTSTANDING)
        self._service = (
            self.node.service_builder(self.name)
            .publish_subscribe(iox.Slice[ctypes.c_uint8])
            .enable_safe_overflow(False)
            .subscriber_max_buffer_size(depth)
            .max_publishers(1)
            .max_subscribers(1)
            .open_or_create()
        )
        self._port: Any = None

    def open_sender(self) -> None:
        """Make the sending end, and wait for the other one."""
        self._port = (
            self._service.publisher_builder()
            .initial_max_slice_len(self._nbytes)
            .backpressure_strategy(iox.BackpressureStrategy.RetryUntilDelivered)
            .create()
        )
        while not self._service.dynamic_config.number_of_subscribers:
            self.node.wait(iox.Duration.from_millis(5))

    def open_receiver(self) -> None:
        """Make the receiving end."""
        self._port = self._service.subscriber_builder().create()

    def send(self, message: bytes) -> None:
        """Copy a message into a sample and send it."""
        while True:
            sample = self._port.loan_slice_uninit(self._nbytes)
            ctypes.memmove(sample.payload_ptr, message, self._nbytes)
            # NB: until the receiver first asks, what exceeds the queue reaches nobody.
            if sample.assume_init().send():
                return

    def send_unfilled(self) -> None:
        """Send a sample as it is."""
        while not self._port.loan_slice_uninit(self._nbytes).assume_init().send():
            pass

    def poll(self) -> Any:
        """Take a sample; None if there is none."""
        return self._port.receive()

    def take(self) -> Any:
        """Take a sample, spinning until there is one."""
        while (sample := self._port.receive()) is None:
            pass
        return sample

    def recv(self) -> bytes:
        """Take a message, copied out."""
        sample = self.take()
        message = ctypes.string_at(sample.payload_ptr, self._nbytes)
        sample.delete()
        return message

    def view(self, sample: Any) -> memoryview:
        """Return what is in a sample, where it lies."""
        view: memoryview = sample.payload().as_memory_view()
        return view.cast("B")


class Peer:
    """Code that does nothing but this."""

    link = Link

    def send(self, task: Task) -> None:
        """Send without end."""
        link = self._sender(task)
        while True:
            link.send(task.payload)

    def send_loan(self, task: Task) -> None:
        """Send samples without end that are not filled."""
        link = self._sender(task)
        while True:
            link.send_unfilled()

    def receive(self, task: Task) -> None:
        """Receive one by one, copied out, and count."""
        link = self._receiver(task)
        for index in range(task.num_checked):
            task.check(index, link.recv())
        meter, chunk = task.meter(), task.chunk
        while meter.more(chunk):
            for _ in range(chunk):
                link.recv()
        report_rate(meter)

    def receive_view(self, task: Task) -> None:
        """Receive one by one, look at each in its sample, and count."""
        link = self._receiver(task)
        for index in range(task.num_checked):
            sample = link.take()
            task.check(index, link.view(sample))
            sample.delete()
        meter, chunk = task.meter(), task.chunk
        while meter.more(chunk):
            for _ in range(chunk):
                sample = link.take()
                touch(link.view(sample))
                sample.delete()
        report_rate(meter)

    def ping(self, task: Task) -> None:
        """Measure round trips over a service for each direction."""
        there, back = self.link(task, "there"), self.link(task, "back")
        back.open_receiver()
        there.open_sender()
        ask_blocking_with(task, there.send, back.recv)

    def pong(self, task: Task) -> None:
        """Echo without end."""
        there, back = self.link(task, "there"), self.link(task, "back")
        there.open_receiver()
        back.open_sender()
        while True:
            back.send(there.recv())

    def _sender(self, task: Task) -> Link:
        link = self.link(task, "there")
        link.open_sender()
        for message in task.first_messages():
            link.send(message)
        return link

    def _receiver(self, task: Task) -> Link:
        link = self.link(task, "there")
        link.open_receiver()
        return link


if __name__ == "__main__":
    main(Peer())
