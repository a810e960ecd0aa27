"""What a process remembers of the stream: the last events, for those who come back, and how far each job has come."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from api.live.feed import Message
from foundation.progress import EVERYONE, order

Standing = tuple[int, int, int]
"""How far a job has come: generation, items ended, and whether it waits, runs or has ended. It only ever grows."""
_JOBS = 20_000


def standing(told: Mapping[str, Any]) -> Standing:
    """Of a job as it is told, by an event or by the ledger."""
    counts, state = told["counts"], told["state"]
    return told["generation"], counts["total"] - counts["pending"], 0 if state == "queued" else 1 if state == "running" else 2


class Standings:
    """Processes publish side by side, so news of a job may arrive in the wrong order: what is behind is not told any more."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Standing] = OrderedDict()

    def behind(self, job_id: str, now: Standing) -> bool:
        known = self._known.get(job_id)
        return known is not None and now < known

    def reached(self, job_id: str, now: Standing) -> None:
        if not self.behind(job_id, now):
            self._known[job_id] = now
            self._known.move_to_end(job_id)
            if len(self._known) > _JOBS:
                self._known.popitem(last=False)

    def get(self, job_id: str) -> Standing | None:
        return self._known.get(job_id)


@dataclass(frozen=True, slots=True)
class Kept:
    """An event as it was told: whose, on which channels, and how far it says its job has come."""

    place: tuple[int, int]
    tenant_id: str
    channels: frozenset[str]
    job_id: str
    standing: Standing | None
    message: Message

    def is_for(self, tenant_id: str, channels: set[str]) -> bool:
        """A gap is for everybody."""
        if self.message.type == "gap":
            return True
        return self.tenant_id in (EVERYONE, tenant_id) and not self.channels.isdisjoint(channels)


class Window:
    """The last events, and the place after which none is missing."""

    def __init__(self, keep: int) -> None:
        self._kept: deque[Kept] = deque()
        self._keep = keep
        self._floor = (0, 0)
        self.position = "0-0"

    def restart(self, floor: str) -> None:
        """Begin anew: nothing before `floor` can be resumed."""
        self._kept.clear()
        self._floor, self.position = order(floor), floor

    def add(self, kept: Kept) -> None:
        self._kept.append(kept)
        if len(self._kept) > self._keep:
            self._floor = self._kept.popleft().place

    def covers(self, place: tuple[int, int]) -> bool:
        """Whether nothing that came after a place is missing here."""
        return self._floor <= place <= order(self.position)

    def since(self, place: tuple[int, int]) -> Iterator[Kept]:
        """What came after a place, oldest first."""
        newer = []
        for kept in reversed(self._kept):
            if kept.place <= place:
                break
            newer.append(kept)
        return reversed(newer)
