"""A queue of busduct, payloads looked at where they lie."""

import functools

import queue_driver
from busduct_queue import consuming, producing

if __name__ == "__main__":
    views = functools.partial(consuming, views=True)
    queue_driver.main(producing, views, views=True)
