"""Files that kill among good ones: `python -m tests.faults.poison --poison 100 --good 2000` (`make poison`).

The poison kills the process that reads it each time it is asked for. Three jobs over all files: in the first each poison crashes, in the
second it crashes again and is quarantined, in the third it is refused unread. The good files have complete results in each.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from foundation.settings import DatabaseSettings
from ledger.session import Ledger
from tests.faults import pools
from tests.faults.campaign import table
from tests.faults.campaign.fleet import database
from tests.faults.evidence import Evidence
from tests.stack import SAMPLES, RedisServer, Stack, new_folder

_CUBE = SAMPLES / "stl" / "20mm-xyz-cube.stl"
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Round:
    """One job over all files: outcomes of the good and of the poison (code, or "succeeded"), and what it took."""

    good: dict[str, int]
    poison: dict[str, int]
    rescued: int
    seconds: float


def upload(stack: Stack, folder: Path, poison: int, good: int) -> dict[str, list[str]]:
    """Parts by their kind; every file has a content of its own (80 bytes before a binary STL are free)."""
    body = _CUBE.read_bytes()[80:]
    parts: dict[str, list[str]] = {"segv": [], "good": []}
    for kind, count in (("segv", poison), ("good", good)):
        for start in range(0, count, _AT_ONCE):
            paths = [folder / f"{kind} {number}.stl" for number in range(start, min(start + _AT_ONCE, count))]
            for path in paths:
                path.write_bytes(path.name.encode().ljust(80) + body)
            parts[kind] += [part["id"] for part in stack.upload(*paths)]
    return parts


def ask(stack: Stack, evidence: Evidence, parts: dict[str, list[str]], seed: int, patience: float = 60.0, **more: Any) -> Round:
    """Extract all parts in a random order."""
    order = [*parts["segv"], *parts["good"]]
    random.Random(seed).shuffle(order)
    started = time.monotonic()
    job = stack.submit("extraction", {"parts": order, **more})["id"]
    stack.wait(job, patience)
    seconds = time.monotonic() - started
    bad = set(parts["segv"])
    ends = Counter((item["part_id"] in bad, item["error"]["code"] if item["error"] else item["state"]) for item in stack.items(job))
    told = [{code: count for (poisonous, code), count in ends.items() if poisonous is which} for which in (False, True)]
    return Round(*told, len(evidence.trail(job, "chunk.rescued")), round(seconds, 1))


def main() -> int:
    parser = argparse.ArgumentParser(prog="make poison", description="Files that kill their reader, among good ones.")
    parser.add_argument("--poison", type=int, default=100)
    parser.add_argument("--good", type=int, default=2000)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--write", action="store_true", help="keep the figures in docs/guarantees.md")
    given = parser.parse_args()
    with new_folder() as folder, database(given.database, folder) as store:
        redis = RedisServer(folder / "redis").start()
        stack = Stack(folder / "stack", redis.url, store.url, CADMILL_QUEUE_LEASE_SECONDS=60)
        evidence = Evidence(Ledger(store.url, DatabaseSettings()))
        try:
            stack.start("api")
            pools.start(stack, "prefork", 2)
            parts = upload(stack, folder, given.poison, given.good)
            rounds = [ask(stack, evidence, parts, seed, 1800, force=True) for seed in range(3)]
        finally:
            evidence.ledger.close()
            stack.stop()
            redis.kill()
    for each in rounds:
        print(json.dumps(asdict(each)))
    if given.write:
        table.add({"what": "poison", "dialect": given.database, "seed": 0, "rounds": [asdict(each) for each in rounds]})
    whole = all(each.good == {"succeeded": given.good} and each.rescued == 0 for each in rounds)
    stopped = [each.poison for each in rounds] == [{code: given.poison} for code in ("ENGINE_CRASH", "ENGINE_CRASH", "FILE_QUARANTINED")]
    return 0 if whole and stopped else 1


if __name__ == "__main__":
    sys.exit(main())
