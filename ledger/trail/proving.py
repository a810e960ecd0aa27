"""Walks the chains of a database, or of a file that was exported from it, and says whether they hold."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence

from ledger.session import Ledger
from ledger.trail import reading
from ledger.trail.anchors import Anchors
from ledger.trail.chain import FIELDS, GENESIS, Break, Place, Verdict, Walk

_TRIES = 3  # of a chain whose front retention takes away during the walk


def prove(ledger: Ledger, chains: Sequence[str] | None = None, anchors: Anchors | None = None) -> Verdict:
    """Walk these chains, or all there are or ever were, in bites. `anchors` must have been read before. Raises DATABASE_UNAVAILABLE."""
    known = anchors or Anchors()
    verdict = Verdict(anchored_at=known.last_at, key=known.key)
    if chains is None:
        with ledger.read() as tx:
            chains = sorted({*reading.chains(tx), *known.places})
        verdict.add(iter(known.breaks))
    for chain in chains:
        for _ in range(_TRIES):
            walk, found, moved = _along(ledger, chain, known)
            if not moved:
                break
        verdict.chains += 1
        verdict.lines += walk.lines
        verdict.anchors += sum(number >= walk.floor.number for number in walk.anchored)
        if walk.floor.number:
            verdict.let_go[chain] = walk.floor.number
        verdict.add(iter(found))
    return verdict


def _along(ledger: Ledger, chain: str, anchors: Anchors) -> tuple[Walk, list[Break], bool]:
    """One walk, what it found, and whether the floor was raised under it."""
    with ledger.read() as tx:
        before = reading.head(tx, chain)
        unplaced = reading.unplaced(tx, chain)
    floor = before[1] if before else Place()
    walk = Walk(chain, floor, _above(anchors, chain, floor))
    found = [*walk.start(), *(Break("inserted", chain, 0) for _ in unplaced)]
    for rows in reading.behind(ledger, chain, floor.number):
        for row in rows:
            found += walk.see(row.number, reading.body_of(row), row.hash)
    with ledger.read() as tx:
        after = reading.head(tx, chain)
    # a chain without a head has no end of its own: its first line is where the head should be
    nothing = (Place(), Place())
    found += walk.end((before or nothing)[0], (after or nothing)[0])
    return walk, found, (after or nothing)[1].number > floor.number


def _above(anchors: Anchors, chain: str, floor: Place) -> dict[int, set[str]]:
    return {number: hashes for number, hashes in anchors.places.get(chain, {}).items() if number >= floor.number}


def prove_lines(lines: Iterable[str], anchors: Anchors | None = None, tell: Callable[[int], None] = lambda count: None) -> Verdict:
    """The same for an export, or for the file of CADMILL_AUDIT_FILE, in which chains take turns. Raises ValueError: not such a file."""
    known = anchors or Anchors()
    verdict = Verdict(anchored_at=known.last_at, key=known.key)
    verdict.add(iter(known.breaks))
    walks: dict[str, Walk] = {}
    heads: dict[str, Place] = {}

    def walk_of(chain: str, floor: Place) -> Walk:
        if chain not in walks:
            walks[chain] = Walk(chain, floor, _above(known, chain, floor))
            verdict.add(walks[chain].start())
        return walks[chain]

    for at, line in enumerate(lines, 1):
        told = json.loads(line)
        chain = str(told["chain"])
        if "floor" in told:
            walk_of(chain, Place(int(told["floor"]["number"]), str(told["floor"]["hash"])))
        elif "head" in told:
            heads[chain] = Place(int(told["head"]["number"]), str(told["head"]["hash"]))
        else:
            body = {name: told.get(name) for name in FIELDS}
            verdict.add(walk_of(chain, Place(0, GENESIS)).see(told["number"], body, str(told["hash"])))
        tell(at)
    for chain in sorted({*walks, *heads, *known.places}):
        walk = walk_of(chain, Place())
        if chain not in heads:
            verdict.open_ended.append(chain)
        verdict.add(walk.end(heads.get(chain), heads.get(chain)))
        verdict.lines += walk.lines
        verdict.anchors += len(walk.anchored)
        if walk.floor.number:
            verdict.let_go[chain] = walk.floor.number
    verdict.chains = len(walks)
    return verdict
