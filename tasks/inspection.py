"""The whole inspection of a store: rows, broker and files, looked at and, when asked, mended. It runs beside the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from redis import Redis, RedisError

from foundation.settings import Settings
from ledger import leases, outbox, repair
from ledger.files import FileStore
from ledger.inspection import disk, verdicts, walk
from ledger.inspection.findings import Finding, Patience
from ledger.inspection.rules import RULES, sentence
from ledger.session import Ledger
from tasks import ring
from tasks.catalogue import all_queues

_SHOWN = 100  # findings of one kind that are kept word by word; all are counted
_PASSES = 4  # a repair may bring up what stands on it: counters, then the end of the job, then its webhook
_RECENT_SECONDS = 7200.0


@dataclass(slots=True)
class Report:
    """What was looked at and how much of it, what was not and why, what is wrong, and how much of it was mended."""

    looked: Counter[str] = field(default_factory=Counter)
    not_looked: dict[str, str] = field(default_factory=dict)
    found: Counter[str] = field(default_factory=Counter)
    mended: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    kinds: set[str] = field(default_factory=set)  # that could be found
    shown: list[Finding] = field(default_factory=list)

    @property
    def healthy(self) -> bool:
        """Nothing is wrong any more."""
        return not self.left.total()

    def told(self) -> dict[str, Any]:
        """The report as JSON."""
        return {
            "healthy": self.healthy,
            "looked_at": dict(self.looked),
            "not_looked_at": self.not_looked,
            "found": dict(self.found),
            "mended": dict(self.mended),
            "left": dict(self.left),
            "findings": [
                {"kind": one.kind, "subject": one.subject, "job_id": one.job_id, "message": sentence(one), "remedy": RULES[one.kind].remedy}
                for one in self.shown
            ],
        }


@dataclass(frozen=True, slots=True)
class Store:
    """What an inspection looks at. Without files or broker it says so and looks at the rest."""

    ledger: Ledger
    files: FileStore | None
    broker: Redis | None
    patience: Patience


def of(settings: Settings, ledger: Ledger, files: FileStore | None, broker: Redis | None) -> Store:
    return Store(ledger, files, broker, Patience.of(settings))


def inspect(store: Store, *, deep: bool = False, fix: bool = False, since: float | None = None) -> Report:
    """Look at the whole store, or at what lives or ended `since` a time; with `deep` hash every file; with `fix` mend what can be mended.

    Nothing is changed without `fix`, but for the line in the audit trail that tells the numbers. Raises DATABASE_UNAVAILABLE."""
    report = Report()
    for number in range(_PASSES if fix else 1):
        report.looked.clear()
        report.left.clear()
        mended = 0
        for finding in _look(store, report, deep, since):
            if number == 0:
                report.found[finding.kind] += 1
                if report.found[finding.kind] <= _SHOWN:
                    report.shown.append(finding)
            if fix and _mend(store, finding):
                report.mended[finding.kind] += 1
                mended += 1
            else:
                report.left[finding.kind] += 1
        if not mended:
            break
    with store.ledger.write() as tx:
        verdicts.keep(tx, since is None, dict.fromkeys(sorted(report.kinds), 0) | dict(report.left))
    return report


def watch(store: Store, owner: str) -> Report | None:
    """The cheap inspection of the clock: live jobs, those of the last two hours, and the broker. None: another process has just done it."""
    with store.ledger.write() as tx:
        if leases.acquire(tx, "inspection", owner, 600.0) is None:
            return None
        since = tx.now - _RECENT_SECONDS
    return inspect(store, since=since)


def _look(store: Store, report: Report, deep: bool, since: float | None) -> Iterator[Finding]:
    """Every finding, bite by bite, so that each can be mended before the next bite is read."""
    on_disk = {kind for kind, rule in RULES.items() if kind.startswith(("file_", "preview_"))}
    in_broker = {"ring_lost", "ring_of_nothing"}
    everywhere = {"vector_of_no_part"}
    report.kinds |= set(RULES) - on_disk - in_broker - everywhere
    for jobs, items, found in walk.over_jobs(store.ledger, store.patience, since):
        report.looked += Counter(jobs=jobs, items=items)
        yield from found
    yield from walk.over_trail(store.ledger, since)
    yield from walk.over_keys(store.ledger)
    try:
        yield from _broker(store, report)
        report.kinds |= in_broker
    except RedisError as error:
        report.not_looked["broker"] = type(error).__name__
    if since is not None:
        return
    report.kinds |= everywhere
    for vectors, found in walk.over_vectors(store.ledger):
        report.looked["vectors"] += vectors
        yield from found
    if store.files is None:
        report.not_looked["files"] = "the storage directory is not here"
        return
    report.kinds |= on_disk
    for files, found in disk.stored(store.ledger, store.files, deep):
        report.looked["files hashed" if deep else "files"] += files
        yield from found
    for files, found in disk.unnamed(store.ledger, store.files, store.patience):
        report.looked["files on disk"] += files
        yield from found


def _broker(store: Store, report: Report) -> list[Finding]:
    """Rings beside rows. Raises `redis.RedisError`."""
    if store.broker is None:
        report.not_looked["broker"] = "CADMILL_REDIS_URL is not set and no `cadmill up` runs on this directory"
        return []
    waiting = _rung(store)
    held = ring.held(store.broker, all_queues())
    ids = held.listed | held.fetched
    report.looked["rings"] += len(ids)
    missing = {one for one in waiting if one[1] not in ids}
    still = _rung(store) if missing else set()  # some may have been claimed and acknowledged between the two looks
    lost = [Finding("ring_lost", name, detail={"what": what, "at": at}) for what, name, at in sorted(missing & still)]
    return [*lost, *(Finding("ring_of_nothing", name) for name in walk.unknown(store.ledger, sorted(held.listed)))]


def _rung(store: Store) -> set[tuple[str, str, float]]:
    with store.ledger.read() as tx:
        before = tx.now - store.patience.ring
        return {("chunk", *one) for one in repair.rung(tx, before)} | {("delivery", *one) for one in outbox.rung(tx, before)}


def _mend(store: Store, finding: Finding) -> bool:
    if finding.kind == "ring_of_nothing" and store.broker is not None:
        if not walk.unknown(store.ledger, [finding.subject]) or not ring.silence(store.broker, all_queues(), finding.subject):
            return False
        with store.ledger.write() as tx:
            walk.record(tx, "", finding)
        return True
    return walk.mend(store.ledger, store.files, finding, store.patience)
