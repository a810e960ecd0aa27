"""The pairs of parts that a similarity job has found, each once, and what people said of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ledger import hits, parts, reviews
from ledger.hits import Hit
from ledger.parts import Named
from ledger.session import Ledger
from tasks.reviews import HIDING
from tasks.similarity import Sought, is_sought

_EVIDENCE = ("label", "equal", "likely", "score", "distance", "size_ratio", "units_suspected")
START = (-1, -1)


@dataclass(frozen=True, slots=True)
class Asked:
    """Which pairs are told."""

    matches: frozenset[Sought] = frozenset(Sought)
    threshold: float = 0.0
    reviewed: bool = False  # those that were rejected or are ignored, too

    def takes(self, hit: Mapping[str, Any]) -> bool:
        """Whether a hit is one of these."""
        return is_sought(hit, self.matches) and bool(hit["score"] >= self.threshold)


def kind(hit: Mapping[str, Any]) -> Sought:
    """What a hit is, told apart from the other near ones where it is likely."""
    return Sought.LIKELY if hit.get("likely") else Sought(hit["label"])


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a hit: its pair, or why it is left out."""

    hit: Hit
    pair: dict[str, Any] | None
    left_out: str = ""  # rejected, ignored or deleted


def page(ledger: Ledger, tenant_id: str, job_id: str, asked: Asked, limit: int, after: tuple[int, int] = START) -> dict[str, Any]:
    """At most `limit` pairs behind a place; `last` is the place of the last one where there may be more."""
    pairs: list[dict[str, Any]] = []
    left_out = {"rejected": 0, "ignored": 0, "deleted": 0}
    place = after
    for told in _every(ledger, tenant_id, job_id, asked, after):
        if len(pairs) == limit:
            return {"pairs": pairs, "left_out": left_out, "last": place}
        place = told.hit.index, told.hit.place
        if told.pair is not None:
            pairs.append(told.pair)
        else:
            left_out[told.left_out] += 1
    return {"pairs": pairs, "left_out": left_out, "last": None}


def stream(ledger: Ledger, tenant_id: str, job_id: str, asked: Asked) -> Iterator[dict[str, Any]]:
    """Every pair, in the order of the queries."""
    return (told.pair for told in _every(ledger, tenant_id, job_id, asked, START) if told.pair is not None)


def _every(ledger: Ledger, tenant_id: str, job_id: str, asked: Asked, after: tuple[int, int]) -> Iterator[Told]:
    for bite in hits.once(ledger, job_id, after):
        yield from views(ledger, tenant_id, [hit for hit in bite if asked.takes(hit.told)], asked.reviewed)


def views(ledger: Ledger, tenant_id: str, found: Sequence[Hit], reviewed: bool) -> list[Told]:
    """Hits as pairs of parts, with the review of each."""
    with ledger.read() as tx:
        alive = parts.alive(tx, tenant_id, sorted({part for hit in found for part in (hit.query, hit.part)}))
        both = {hit: (alive[hit.query], alive[hit.part]) for hit in found if hit.query in alive and hit.part in alive}
        contents = {hit: reviews.ordered(one.sha256, other.sha256) for hit, (one, other) in both.items()}
        marks = reviews.of_pairs(tx, tenant_id, contents.values())
    told = []
    for hit in found:
        review = marks.get(contents[hit]) if hit in contents else None
        if hit not in both:
            told.append(Told(hit, None, "deleted"))
        elif review is not None and review["mark"] in HIDING and not reviewed:
            told.append(Told(hit, None, review["mark"]))
        else:
            told.append(Told(hit, _pair(hit, both[hit], review)))
    return told


def side(part: Named) -> dict[str, str]:
    """A part of a pair or a cluster, as clients see it."""
    return {"part_id": part.id, "name": part.name, "sha256": part.sha256, "format": part.format}


def _pair(hit: Hit, both: tuple[Named, Named], review: dict[str, Any] | None) -> dict[str, Any]:
    first, second = map(side, both)
    slots = [
        {"slot": one["slot"], "share": one["share"], "first": one["query"], "second": one["part"]} for one in hit.told.get("slots", ())
    ]
    return {"first": first, "second": second, **{name: hit.told.get(name) for name in _EVIDENCE}, "slots": slots, "review": review}


COLUMNS = (
    "first_part_id", "first_name", "first_format", "first_sha256", "second_part_id", "second_name", "second_format", "second_sha256",
    *_EVIDENCE, "slots", "review", "reviewed_by", "note",
)  # fmt: skip


def row(pair: dict[str, Any]) -> list[Any]:
    """A pair as plain values, one for each of `COLUMNS`."""
    sides = [pair[side][name] for side in ("first", "second") for name in ("part_id", "name", "format", "sha256")]
    slots = "; ".join(f"{one['slot']} {one['share']:.0%}: {one['first']:.6g} / {one['second']:.6g}" for one in pair["slots"])
    review = pair["review"] or {}
    return [*sides, *(pair[name] for name in _EVIDENCE), slots, review.get("mark"), review.get("by"), review.get("note")]
