"""A pyzmq program on busduct: remote calls over REQ and REP.

Written for pyzmq; only the import line is changed.

    python examples/zmq_rpc.py
"""

import threading

from busduct.transport import zmq_compat as zmq

METHODS = {"add": lambda a, b: a + b, "upper": str.upper}


def serve(server: zmq.Socket) -> None:
    """Answer calls until the method is "stop"."""
    while True:
        call = server.recv_json()
        if call["method"] == "stop":
            server.send_json({"result": None})
            return
        method = METHODS.get(call["method"])
        if method is None:
            server.send_json({"error": f"no method {call['method']}"})
        else:
            server.send_json({"result": method(*call["parameters"])})


def main() -> None:
    """Call two methods that there are and one that is not."""
    context = zmq.Context.instance()
    server = context.socket(zmq.REP)
    port = server.bind_to_random_port("tcp://127.0.0.1")
    serving = threading.Thread(target=serve, args=(server,))
    serving.start()

    client = context.socket(zmq.REQ)
    client.setsockopt(zmq.RCVTIMEO, 5000)
    client.connect(f"tcp://127.0.0.1:{port}")
    for method, *parameters in (("add", 2, 3), ("upper", "hello"), ("fly",), ("stop",)):
        client.send_json({"method": method, "parameters": parameters})
        print(f"{method}: {client.recv_json()}")

    serving.join()
    client.close()
    server.close()
    context.term()


if __name__ == "__main__":
    main()
