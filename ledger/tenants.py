"""Tenants and their keys. A key is `cadmill_<id>_<secret>`; only a hash of its 256-bit secret is stored."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import insert, select

from foundation.errors import Failure
from ledger import audit
from ledger.rows import keys, tenants
from ledger.session import Tx

_PREFIX = "cadmill"


@dataclass(frozen=True, slots=True)
class Tenant:
    id: str
    name: str
    webhook_secret: str
    key_id: str = ""  # of the key by which it was asked for


def _hash(secret: str) -> bytes:
    # A plain hash is enough: the secret is 256 random bits, so there is nothing to guess.
    return hashlib.sha256(secret.encode()).digest()


def add(tx: Tx, name: str) -> Tenant:
    tenant = Tenant(tx.clock.new_id("ten"), name, "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode())
    tx.execute(insert(tenants).values(id=tenant.id, name=name, webhook_secret=tenant.webhook_secret, created_at=tx.now))
    audit.record(tx, tenant.id, "admin", "tenant.added", tenant.id, name=name)
    return tenant


def find(tx: Tx, name: str) -> Tenant | None:
    row = tx.execute(select(tenants).where(tenants.c.name == name)).one_or_none()
    return None if row is None else Tenant(row.id, row.name, row.webhook_secret)


def add_key(tx: Tx, tenant_id: str) -> str:
    """A new key of a tenant. It is shown once and cannot be read again."""
    key_id, secret = tx.clock.new_id("k").removeprefix("k_"), secrets.token_hex(32)
    tx.execute(insert(keys).values(id=key_id, tenant_id=tenant_id, secret_hash=_hash(secret), created_at=tx.now))
    audit.record(tx, tenant_id, "admin", "key.added", key_id)
    return f"{_PREFIX}_{key_id}_{secret}"


def of_key(tx: Tx, key: str) -> Tenant:
    """Whose key it is. Raises API_KEY_UNKNOWN for one that is malformed, unknown or revoked: a guesser learns nothing."""
    prefix, _, rest = key.partition("_")
    key_id, _, secret = rest.partition("_")
    row = tx.execute(
        select(keys.c.secret_hash, keys.c.revoked_at, tenants.c.id, tenants.c.name, tenants.c.webhook_secret)
        .join(tenants, tenants.c.id == keys.c.tenant_id)
        .where(keys.c.id == key_id[:64])
    ).one_or_none()
    stored = row.secret_hash if row is not None else bytes(32)
    if not hmac.compare_digest(stored, _hash(secret)) or row is None or prefix != _PREFIX or row.revoked_at is not None:
        raise Failure("API_KEY_UNKNOWN")
    return Tenant(row.id, row.name, row.webhook_secret, key_id)


def good_keys(tx: Tx, key_ids: Collection[str]) -> set[str]:
    """Which of these keys, all of which were good once, may still be used."""
    return set(tx.execute(select(keys.c.id).where(keys.c.id.in_(key_ids), keys.c.revoked_at.is_(None))).scalars())
