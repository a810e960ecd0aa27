"""Capacity and TTL of the feature caches, one setting for the whole fleet, in versions. The one before is kept and can be had back."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import Row, insert, select, update

from foundation.clock import iso
from foundation.errors import Failure
from ledger import audit, fleet
from ledger.fleet_rows import cache_settings
from ledger.session import Tx


@dataclass(frozen=True, slots=True)
class CacheSetting:
    """None: as the environment of each process says. Epoch 0 is the environment alone."""

    epoch: int = 0
    capacity: int | None = None  # vectors
    ttl_seconds: float | None = None  # 0: no end

    def changed(self, capacity: int | None, ttl_seconds: float | None) -> CacheSetting:
        """The next one; what is None stays as it is."""
        kept = (self.capacity if capacity is None else capacity, self.ttl_seconds if ttl_seconds is None else ttl_seconds)
        return CacheSetting(self.epoch + 1, *kept)


def newest(tx: Tx) -> CacheSetting:
    """The setting that every process should have."""
    return _setting(_row(tx))


def _row(tx: Tx) -> Row[Any] | None:
    return tx.first(select(cache_settings).order_by(cache_settings.c.epoch.desc()).limit(1))


def _setting(row: Row[Any] | None) -> CacheSetting:
    return CacheSetting() if row is None else CacheSetting(row.epoch, row.capacity, row.ttl_seconds)


def apply(tx: Tx, tenant_id: str, by: str, capacity: int | None, ttl_seconds: float | None, window: float) -> CacheSetting:
    """Make a new version; the one before can be had back for `window` seconds, and no other be applied meanwhile.

    What is None stays as it is. Raises CACHE_TUNING_SNAPSHOT_ACTIVE."""
    epoch = fleet.take(tx, cache_epochs=1).cache_epoch
    check(tx)
    row = _row(tx)
    before = _setting(row)
    new = replace(before.changed(capacity, ttl_seconds), epoch=epoch)
    _write(tx, new, by, "applied", asdict(before), tx.now + window)
    audit.record(tx, tenant_id, by, "cache.applied", str(epoch), capacity=new.capacity, ttl_seconds=new.ttl_seconds)
    return new


def check(tx: Tx) -> None:
    """Raises CACHE_TUNING_SNAPSHOT_ACTIVE if the last setting may still be taken back."""
    row = _row(tx)
    if row is not None and row.before is not None and row.rolled_back_at is None and tx.now < row.rollback_until:
        raise Failure("CACHE_TUNING_SNAPSHOT_ACTIVE", {"epoch": row.epoch, "rollback_until": iso(row.rollback_until)})


def rollback(tx: Tx, tenant_id: str, by: str) -> CacheSetting:
    """Bring back what stood before the last version, as a new one. Raises CACHE_TUNING_ROLLBACK_EXPIRED, CACHE_TUNING_NOTHING_APPLIED."""
    epoch = fleet.take(tx, cache_epochs=1).cache_epoch
    row = _row(tx)
    if row is None or row.before is None:
        raise Failure("CACHE_TUNING_NOTHING_APPLIED", {"epoch": 0 if row is None else row.epoch})
    if tx.now >= row.rollback_until:
        raise Failure("CACHE_TUNING_ROLLBACK_EXPIRED", {"epoch": row.epoch, "rollback_until": iso(row.rollback_until)})
    tx.execute(update(cache_settings).where(cache_settings.c.epoch == row.epoch).values(rolled_back_at=tx.now))
    back = CacheSetting(epoch, row.before["capacity"], row.before["ttl_seconds"])
    _write(tx, back, by, "rolled_back", None, None)
    audit.record(tx, tenant_id, by, "cache.rolled_back", str(epoch), of=row.epoch, to=row.before["epoch"])
    return back


def _write(tx: Tx, new: CacheSetting, by: str, way: str, before: dict[str, Any] | None, until: float | None) -> None:
    tx.execute(
        insert(cache_settings).values(
            epoch=new.epoch,
            capacity=new.capacity,
            ttl_seconds=new.ttl_seconds,
            set_at=tx.now,
            set_by=by,
            way=way,
            before=before,
            rollback_until=until,
        )
    )


def history(tx: Tx, most: int) -> list[dict[str, Any]]:
    """The last versions as clients see them, newest first."""
    return [
        {
            "epoch": row.epoch,
            "capacity": row.capacity,
            "ttl_seconds": row.ttl_seconds,
            "set_at": iso(row.set_at),
            "set_by": row.set_by,
            "way": row.way,
            "before": row.before,
            "rollback_until": iso(row.rollback_until),
            "rolled_back_at": iso(row.rolled_back_at),
        }
        for row in tx.execute(select(cache_settings).order_by(cache_settings.c.epoch.desc()).limit(most))
    ]
