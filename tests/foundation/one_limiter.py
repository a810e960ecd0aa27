"""A process that asks as fast as it can and prints when it was admitted, until its input ends: `python -m ... REDIS_URL LIMIT NAME`."""

from __future__ import annotations

import sys
import threading
import time

from foundation import keyspace
from foundation.resilience import rates
from foundation.resilience.limiter import Charge, Limiter
from foundation.settings import RedisSettings


def main(url: str, text: str, name: str) -> None:
    limit = rates.parse("user", text)
    assert limit is not None
    here = RedisSettings(url=url)
    limiter = Limiter(keyspace.limits_client(here, 0.5), lambda: keyspace.limits_loop_client(here, 0.5), name)
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    print("ready", flush=True)
    while not ended.wait(0.002):
        answer = limiter.take([Charge(limit, "somebody", 1)])
        if answer.admitted:
            print(f"{time.monotonic()} {int(answer.alone)}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
