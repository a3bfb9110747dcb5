"""The exception that tells what an `ErrorData` does."""

from busduct.errors import QueryError, QueryTimeoutError
from busduct.messages import ErrorData, QueryResult

__all__ = ["error_of"]


def error_of(result: QueryResult) -> QueryError:
    """Return what to raise for a query that failed."""
    error = result.error or ErrorData(error_type="unknown")
    kind = QueryTimeoutError if error.error_type == "timeout" else QueryError
    return kind(
        result.id,
        error.error_type,
        error.error_message,
        status=error.status,
        retry_after=error.retry_after,
    )
