"""A message of a topic."""

from busduct.fmq._message import Message

__all__ = ["TopicMessage"]


class TopicMessage(Message, eq=False):
    """A message that was published.

    Attributes:
        key: What it was published under.
    """

    key: str = ""
