"""What a campaign does, from its seed alone: which jobs are sent how, and which faults strike when."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

SAMPLES = ("dxf/ae.r2000a.dxf", "dxf/ae.r2013b.dxf", "stl/20mm-xyz-cube.stl", "stl/angle_block.STL")
FEW = 1000  # a run of fewer items has smaller jobs and longer items, so that there is work for every fault
PRIORITIES = ("urgent", "high", "normal", "normal", "normal", "low")


@dataclass(frozen=True, slots=True)
class Asking:
    """One job as its client will ask for it. `parts` are places in the list of uploaded samples."""

    key: str
    kind: str
    items: int
    ms: float
    faults: dict[int, str]
    parts: tuple[int, ...]
    priority: str
    callback: bool
    cancel_after: float | None
    sends: int
    max_concurrency: int | None

    def body(self, uploaded: Sequence[str], callback_url: str) -> dict[str, Any]:
        given = {"items": self.items, "ms": self.ms, "faults": self.faults}
        if self.kind == "extraction":
            given = {"parts": [uploaded[place] for place in self.parts], "force": True}
        more: dict[str, Any] = {"callback_url": callback_url} if self.callback else {}
        if self.max_concurrency is not None:
            more["max_concurrency"] = self.max_concurrency
        return {"kind": self.kind, "input": given, "priority": self.priority, **more}


LONG_MS = 10_000.0
"""Longer than a lease and its rescue: who is frozen in it wakes while another one works on the same item, and only the fence helps."""


def work(seed: int, items: int) -> list[Asking]:
    """Jobs of `items` items together. The first one holds an item that always kills its process, among neighbours."""
    dice = random.Random(f"work {seed}")
    asked: list[Asking] = []
    left, few = items, items < FEW
    sizes = (1, 3, 6, 10) if few else (1, 5, 20, 60, 120, 200)
    while left > 0:
        real = bool(asked) and dice.random() < 0.25
        size = min(left, len(SAMPLES) * dice.randint(1, 1 if few else 3) if real else dice.choice(sizes))
        faults: dict[int, str] = {}
        if not asked:
            size, faults = min(left, 24), {5: "die"}
        elif not real and dice.random() < 0.2:
            faults = {dice.randrange(size): dice.choice(("die_once", "fail", "unsteady"))}
        asked.append(
            Asking(
                key=f"campaign-{seed}-{len(asked)}",
                kind="extraction" if real else "probe",
                items=size,
                ms=dice.choice((20, 60, 150, 300) if few else (2, 8, 20, 60)),
                faults=faults,
                parts=tuple(dice.randrange(len(SAMPLES)) for _ in range(size)) if real else (),
                priority=dice.choice(PRIORITIES),
                callback=dice.random() < 0.5,
                cancel_after=dice.uniform(0, 2) if asked and dice.random() < 0.06 else None,
                sends=dice.choice((1, 1, 2, 3, 4)),
                max_concurrency=2 if dice.random() < 0.1 else None,
            )
        )
        left -= size
    return asked


@dataclass(frozen=True, slots=True)
class Blow:
    """One fault: its kind (a key of `injuries.INJURIES`), when it strikes (items accepted by then), and its dice."""

    number: int
    kind: str
    at_items: int
    seed: int


@dataclass(frozen=True, slots=True)
class Struck:
    """A fault that was tried: how it is known that it bit ("": it did not), and from when to when, by the monotonic clock."""

    blow: Blow
    bite: str
    began: float
    ended: float


# How often each kind comes, out of a round of them; what is quick comes more often.
ROUND = ("F1", "F11 commit", "F2", "F5", "F3", "F7", "F4", "F11 publish", "F6", "F12", "F11 http", "F17", "F11 commit", "F16", "F1", "F3")
NEEDED = ("F7", "F11 commit", "F5", "F2")  # without these a run proves too little: they come first into a short one
PLAIN = ("F1", "F2", "F5", "F7", "F4", "F17", "F16")  # those that exist where there is nothing but Celery


@dataclass(frozen=True, slots=True)
class Schedule:
    """The blows in order."""

    items: int
    blows: tuple[Blow, ...]

    def next_after(self, blow: Blow) -> int:
        """How many items may be accepted until the next blow."""
        rest = self.blows[blow.number + 1 :]
        return rest[0].at_items if rest else self.items

    def told(self) -> str:
        return "\n".join(f"  {blow.number:3}  after {blow.at_items:6} items  {blow.kind}" for blow in self.blows)


def with_long_items(askings: Sequence[Asking], blows: Schedule) -> list[Asking]:
    """The same with a job of one long item at each freeze, taken from the job that would come then."""
    freezes = [blow.at_items for blow in blows.blows if blow.kind == "F7"]
    chosen: list[Asking] = []
    accepted = 0
    for asking in askings:
        accepted += asking.items
        if freezes and accepted > freezes[0] and asking.items > 1 and asking.kind == "probe":
            freezes.pop(0)
            plain = {"faults": {}, "cancel_after": None, "max_concurrency": None}
            chosen.append(replace(asking, key=f"{asking.key}-long", items=1, ms=LONG_MS, priority="urgent", **plain))
            asking = replace(
                asking, items=asking.items - 1, faults={at: told for at, told in asking.faults.items() if at < asking.items - 1}
            )
        chosen.append(asking)
    return chosen


def _kept(asking: Asking) -> dict[int, str]:
    """Its faults where it has one item less."""
    return {at: fault for at, fault in asking.faults.items() if at < asking.items - 1}


def schedule(seed: int, items: int, faults: int, kinds: Sequence[str] = ROUND) -> Schedule:
    """`faults` blows spread over the items: whole rounds of all kinds, each shuffled, so that every kind comes."""
    dice = random.Random(f"schedule {seed}")
    drawn = list(NEEDED) if kinds is ROUND and faults < len(ROUND) else []
    while len(drawn) < faults:
        again = list(kinds)
        dice.shuffle(again)
        drawn += again
    drawn = drawn[:faults]
    if faults < len(ROUND):
        dice.shuffle(drawn)
    return Schedule(
        items,
        tuple(
            Blow(number, kind, round(items * (number + 0.5) / (faults + 1)), dice.randrange(1 << 30)) for number, kind in enumerate(drawn)
        ),
    )
