"""One Idempotency-Key, one job: the key is claimed before the work, tied to the job in the job's own commit."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from foundation.errors import Failure
from ledger.rows import idempotency
from ledger.session import Tx


@dataclass(frozen=True, slots=True)
class Claim:
    """Either `job_id` of the earlier request, or the `token` under which this one may proceed."""

    key: str
    token: str
    job_id: str | None


def claim(tx: Tx, tenant_id: str, key: str, body_hash: str, seconds: float) -> Claim:
    """Claim a key for a request body. Raises IDEMPOTENCY_KEY_REUSED (other body), IDEMPOTENCY_KEY_IN_FLIGHT."""
    token = tx.clock.new_id("claim")
    try:
        with tx.connection.begin_nested():
            tx.execute(
                insert(idempotency).values(
                    tenant_id=tenant_id, key=key, body_hash=body_hash, claim=token, claimed_until=tx.now + seconds, created_at=tx.now
                )
            )
        return Claim(key, token, None)
    except IntegrityError:
        row = tx.execute(select(idempotency).where(idempotency.c.tenant_id == tenant_id, idempotency.c.key == key).with_for_update()).one()
    if row.body_hash != body_hash:
        raise Failure("IDEMPOTENCY_KEY_REUSED", {"key": key})
    if row.job_id is not None:
        return Claim(key, token, row.job_id)
    if row.claimed_until > tx.now:
        raise Failure("IDEMPOTENCY_KEY_IN_FLIGHT", {"key": key})
    tx.execute(
        update(idempotency)
        .where(idempotency.c.tenant_id == tenant_id, idempotency.c.key == key)
        .values(claim=token, claimed_until=tx.now + seconds)
    )
    return Claim(key, token, None)


def tie(tx: Tx, tenant_id: str, claimed: Claim, job_id: str) -> None:
    """Tie the key to its job, in the commit that adds the job. Raises IDEMPOTENCY_KEY_IN_FLIGHT if the claim was taken over."""
    tied = tx.execute(
        update(idempotency)
        .where(
            idempotency.c.tenant_id == tenant_id,
            idempotency.c.key == claimed.key,
            idempotency.c.claim == claimed.token,
            idempotency.c.job_id.is_(None),
        )
        .values(job_id=job_id)
    )
    if tied.rowcount != 1:
        raise Failure("IDEMPOTENCY_KEY_IN_FLIGHT", {"key": claimed.key})


def release(tx: Tx, tenant_id: str, claimed: Claim) -> None:
    """Forget a claim whose request was refused, so that a corrected one may use the key."""
    tx.execute(
        delete(idempotency).where(
            idempotency.c.tenant_id == tenant_id,
            idempotency.c.key == claimed.key,
            idempotency.c.claim == claimed.token,
            idempotency.c.job_id.is_(None),
        )
    )
