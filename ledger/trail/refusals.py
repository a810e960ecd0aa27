"""What somebody was refused, in the trail: bounded in rate, so that whoever guesses cannot fill the table."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from sqlalchemy import Table, select

from foundation import caller
from foundation.clock import Clock
from foundation.errors import Failure, Stage
from ledger import audit
from ledger.rows import jobs, keys, parts, schedules
from ledger.session import Ledger, Tx
from ledger.trail.chain import HOUSE
from ledger.webhook_rows import deliveries, endpoints

_WINDOW_SECONDS = 60.0
_LINES = 20  # in a window, whoever asks; the rest is counted
_FOREIGN: dict[str, Table] = {
    "JOB_NOT_FOUND": jobs,
    "PART_NOT_FOUND": parts,
    "SCHEDULE_NOT_FOUND": schedules,
    "WEBHOOK_NOT_FOUND": endpoints,
    "DELIVERY_NOT_FOUND": deliveries,
    "KEY_NOT_FOUND": keys,
}
_OF_THE_HOUSE = ("API_KEY_UNKNOWN", "ADMIN_TOKEN_UNKNOWN", "ADMIN_TOKEN_MISSING")  # the rest is the matter of the tenant whose key it is
_NOBODY_YET = ("API_KEY_MISSING", "ADMIN_TOKEN_UNSET")  # a visitor, and a server that has no such door


@dataclass
class Refusals:
    """Of one process. In a minute the same caller is told of once for the same refusal, and all callers `_LINES` times; each line tells
    how many refusals before it were not written."""

    ledger: Ledger
    clock: Clock
    _since: float | None = None
    _told: set[tuple[str, str]] = field(default_factory=set)
    _untold: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, failure: Failure, asked: str) -> None:
        """Write down a refusal that matters, in a transaction of its own. `asked`: what for. Raises DATABASE_UNAVAILABLE."""
        who = caller.current()
        if failure.code in _FOREIGN and who.actor:
            self._foreign(_FOREIGN[failure.code], str(failure.context.get("id", "")), who.actor)
        elif failure.row.stage is Stage.AUTH and failure.code not in _NOBODY_YET and self._turn(failure.code, who.actor or who.origin):
            with self.ledger.write(as_house=True) as tx:
                house = failure.code in _OF_THE_HOUSE or not who.actor
                self._record(tx, HOUSE if house else _tenant_of(tx, who.actor) or HOUSE, f"refused.{failure.code.lower()}", asked)

    def _foreign(self, table: Table, subject: str, actor: str) -> None:
        with self.ledger.read(as_house=True) as tx:  # no wall: it asks whose it is
            owner = tx.connection.scalar(select(table.c.tenant_id).where(table.c.id == subject))
            foreign = owner is not None and owner != _tenant_of(tx, actor)
        if foreign and self._turn("foreign", actor):
            with self.ledger.write(as_house=True) as tx:
                # in the house's chain: in that of the tenant who asked it would tell that the id exists
                self._record(tx, HOUSE, "refused.foreign", subject)

    def _record(self, tx: Tx, chain: str, action: str, subject: str) -> None:
        with self._lock:
            untold, self._untold = self._untold, 0
        audit.record(tx, chain, "nobody", action, subject, outcome=audit.REFUSED, **({"untold_before": untold} if untold else {}))

    def _turn(self, kind: str, who: str) -> bool:
        with self._lock:
            now = self.clock.tick()
            if self._since is None or now - self._since >= _WINDOW_SECONDS:
                self._since = now
                self._told.clear()
            if (kind, who) in self._told or len(self._told) >= _LINES:
                self._untold += 1
                return False
            self._told.add((kind, who))
            return True


def _tenant_of(tx: Tx, actor: str) -> str | None:
    return tx.connection.scalar(select(keys.c.tenant_id).where(keys.c.id == actor.removeprefix("key:")))
