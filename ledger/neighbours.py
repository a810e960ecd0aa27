"""Nearest neighbours inside PostgreSQL, by the extension pgvector: for those whose vectors outgrow the memory of a worker.

One table a width, made on demand; a space is a name of ours. Every worker searches the same rows: `neighbour_spaces.number`
says how far they have come (`epochs.py`), and who brings them further holds its row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from foundation.errors import Failure
from ledger.session import Ledger, Tx

_LOCK = 0x0CAD_0312  # any fixed number: two processes must not make the tables at once
_SEARCHED = 2  # times k: how many HNSW keeps in sight while it looks for k
_MOST_SEARCHED = 1000  # what pgvector allows


def prepare(ledger: Ledger, width: int) -> None:
    """Make the extension and the tables where they are not there yet. Raises PGVECTOR_MISSING, DATABASE_UNAVAILABLE."""
    if ledger.engine.dialect.name != "postgresql":
        raise Failure("PGVECTOR_MISSING", {"database": ledger.engine.dialect.name})
    try:
        with ledger.write() as tx:
            tx.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
            tx.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))
            tx.execute(text("CREATE TABLE IF NOT EXISTS neighbour_spaces (space text PRIMARY KEY, number bigint NOT NULL DEFAULT 0)"))
            tx.execute(
                text(
                    f"CREATE TABLE IF NOT EXISTS {_table(width)} "
                    f'(space text NOT NULL, key text COLLATE "C" NOT NULL, embedding vector({int(width)}) NOT NULL, '
                    "PRIMARY KEY (space, key))"
                )
            )
    except DBAPIError as error:
        raise Failure("PGVECTOR_MISSING", {"database": "postgresql", "reason": type(error.orig).__name__}) from error


def number(tx: Tx, space: str, lock: bool = False) -> int:
    """How far a space has come; with its row held until the commit."""
    if lock:
        tx.execute(text("INSERT INTO neighbour_spaces (space) VALUES (:space) ON CONFLICT DO NOTHING"), {"space": space})
    found = tx.connection.scalar(
        text(f"SELECT number FROM neighbour_spaces WHERE space = :space{' FOR UPDATE' if lock else ''}"), {"space": space}
    )
    return int(found or 0)


def reach(tx: Tx, space: str, number: int) -> None:
    tx.execute(text("UPDATE neighbour_spaces SET number = :number WHERE space = :space"), {"space": space, "number": number})


def put(tx: Tx, space: str, width: int, keys: Sequence[str], rows: Sequence[Sequence[float]]) -> None:
    """Write vectors, each key once; one that is there is replaced."""
    if not keys:
        return
    statement = text(
        f"INSERT INTO {_table(width)} (space, key, embedding) VALUES (:space, :key, CAST(:embedding AS vector)) "
        "ON CONFLICT (space, key) DO UPDATE SET embedding = excluded.embedding"
    )
    ordered = sorted(zip(keys, rows, strict=True), key=lambda pair: pair[0])  # one order everywhere
    tx.execute(statement, [{"space": space, "key": key, "embedding": _written(row)} for key, row in ordered])


def remove(tx: Tx, space: str, width: int, keys: Sequence[str]) -> None:
    statement = text(f"DELETE FROM {_table(width)} WHERE space = :space AND key = ANY(:keys)")
    tx.execute(statement, {"space": space, "keys": sorted(keys)})


def clear(tx: Tx, space: str, width: int) -> None:
    tx.execute(text(f"DELETE FROM {_table(width)} WHERE space = :space"), {"space": space})
    reach(tx, space, 0)


def count(tx: Tx, space: str, width: int) -> int:
    return tx.number(text(f"SELECT count(*) FROM {_table(width)} WHERE space = :space").bindparams(space=space))


def hasten(tx: Tx, space: str, width: int) -> None:
    """Give a space an HNSW index of its own: from here on its answers are approximate, and do not look at every row."""
    tx.execute(
        text(
            f"CREATE INDEX IF NOT EXISTS {_index(space, width)} ON {_table(width)} USING hnsw (embedding vector_l2_ops) "
            f"WHERE space = '{_quoted(space)}'"
        )
    )


def hastened(tx: Tx, space: str, width: int) -> bool:
    return bool(tx.connection.scalar(text("SELECT to_regclass(:name) IS NOT NULL"), {"name": _index(space, width)}))


def search(tx: Tx, space: str, width: int, queries: Sequence[Sequence[float]], k: int, hastened: bool) -> list[list[tuple[str, float]]]:
    """For each query its k nearest keys with their Euclidean distances, nearest first, ties by key."""
    found: list[list[tuple[str, float]]] = [[] for _ in queries]
    if hastened:
        tx.execute(text(f"SET LOCAL hnsw.ef_search = {min(_MOST_SEARCHED, max(100, _SEARCHED * k))}"))
        tx.execute(text("SET LOCAL hnsw.iterative_scan = strict_order"))
    ties = "" if hastened else ", near.key"  # an index knows the order of distances only
    statement = text(
        "SELECT asked.at, found.key, found.distance FROM unnest(CAST(:ats AS int[]), CAST(:queries AS text[])) AS asked(at, query) "
        "CROSS JOIN LATERAL (SELECT near.key, near.embedding <-> asked.query::vector AS distance "
        f"FROM {_table(width)} AS near WHERE near.space = '{_quoted(space)}' "
        f"ORDER BY near.embedding <-> asked.query::vector{ties} LIMIT :k) AS found"
    )
    rows: Any = tx.execute(statement, {"ats": list(range(len(queries))), "queries": [_written(query) for query in queries], "k": k})
    for at, key, distance in rows:
        found[at].append((str(key), float(distance)))
    return [sorted(hits, key=lambda hit: (hit[1], hit[0])) for hits in found]


def _written(row: Sequence[float]) -> str:
    return "[" + ",".join(f"{number:.9g}" for number in row) + "]"  # nine digits are all of a float32


def _table(width: int) -> str:
    return f"neighbours_{int(width)}"


def _index(space: str, width: int) -> str:
    return f"ix_neighbours_{int(width)}_{hashlib.sha256(space.encode()).hexdigest()[:16]}"


def _quoted(space: str) -> str:
    return space.replace("'", "''").replace(":", "\\:")  # a partial index is found by the words themselves
