"""busduct on uvloop with a key, one `await send()` and one `await recv()` a message."""

from busduct_await import Peer
from driver import main

if __name__ == "__main__":
    main(Peer(key=bytes(range(32))))
