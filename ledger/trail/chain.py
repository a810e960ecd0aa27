"""The form of a chain, and who walks along one finds every break. Pure: the same code proves a database and a file.

A chain is the lines of one tenant (or of the house), numbered 1, 2, 3, ... Each carries

    hash = SHA-256(UTF-8(previous hash + "\\n" + number + "\\n" + canonical JSON of its body))

as 64 hexadecimal digits; before the first line stand 64 zeros. The body is an object of the nine `FIELDS`, in the form of RFC 8785.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from foundation import canonical

GENESIS = "0" * 64
HOUSE = "store"  # the chain of what concerns no tenant, or all of them
LET_GO = "audit.let_go"  # the line that tells which lines before it were let go
FIELDS = ("chain", "at", "actor", "action", "subject", "origin", "request_id", "outcome", "detail")

Body = dict[str, Any]

KINDS: dict[str, tuple[str, str]] = {
    "changed": (
        "Line {number} of {chain} does not follow from the line before it: one of the two was changed, put in, moved or exchanged.",
        "Compare both with a copy from before (an export, the file of CADMILL_AUDIT_FILE, a backup); ask who can write to the database.",
    ),
    "missing": (
        "Lines {number} to {through} of {chain} are gone from the middle.",
        "Find them in a copy from before; ask who can write to the database.",
    ),
    "cut": (
        "Lines {number} to {through} of {chain} are gone from the end.",
        "Find them in a copy from before; a restored backup also ends early, then it is the backup that is meant.",
    ),
    "inserted": (
        "Line {number} of {chain} has no place in the chain: nobody wrote it through the ledger.",
        "See what it tells, and do not believe it; ask who can write to the database.",
    ),
    "rewritten": (
        "Line {number} of {chain} is not the one that was anchored: the chain was written anew somewhere from line {since} on.",
        "Believe the copies outside (exports, CADMILL_AUDIT_FILE), not the database; ask who can write to it.",
    ),
    "floor": (
        "Lines up to {number} of {chain} are gone, and no line of the trail tells that they were let go.",
        "Find them in a copy from before; retention always writes a line `audit.let_go` first.",
    ),
    "anchor_forged": (
        "Line {number} of the anchor file is not signed with the key it should be.",
        "Compare the key with the one you wrote down; an anchor that is not ours proves nothing.",
    ),
    "anchor_missing": (
        "Line {number} of the anchor file does not follow from the one before it: lines were taken out or exchanged.",
        "Look for a copy of the anchor file.",
    ),
}


def linked(previous: str, number: int, body: Mapping[str, Any]) -> str:
    """The hash of a line. Raises ValueError for a body that has no canonical form."""
    return hashlib.sha256(f"{previous}\n{number}\n{canonical.text(body)}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Break:
    """One place at which a chain does not hold, by the number of the line."""

    kind: str
    chain: str
    number: int
    through: int = 0  # the last line it is about; 0: only this one
    since: int = 0

    @property
    def sentence(self) -> str:
        return KINDS[self.kind][0].format(chain=self.chain, number=self.number, through=self.through, since=self.since)

    def told(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "chain": self.chain, "number": self.number, "through": self.through or self.number, "kind": self.kind,
            "message": self.sentence, "remedy": KINDS[self.kind][1],
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a chain, by its hash."""

    number: int = 0
    hash: str = GENESIS


@dataclass(slots=True)
class Walk:
    """Goes along one chain, line by line in ascending order, from the floor: what came before was let go.

    `anchored`: hashes by number that were written down outside."""

    chain: str
    floor: Place = Place()
    anchored: Mapping[int, set[str]] = field(default_factory=dict)
    lines: int = 0
    number: int = 0
    hash: str | None = GENESIS  # None: behind a gap, so the next line cannot be compared
    _good: int = 0  # the last anchored line that was as anchored
    _proved: bool = False  # a line told of the floor

    def __post_init__(self) -> None:
        self.number, self.hash = self.floor.number, self.floor.hash
        self._proved = not self.floor.number

    def start(self) -> Iterator[Break]:
        """What is wrong with the floor itself."""
        yield from self._anchor(self.floor.number, self.floor.hash)

    def see(self, number: int | None, body: Mapping[str, Any], told: str) -> Iterator[Break]:
        """The next line as it stands there. Goes on behind a break from the hash that the line tells."""
        self.lines += 1
        if number is None or number <= self.number:
            yield Break("inserted", self.chain, number or 0)
            return
        if number > self.number + 1:
            yield Break("missing", self.chain, self.number + 1, number - 1)
        elif self.hash is not None and not _follows(self.hash, number, body, told):
            yield Break("changed", self.chain, number)
        self.number, self.hash = number, told
        yield from self._anchor(number, told)
        if body["action"] == LET_GO and isinstance(body["detail"], dict):
            claimed = (body["detail"].get("through"), body["detail"].get("hash"))
            self._proved = self._proved or claimed == (self.floor.number, self.floor.hash)

    def end(self, before: Place | None, after: Place | None) -> Iterator[Break]:
        """Behind the last line: `before` and `after` are the head of the chain, read before and after the walk. None: not known."""
        last = max([before.number if before else 0, *self.anchored])
        if last > self.number:
            yield Break("cut", self.chain, self.number + 1, last)
        elif after is not None and after.number < self.number:
            yield Break("inserted", self.chain, after.number + 1)
        elif after is not None and after.number == self.number and self.hash not in (None, after.hash):
            yield Break("changed", self.chain, self.number)
        if not self._proved:
            yield Break("floor", self.chain, self.floor.number)

    def _anchor(self, number: int, told: str) -> Iterator[Break]:
        if hashes := self.anchored.get(number):
            if hashes == {told}:
                self._good = number
            else:
                yield Break("rewritten", self.chain, number, since=self._good + 1)


def _follows(previous: str, number: int, body: Mapping[str, Any], told: str) -> bool:
    try:
        return linked(previous, number, body) == told
    except ValueError:  # no line of ours has a body without a canonical form
        return False


_SHOWN = 20  # breaks of one chain that are kept word by word; all are counted


@dataclass(slots=True)
class Verdict:
    """What came of a walk along any number of chains."""

    chains: int = 0
    lines: int = 0
    let_go: dict[str, int] = field(default_factory=dict)  # by chain: lines up to this number
    open_ended: list[str] = field(default_factory=list)  # chains whose true end is told by nothing
    anchors: int = 0  # anchored places that were compared
    anchored_at: str | None = None
    key: str | None = None  # that verifies the anchors
    broken: int = 0
    breaks: list[Break] = field(default_factory=list)
    _of: dict[str, int] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        return not self.broken

    def add(self, found: Iterator[Break]) -> None:
        for one in found:
            self.broken += 1
            self._of[one.chain] = self._of.get(one.chain, 0) + 1
            if self._of[one.chain] <= _SHOWN:
                self.breaks.append(one)

    def told(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "whole": self.whole, "chains": self.chains, "lines": self.lines, "let_go": self.let_go, "open_ended": self.open_ended,
            "anchors": {"compared": self.anchors, "last_at": self.anchored_at, "key": self.key},
            "broken": self.broken, "breaks": [one.told() for one in self.breaks],
        }  # fmt: skip
