"""Subscriptions that a peer is still to be told of (docs/wire.md, "Subscriptions")."""

__all__ = ["Announcements"]


class Announcements:
    """Changes in their order, of which those that undo each other are gone.

    So a peer that does not read makes it no larger than the topics subscribed to and
    those that the peer was told of.
    """

    __slots__ = ("_changes",)

    def __init__(self) -> None:
        self._changes: dict[bytes, bool] = {}

    def __bool__(self) -> bool:
        return bool(self._changes)

    def add(self, topic: bytes, *, is_wanted: bool) -> None:
        """Note that a topic is subscribed to, or is so no more."""
        if self._changes.get(topic) is (not is_wanted):
            del self._changes[topic]
        else:
            self._changes[topic] = is_wanted

    def first(self) -> tuple[bytes, bool]:
        """Return the oldest change: a topic, and whether it is wanted."""
        return next(iter(self._changes.items()))

    def pop(self) -> tuple[bytes, bool]:
        """Take the oldest change."""
        topic, is_wanted = self.first()
        del self._changes[topic]
        return topic, is_wanted
