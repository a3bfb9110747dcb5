"""What is asked of an adapter."""

from typing import Any, Protocol, runtime_checkable

from busduct.messages import Query, QueryResult

__all__ = ["HttpRequestAdapter"]


@runtime_checkable
class HttpRequestAdapter(Protocol):
    """Make requests of queries, and results of responses, for one kind of endpoint.

    A worker calls the class itself, never an instance.
    """

    @classmethod
    def encode_query(cls, query: Query) -> bytes:
        """Return the body of the request.

        Raises:
            RequestError: The query lacks what the endpoint needs, or holds a value that
                JSON cannot.
        """
        ...

    @classmethod
    def decode_response(cls, body: bytes, query_id: str) -> QueryResult:
        """Return the result that a whole body is; with `error` if the body is one.

        Raises:
            RemoteProtocolError: The body is no answer of such an endpoint.
        """
        ...

    @classmethod
    def decode_event(cls, data: bytes) -> Any:
        """Return what the data of an event adds, for the accumulator's `add_chunk`.

        None if it adds nothing. An error that the endpoint reports is part of what is
        returned: the accumulator makes the result of it.

        Raises:
            RemoteProtocolError: The data is no event of such an endpoint.
        """
        ...

    @classmethod
    def is_done(cls, data: bytes) -> bool:
        """Tell whether the data of an event says that it is the last one."""
        ...
