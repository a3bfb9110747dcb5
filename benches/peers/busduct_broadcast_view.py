"""busduct's BroadcastQueue on uvloop, each item looked at where it lies.

Each item is copied in once; a reader reads its first byte and its last in the lease.
"""

import busduct_broadcast
from busduct_await import require_leases
from busduct_broadcast import BroadcastReader
from driver import main, touch


class Peer(busduct_broadcast.Peer):
    """The same work, without the copies out."""

    async def count(self, reader: BroadcastReader[bytes]) -> int:
        """Count items up to the empty one."""
        count = 0
        while (lease := await reader.recv_lease()).nbytes:
            with memoryview(lease) as view:
                touch(view)
            lease.release()
            count += 1
        return count


if __name__ == "__main__":
    require_leases()
    main(Peer())
