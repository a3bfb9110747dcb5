"""A pyzmq program on busduct: a ventilator hands tasks to a worker, and stops it.

Written for pyzmq; only the import line is changed.

    python examples/zmq_worker.py
"""

import threading

from busduct.transport import zmq_compat as zmq


def work(context: zmq.Context, tasks_url: str, results_url: str) -> None:
    """Square numbers until told to stop."""
    with context.socket(zmq.PULL) as tasks, context.socket(zmq.PUSH) as results:
        tasks.connect(tasks_url)
        results.connect(results_url)
        while True:
            message = tasks.recv_string()
            if message == "STOP":
                break
            number = int(message)
            results.send_json({"number": number, "square": number**2})


def main() -> None:
    """Hand out five tasks, collect the results, stop the worker."""
    with (
        zmq.Context() as context,
        context.socket(zmq.PUSH) as tasks,
        context.socket(zmq.PULL) as results,
    ):
        tasks_port = tasks.bind_to_random_port("tcp://127.0.0.1")
        results_port = results.bind_to_random_port("tcp://127.0.0.1")
        urls = f"tcp://127.0.0.1:{tasks_port}", f"tcp://127.0.0.1:{results_port}"
        worker = threading.Thread(target=work, args=(context, *urls))
        worker.start()
        for number in range(5):
            tasks.send_string(str(number))
        tasks.send_string("STOP")
        for _ in range(5):
            result = results.recv_json()
            print(f"{result['number']} squared is {result['square']}")
        worker.join()


if __name__ == "__main__":
    main()
