"""Frozen snapshots of what a topic has done and holds."""

from dataclasses import dataclass

from busduct.statistics import PublisherStatistics

__all__ = ["TopicStatistics", "TopicSubscriptionStatistics"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSubscriptionStatistics:
    """Counters of one subscription since it was opened, and what it holds.

    Attributes:
        num_received: Messages taken.
        num_gaps: Times that messages were missing.
        num_missing: Messages missing in those.
        num_malformed: Messages that were none, or did not decode.
        num_callback_errors: Times that a callback raised.
        num_publishers: Publishers followed.
        num_ready: Those whose messages will come from here on, or be told as missing.
        num_queued: Messages ready to be taken.
        num_held: Messages that wait for those before them.
    """

    num_received: int
    num_gaps: int
    num_missing: int
    num_malformed: int
    num_callback_errors: int
    num_publishers: int
    num_ready: int
    num_queued: int
    num_held: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicStatistics:
    """What one topic object has published, and what its subscriptions have.

    Attributes:
        publisher: None before the first `pub`.
        subscriptions: Those that are open, the oldest first.
    """

    publisher: PublisherStatistics | None
    subscriptions: tuple[TopicSubscriptionStatistics, ...]
