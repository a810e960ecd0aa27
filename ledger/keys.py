"""The keys by which tenants are known: `cadmill_<id>_<secret>_<checksum>`.

The secret is 256 random bits; only their HMAC under this installation's pepper is stored, so a copy of the database opens nothing.
The checksum is the CRC-32 of all before it: a typing error is told apart without a look-up, and scanners of leaked secrets know
a key when they see one. Keys of databases from before have no checksum and are stored as plain SHA-256; they go on working until they
are rotated.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Row, bindparam, insert, or_, select, update

from foundation.clock import iso
from foundation.errors import Failure
from ledger import audit
from ledger.prepared import Prepared
from ledger.rows import keys, tenants
from ledger.session import Ledger, Tx
from ledger.tenants import Tenant, by

PEPPER = "api keys"
_PREFIX, _FORM, _OLD_FORM = "cadmill", "hmac-sha256", "sha256"
_USED_EVERY_SECONDS = 60.0
_DAY = 86_400.0


class Scope(StrEnum):
    """What a call does: look, change something of one's own, or change what the tenant is (its keys, endpoints, secrets, trail)."""

    READ = "read"
    SUBMIT = "submit"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class NewKey:
    """`text` is shown once and cannot be read again."""

    id: str
    text: str


def add(
    tx: Tx, pepper: bytes, tenant_id: str, name: str = "", scopes: Collection[str] = tuple(Scope), expires_at: float | None = None
) -> NewKey:
    """A new key of a tenant."""
    key_id, secret = tx.clock.new_id("k").removeprefix("k_"), secrets.token_hex(32)
    ordered = " ".join(scope for scope in Scope if scope in scopes)
    tx.execute(
        insert(keys).values(
            id=key_id,
            tenant_id=tenant_id,
            secret_hash=_hash(_FORM, pepper, secret),
            form=_FORM,
            name=name,
            scopes=ordered,
            created_at=tx.now,
            expires_at=expires_at,
        )
    )
    audit.record(tx, tenant_id, by(), "key.added", key_id, name=name, scopes=ordered, expires_at=iso(expires_at))
    text = f"{_PREFIX}_{key_id}_{secret}"
    return NewKey(key_id, f"{text}_{_checksum(text)}")


_OPENED = Prepared(
    select(
        keys.c.secret_hash, keys.c.form, keys.c.scopes, keys.c.revoked_at, keys.c.created_at, keys.c.expires_at, keys.c.successor_id,
        tenants.c.id, tenants.c.name, tenants.c.disabled_at,
    )
    .join(tenants, tenants.c.id == keys.c.tenant_id)
    .where(keys.c.id == bindparam("of"))
)  # fmt: skip


def of_key(tx: Tx, pepper: bytes, text: str) -> Tenant:
    """Whose key it is. Raises API_KEY_UNKNOWN for one that is malformed, unknown or revoked: a guesser learns nothing;
    and, to who holds the right secret only, API_KEY_EXPIRED and TENANT_DISABLED."""
    key_id, secret, form = _parsed(text)
    row = _OPENED.first(tx.connection, {"of": key_id})
    stored = bytes(32) if row is None else row.secret_hash
    right = hmac.compare_digest(stored, _hash(form, pepper, secret))
    if row is None or not right or row.form != form or row.revoked_at is not None:
        raise Failure("API_KEY_UNKNOWN")
    if row.expires_at is not None and row.expires_at <= tx.now:
        raise Failure("API_KEY_EXPIRED", {"key": key_id, "expired_at": iso(row.expires_at), "successor": row.successor_id})
    if row.disabled_at is not None:
        raise Failure("TENANT_DISABLED")
    return Tenant(row.id, row.name, key_id, frozenset(row.scopes.split()), row.created_at, row.expires_at)


def good(tx: Tx, key_ids: Collection[str]) -> set[str]:
    """Which of these keys, all of which were good once, still open something."""
    lasting = or_(keys.c.expires_at.is_(None), keys.c.expires_at > tx.now)
    query = select(keys.c.id).join(tenants, tenants.c.id == keys.c.tenant_id).where(keys.c.id.in_(key_ids), keys.c.revoked_at.is_(None))
    return set(tx.execute(query.where(lasting, tenants.c.disabled_at.is_(None))).scalars())


def _parsed(text: str) -> tuple[str, str, str]:
    """Id, secret and form of hash. Raises API_KEY_UNKNOWN for what cannot be a key."""
    match text.split("_"):
        case [prefix, key_id, secret] if prefix == _PREFIX:
            return key_id[:64], secret, _OLD_FORM
        case [prefix, key_id, secret, checksum] if prefix == _PREFIX and checksum == _checksum(text.rpartition("_")[0]):
            return key_id[:64], secret, _FORM
    raise Failure("API_KEY_UNKNOWN")


def _hash(form: str, pepper: bytes, secret: str) -> bytes:
    if form == _OLD_FORM:
        return hashlib.sha256(secret.encode()).digest()
    return hmac.digest(pepper, secret.encode(), "sha256")


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"


def get(tx: Tx, tenant_id: str, key_id: str, hint_days: float) -> dict[str, Any]:
    """A key of a tenant. Raises KEY_NOT_FOUND."""
    return _view(_mine(tx, tenant_id, key_id), tx.now, hint_days)


def page(tx: Tx, tenant_id: str, limit: int, after: str | None, hint_days: float) -> list[dict[str, Any]]:
    """Keys of a tenant, newest first, starting behind the id `after`; those that have ended, too."""
    query = select(keys).where(keys.c.tenant_id == tenant_id).order_by(keys.c.id.desc()).limit(limit)
    return [_view(row, tx.now, hint_days) for row in tx.execute(query.where(keys.c.id < after) if after else query)]


def rotate(tx: Tx, pepper: bytes, tenant_id: str, key_id: str, overlap_seconds: float) -> NewKey:
    """A successor with the same name, scopes and end; the old key goes on for the overlap. Raises KEY_NOT_FOUND, KEY_ENDED."""
    old = _mine(tx, tenant_id, key_id, lock=True)
    state = _state(old, tx.now)
    if state != "active":
        raise Failure("KEY_ENDED", {"id": key_id, "state": state, "successor": old.successor_id})
    new = add(tx, pepper, tenant_id, old.name, old.scopes.split(), old.expires_at)
    ends = tx.now + overlap_seconds if old.expires_at is None else min(old.expires_at, tx.now + overlap_seconds)
    tx.execute(update(keys).where(keys.c.id == key_id).values(expires_at=ends, successor_id=new.id))
    audit.record(tx, tenant_id, by(), "key.rotated", key_id, successor=new.id, ends_at=iso(ends))
    return new


def revoke(tx: Tx, tenant_id: str, key_id: str) -> None:
    """Let a key open nothing from now on. Doing it again changes nothing. Raises KEY_NOT_FOUND."""
    _mine(tx, tenant_id, key_id)
    mine = (keys.c.id == key_id, keys.c.tenant_id == tenant_id, keys.c.revoked_at.is_(None))
    if tx.execute(update(keys).where(*mine).values(revoked_at=tx.now)).rowcount:
        audit.record(tx, tenant_id, by(), "key.revoked", key_id)


def _mine(tx: Tx, tenant_id: str, key_id: str, lock: bool = False) -> Row[Any]:
    query = select(keys).where(keys.c.id == key_id, keys.c.tenant_id == tenant_id)
    row = tx.first(query.with_for_update() if lock else query)
    if row is None:
        raise Failure("KEY_NOT_FOUND", {"id": key_id[:64]})
    return row


def _state(row: Row[Any], now: float) -> str:
    if row.revoked_at is not None:
        return "revoked"
    if row.expires_at is not None and row.expires_at <= now:
        return "expired"
    return "active" if row.successor_id is None else "rotated"


def _view(row: Row[Any], now: float, hint_days: float) -> dict[str, Any]:
    """A key as its tenant sees it: never its secret, which nobody knows any more. `next_rotation_hint` is null until it is due."""
    state = _state(row, now)
    hint = rotation_hint(row.id, row.created_at, now, hint_days) if state == "active" else ""
    return {
        "id": row.id,
        "name": row.name,
        "state": state,
        "scopes": row.scopes.split(),
        "created_at": iso(row.created_at),
        "expires_at": iso(row.expires_at),
        "revoked_at": iso(row.revoked_at),
        "last_used_at": iso(row.last_used_at),
        "successor_id": row.successor_id,
        "next_rotation_hint": hint or None,
    }


def rotation_hint(key_id: str, made_at: float, now: float, days: float) -> str:
    """What to tell whoever uses a key that was made, or came out of a rotation, so many days ago or more; else empty."""
    age = (now - made_at) / _DAY
    return f"last rotated {age:.0f} days ago; rotate it: POST /api/v1/keys/{key_id}/rotate" if age >= days else ""


class Uses:
    """When keys were last used. A request only notes it; a thread of the process writes it down, each key once a minute at most."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._noted: dict[str, float] = {}
        self._written: dict[str, float] = {}

    def note(self, key_id: str, at: float) -> None:
        with self._lock:
            self._noted[key_id] = at

    def write(self, ledger: Ledger) -> int:
        """Write down what is due; answers how many. Another process may have done it a moment ago, so the row is asked, too."""
        now = ledger.clock.now()
        with self._lock:
            due = {key_id: at for key_id, at in self._noted.items() if now - self._written.get(key_id, 0.0) >= _USED_EVERY_SECONDS}
        if not due:
            return 0
        with ledger.write() as tx:
            for key_id, at in sorted(due.items()):
                old = or_(keys.c.last_used_at.is_(None), keys.c.last_used_at <= at - _USED_EVERY_SECONDS)
                tx.execute(update(keys).where(keys.c.id == key_id, old).values(last_used_at=at))
        with self._lock:
            for key_id, at in due.items():
                self._written[key_id] = now
                if self._noted[key_id] == at:
                    del self._noted[key_id]
        return len(due)
