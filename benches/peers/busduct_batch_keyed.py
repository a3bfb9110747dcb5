"""busduct on uvloop with a key, many messages a call."""

from busduct_batch import Peer
from driver import main

if __name__ == "__main__":
    main(Peer(key=bytes(range(32))))
