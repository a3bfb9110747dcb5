"""As `fmq_segments`, with a segment for every payload: `shm_threshold=0`."""

import functools

import queue_driver
from fmq_segments import consuming, producing

if __name__ == "__main__":
    queue_driver.main(functools.partial(producing, threshold=0), consuming)
