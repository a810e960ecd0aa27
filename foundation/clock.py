"""Now, sleep, dice and ids: the four things tests replace."""

from __future__ import annotations

import itertools
import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

_sequence = itertools.count()
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


@dataclass(frozen=True, slots=True)
class Clock:
    """What the house knows of time and chance. `now` is seconds since the epoch, `tick` never goes back."""

    now: Callable[[], float] = time.time
    tick: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    dice: Callable[[], float] = random.random
    entropy: Callable[[int], int] = field(default=secrets.randbits)

    def new_id(self, word: str) -> str:
        """A new id such as `job_01hv…`: 48 bits of time and 20 of sequence, so that ids sort by age, then 60 bits of chance."""
        number = (int(self.now() * 1000) & ((1 << 48) - 1)) << 80 | (next(_sequence) & ((1 << 20) - 1)) << 60 | self.entropy(60)
        text = "".join(_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))
        return f"{word}_{text}"


SYSTEM = Clock()


def iso(seconds: float | None) -> str | None:
    """Seconds since the epoch as ISO 8601 in UTC, for people and clients."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
