"""What every peer of the worker-pool benchmark shares: its works, its checks.

A peer's file says with a `System` what its messages are and how its pool is made, and
calls `main` with it. All else goes through the face that mlcommons/endpoints gave such
a pool: `send(worker_id, query)`, `recv()`, and `worker_connector`, which gives a worker
its receiver of queries and its sender of results. The roles (pool_works.py):

- `one_process`: sender and receiver on one loop, 1,000 messages under way;
- `queries_out`, `results_back`: one way to a worker process, or from it;
- `round_trips`: a worker process answers each query with a result;
- `idle`: 8 worker processes wait for queries that do not come.

Each prints one JSON object, after it has checked that messages arrive whole.
"""

import argparse
import json
import random

import uvloop
from pool_task import KINDS, System, Task
from pool_works import ROLES

__all__ = ["System", "main"]


def main(system: System) -> None:
    """Do what the command line asks of a peer."""
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=ROLES)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("nchars", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--outstanding", type=int, default=1)
    arguments = vars(parser.parse_args())
    role = ROLES[arguments.pop("role")]
    letters = random.Random(arguments["nchars"]).choices("abcdefgh ", k=4096)
    text = ("".join(letters) * (arguments["nchars"] // 4096 + 1))[: arguments["nchars"]]
    found = uvloop.run(role(system, Task(**arguments, text=text)))
    print(json.dumps(found), flush=True)
