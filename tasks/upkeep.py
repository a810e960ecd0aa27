"""What the clock asks: rescue, ring again, deliver, submit what is scheduled, prune. Called by beat's tick and by a thread
of the API alike, in any number: a lease in the ledger lets one act at a time, and every move is guarded all the same."""

from __future__ import annotations

from collections.abc import Callable

from redis import Redis, RedisError

from foundation.settings import Settings
from foundation.telemetry import Pruned, Repaired, RingFailed, emit
from ledger import budgets, commits, epochs, fleet, jobs, leases, line, outbox, quarantine, queues, repair, retention, signing
from ledger.files import FileStore
from ledger.session import Ledger, Tx
from ledger.states import ended
from ledger.trail import letting_go
from tasks import ring, schedules, trail
from tasks.catalogue import all_queues, reading_kinds
from tasks.ring import Doorbell, Ring
from tasks.vocabulary import Priority

_DAY = 86_400.0
_BITES = 2_000  # a million rows an hour
_PAUSE_SECONDS = 0.01  # between two bites: SQLite gives the writer's place to whoever asks while it is free


def mend(ledger: Ledger, doorbell: Doorbell, client: Redis, settings: Settings) -> bool:
    """Rescue what lost its worker, queue what is due, ring what nobody will hear otherwise. False: another one is at it."""
    patience = settings.queue
    with ledger.write() as tx:
        if leases.acquire(tx, "upkeep", settings.process.name, 3 * patience.tick_seconds) is None:
            return False
    with ledger.write() as tx:
        rescued = repair.rescue(tx, quarantine.Rule(patience.quarantine_hours * 3600.0, reading_kinds()))
    with ledger.write() as tx:
        expired = ring.of_deliveries(repair.expire(tx))
    with ledger.write() as tx:
        due, deliveries_rescued = repair.due(tx), outbox.rescue(tx)
        outbox.bury(tx)
    with ledger.write() as tx:
        line.age(tx, patience.age_seconds, [priority.step for priority in Priority])
    again = _ring_lost(ledger, client, settings)
    doorbell.ring([*expired, *again, *_ring_ready(ledger, settings)])
    if rescued or due or again or deliveries_rescued:
        emit(Repaired(rescued, due, len(again), deliveries_rescued))
    schedules.submit_due(ledger, doorbell, settings)
    trail.tell_outside(ledger, settings)
    return True


def _ring_ready(ledger: Ledger, settings: Settings) -> list[Ring]:
    """Rings of what is ready and was never rung, as far as the window has room."""
    with ledger.read() as tx:
        ready = repair.unrung(tx)
    rings: list[Ring] = []
    with ledger.write() as tx:
        for queue, step in ready:
            rings += ring.of_chunks(jobs.ring(tx, queue, step, settings.queue.ring_window), queue, step)
        rings += ring.of_deliveries(outbox.ring(tx, settings.webhook.ring_window, settings.webhook.at_once))
    return rings


def _ring_lost(ledger: Ledger, client: Redis, settings: Settings) -> list[Ring]:
    """Rings that the broker no longer holds, found by comparing ids: a count could hide a loss behind a double."""
    with ledger.read() as tx:
        before = tx.now - settings.queue.ring_grace_seconds
        stuck = tx.now - settings.queue.ring_stuck_seconds
        chunks, deliveries = repair.rung(tx, before), outbox.rung(tx, before)
    if not chunks and not deliveries:
        return []
    try:
        held = ring.held(client, all_queues())
    except RedisError as error:
        emit(RingFailed(0, type(error).__name__))
        return []

    def lost(rung: list[tuple[str, float]]) -> list[str]:
        return [name for name, at in rung if name not in held.listed and (name not in held.fetched or at < stuck)]

    with ledger.write() as tx:
        again = [Ring(queue, name, queue, step) for name, queue, step in repair.rering(tx, lost(chunks))]
        return again + ring.of_deliveries(outbox.rering(tx, lost(deliveries)))


def prune(ledger: Ledger, files: FileStore, settings: Settings) -> Pruned:
    """Let go what is older than its retention, in bites between which others write; answers how much."""
    keep, now = settings.retention, ledger.clock.now()

    def before(days: float) -> float:
        return now - days * _DAY

    jobs_before = {state: before(getattr(keep, f"{state}_days") or keep.job_days) for state in ended("jobs")}
    result_days = keep.result_days
    _bites(ledger, lambda tx: retention.hide_jobs(tx, jobs_before))
    _bites(ledger, lambda tx: retention.drop_keys(tx, before(keep.idempotency_days)))
    _bites(ledger, lambda tx: retention.drop_superseded(tx, before(keep.rollback_days)))
    trail.let_go(ledger, settings)
    _bites(ledger, letting_go.drop)
    _bites(ledger, lambda tx: epochs.forget_removals(tx, before(keep.file_days)))
    gone = Pruned(
        chunks=_bites(ledger, lambda tx: retention.drop_chunks(tx, before(keep.chunk_days))),
        items=_bites(ledger, retention.drop_items),
        jobs=_bites(ledger, retention.drop_jobs),
        deliveries=_bites(ledger, lambda tx: retention.drop_deliveries(tx, before(keep.job_days))),
        results=0 if result_days is None else _bites(ledger, lambda tx: retention.empty_results(tx, before(result_days))),
        slots=_bites(ledger, lambda tx: retention.drop_slots(tx, before(keep.job_days))),
        files=retention.sweep_files(ledger, files, before(keep.file_days), folder=int(now / 3600) % 256),
    )
    files.sweep()
    with ledger.write() as tx:
        line.forget(tx)
        queues.forget_workers(tx)
        fleet.forget(tx)
        quarantine.forget(tx, now - settings.queue.quarantine_hours * 3600.0)
        budgets.forget(tx, now - _DAY)
        commits.forget(tx.connection, now - _DAY)
        signing.forget(tx)
    emit(gone)
    return gone


def _bites(ledger: Ledger, verb: Callable[[Tx], int | None]) -> int:
    """Take bites until there is nothing left, or enough for this time."""
    gone = 0
    for _ in range(_BITES):
        with ledger.write() as tx:
            bite = verb(tx)
        if bite is None:
            break
        gone += bite
        ledger.clock.sleep(_PAUSE_SECONDS)
    return gone
