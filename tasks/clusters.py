"""Clusters: parts of a similarity job that hang together by its hits, each with the hits that show it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ledger import hits, parts
from ledger.session import Ledger, Tx
from tasks import pairs
from tasks.grouping import Edge, Group, grouped, outermost
from tasks.pairs import Asked
from tasks.similarity import Sought

EVIDENCE_SHOWN = 50  # hits of a cluster
_SUREST = tuple(Sought)


def page(ledger: Ledger, tenant_id: str, job_id: str, asked: Asked, limit: int, after: int) -> dict[str, Any]:
    """At most `limit` clusters, the largest first, from the `after`-th on; `next` is the place of the next one, if there is any."""

    def rank(hit: Mapping[str, Any]) -> int | None:
        return _SUREST.index(pairs.kind(hit)) if asked.takes(hit) else None

    grouping = grouped(ledger, tenant_id, job_id, len(_SUREST), rank, _named(tenant_id), asked.reviewed)
    every = sorted(outermost(grouping.groups()), key=lambda group: (-len(group.members), group.members[0]))
    shown = every[after : after + limit]
    return {
        "clusters": [_told(ledger, tenant_id, job_id, group) for group in shown],
        "total": len(every),
        "left_out": grouping.left_out,
        "next": after + limit if len(every) > after + limit else None,
    }


def _named(tenant_id: str) -> Any:
    def named(tx: Tx, part_ids: Sequence[str]) -> dict[str, tuple[str, str]]:
        return {part.id: (part.id, part.sha256) for part in parts.alive(tx, tenant_id, part_ids).values()}

    return named


def _told(ledger: Ledger, tenant_id: str, job_id: str, group: Group) -> dict[str, Any]:
    edges = list(group.every_edge())
    shown = evidence(ledger, tenant_id, job_id, edges)
    with ledger.read() as tx:
        alive = parts.alive(tx, tenant_id, group.members)
    return {
        "id": named("cluster", group.members),
        "parts": [pairs.side(alive[member]) for member in group.members if member in alive],
        "labels": dict(Counter(pair["label"] for pair in shown)),
        "least_score": min((pair["score"] for pair in shown), default=None),
        "evidence": shown,
        "evidence_total": len(edges),
    }


def evidence(ledger: Ledger, tenant_id: str, job_id: str, edges: Sequence[Edge]) -> list[dict[str, Any]]:
    """Hits that join a group, as pairs; of many the first."""
    with ledger.read() as tx:
        found = hits.these(tx, job_id, [(index, place) for _, index, place in edges[:EVIDENCE_SHOWN]])
    return [told.pair for told in pairs.views(ledger, tenant_id, found, reviewed=True) if told.pair is not None]


def named(kind: str, members: Iterable[str]) -> str:
    """An id that stays as long as the members do."""
    return f"{kind}-{hashlib.sha256(' '.join(sorted(members)).encode()).hexdigest()[:12]}"
