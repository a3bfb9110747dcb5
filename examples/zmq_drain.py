"""A pyzmq program on busduct: a loop that takes what is there and never waits.

Written for pyzmq; only the import line is changed.

    python examples/zmq_drain.py
"""

from busduct.transport import zmq_compat as zmq


def drain(receiver: zmq.Socket) -> list[str]:
    """Return every message that is there, waiting for none."""
    messages = []
    while True:
        try:
            messages.append(receiver.recv_string(flags=zmq.NOBLOCK))
        except zmq.Again:
            return messages


def main() -> None:
    """Send some, drain them, and find nothing more."""
    context = zmq.Context()
    receiver = context.socket(zmq.PULL)
    receiver.setsockopt(zmq.RCVHWM, 100)
    receiver.bind("tcp://127.0.0.1:*")
    sender = context.socket(zmq.PUSH)
    sender.setsockopt(zmq.LINGER, 1000)
    sender.connect(receiver.getsockopt_string(zmq.LAST_ENDPOINT))

    print(f"at first: {drain(receiver)}")
    for number in range(3):
        sender.send_string(f"request {number}")
    received: list[str] = []
    while len(received) < 3 and receiver.poll(timeout=5000):
        received += drain(receiver)
    print(f"then: {received}")
    print(f"at last: {drain(receiver)}")

    sender.close()
    receiver.close()
    context.term()


if __name__ == "__main__":
    main()
