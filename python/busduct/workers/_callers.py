"""Tell callers what becomes of their queries."""

import logging
from typing import TYPE_CHECKING, Any

from busduct._result_queue import ResultQueue
from busduct.messages import ErrorData, QueryResult
from busduct.workers._ledger import HELD, Entry, Item, Ledger, Sink

if TYPE_CHECKING:
    from busduct.transport.pool import WorkerPoolTransport

__all__ = ["Callers", "call_sink"]

_log = logging.getLogger("busduct.workers")


class Callers:
    """End queries with errors of our own, for callers with a sink and for others.

    Args:
        pool: Is told of queries that workers need not answer.
        ledger: Has the queries.
        results: Gets what has no sink.

    Attributes:
        num_errors: Queries ended here, by the type of the error.
    """

    def __init__(
        self, pool: "WorkerPoolTransport", ledger: Ledger, results: ResultQueue
    ) -> None:
        self.num_errors: dict[str, int] = {}
        self._pool = pool
        self._ledger = ledger
        self._results = results

    def give_up(self, entry: Entry, error_type: str, reason: str) -> None:
        """End a query that is under way, and let its worker know."""
        worker_id = entry.worker_id
        self._ledger.end(entry)
        if worker_id != HELD:
            self._pool.cancel(worker_id, entry.query.id)
        self.tell_error(entry, error_type, reason)

    def tell_error(
        self,
        entry: Entry,
        error_type: str,
        reason: str,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Give a caller an error as the end; the ledger is told by ours."""
        self.num_errors[error_type] = self.num_errors.get(error_type, 0) + 1
        result = QueryResult(
            id=entry.query.id,
            metadata=metadata or {},
            error=ErrorData(error_type=error_type, error_message=reason),
        )
        if entry.sink is None:
            self._results.put(result)
        else:
            call_sink(entry.sink, result)


def call_sink(sink: Sink, item: Item) -> None:
    """Give an item to whom a query is for; what that raises is logged."""
    try:
        sink(item)
    except Exception:
        _log.exception("what a query's caller does with %s failed", item.id)
