"""The producers of a queue, over all of their connections."""

from collections import OrderedDict

from busduct.fmq._consumer._producer_link import Origin, ProducerLink
from busduct.fmq._wire import Data

__all__ = ["Origins"]

# Of producers that are gone: what they dropped must not be counted again when they
# come back.
MAX_ORIGINS = 4096


class Origins:
    """Producers by their ids; the ones that were heard of last.

    Attributes:
        num_gaps: Ids that they said they had dropped.
    """

    def __init__(self) -> None:
        self.num_gaps = 0
        self._origins: OrderedDict[bytes, Origin] = OrderedDict()

    def __len__(self) -> int:
        return len(self._origins)

    def find(self, producer_id: bytes) -> Origin:
        """Return the producer of that id."""
        origin = self._origins.get(producer_id)
        if origin is None:
            origin = self._origins[producer_id] = Origin(producer_id.hex())
            if len(self._origins) > MAX_ORIGINS:
                self._origins.popitem(last=False)
        self._origins.move_to_end(producer_id)
        return origin

    def note(self, link: ProducerLink, data: Data) -> None:
        """Take note of what a message says beyond its payload."""
        origin = link.origin
        if data.num_skipped > origin.num_skipped:
            self.num_gaps += data.num_skipped - origin.num_skipped
            origin.num_skipped = data.num_skipped
        if data.num_deliveries > 1 and len(origin.links) > 1:
            # Its producer took it back when another connection broke.
            for other in origin.links:
                if other is not link and (other.held or other.num_unsettled):
                    other.superseded.add(data.msg_id)
