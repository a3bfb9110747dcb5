"""What the sockets of a pool are called; each life of a worker has its own."""

__all__ = ["READINESS_NAME", "request_name", "response_name"]

READINESS_NAME = "ready"


def request_name(worker_id: int, generation: int) -> str:
    """Return where a worker takes its requests from."""
    return f"q{worker_id}.{generation}"


def response_name(worker_id: int, generation: int) -> str:
    """Return where a worker sends its responses to."""
    return f"r{worker_id}.{generation}"
