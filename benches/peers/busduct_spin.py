"""busduct on uvloop, looking at its rings for 50 us before it sleeps."""

from busduct_await import Peer
from driver import main, skip

from busduct.transport import Context

SPIN_US = 50

if __name__ == "__main__":
    try:
        Context(spin_us=SPIN_US).close()
    except TypeError:
        skip("this busduct does not spin")
    main(Peer(spin_us=SPIN_US))
