"""The life of a chunk, from the doorbell to the last ring, as one readable function."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from billiard import current_process

from foundation.errors import Failure
from foundation.mapping import Provider, failure_of
from foundation.resilience.retry import COST, COST_OF_TIMEOUT
from foundation.telemetry import ChunkHandedBack, ChunkSettled, CommitStale, RetryDelayed, RingDropped, WorkAbandoned, emit, logger
from ledger import audit, budgets, heat, jobs, line, starting, superseded, vectors
from ledger.budgets import Budget
from ledger.jobs import Claimed
from ledger.session import Tx
from ledger.settling import Settled
from tasks import ring
from tasks.catalogue import catalogue
from tasks.ring import Ring
from tasks.vocabulary import Kind
from workers import leaving
from workers.features.extraction import ENGINE_BUILD
from workers.handlers import HANDLERS
from workers.work import Overtaken, Work
from workers.worker import Worker

_BEAT_SECONDS = 2.0  # a cancelled or overtaken chunk is noticed within this
_LET_GO_SECONDS = 1.5  # how long a handler may take to let go of it; with the beat and its commit less than 5 s
_ABANDONED = 70  # exit status of a process that did not (EX_SOFTWARE); the pool starts another one
_COMMIT_TRIES = 8
_hearts = ThreadPoolExecutor(max_workers=1000, thread_name_prefix="heart")  # as many as chunks in hand
_CHOICES = 4  # on PostgreSQL another worker may take the chosen chunk first; who lost so often takes the one it was rung for


def run(chunk_id: str, worker: Worker) -> None:
    """Claim a chunk, do it, commit what came of it, and ring for what is ready next."""
    started = worker.clock.tick()
    claimed, ready = _claim(chunk_id, worker)
    if claimed is None:
        leaving.release()
        emit(RingDropped(chunk_id))
        return
    work = Work(worker, claimed)
    try:
        leaving.release()
        worker.doorbell.ring(ready)
        with _heart(work):
            HANDLERS[claimed.kind](work)
        settled, way = _settle(work, work.unsteady)
    except Overtaken:
        settled, way = None, "stale"
    except Failure as failure:
        settled, way = _settle(work, failure)
    except SystemExit:
        _hand_back(work)
        raise
    except Exception as error:  # noqa: BLE001 - the last resort: a defect of ours costs this chunk and nothing else
        logger.exception("a handler failed on %s", claimed.chunk_id)
        settled, way = _settle(work, failure_of(error, Provider.ENGINE))
    if settled is None:
        _discard(work)
        return
    bad = sum(1 for outcome in work.outcomes if outcome.error)
    emit(ChunkSettled(claimed.chunk_id, claimed.kind, claimed.attempt, len(work.outcomes) - bad, bad, worker.clock.tick() - started, way))
    worker.doorbell.ring(ring.of_deliveries(settled.deliveries))


def _claim(chunk_id: str, worker: Worker) -> tuple[Claimed | None, list[Ring]]:
    """Claim the chunk whose turn it is, and in the same commit pick what the queue has room for now.

    A SIGTERM waits until the caller can hand back."""
    queue = worker.settings.queue
    with leaving.held():
        for last in (*[False] * (_CHOICES - 1), True):
            # A claim that a power cut takes back was none: the chunk is queued as before, and whatever follows is lasting.
            with worker.ledger.write(lasting=False) as tx:
                chosen = line.choose(tx, chunk_id)
                if chosen is None:
                    break
                chosen = chunk_id if last else chosen
                claimed, ready = starting.start(
                    tx, chosen, chunk_id, worker.settings.process.name, queue.lease_seconds, queue.ring_window, ENGINE_BUILD
                )
            if claimed is not None:
                return claimed, [*(Ring(name, one, name, step) for one, name, step in ready), *ring.of_deliveries(claimed.deliveries)]
    return None, []


@contextmanager
def _heart(work: Work) -> Iterator[None]:
    """Keep the lease alive from a thread of its own, never from the engine's; one that is kept, because small jobs feel its start."""
    lease = work.worker.settings.queue.lease_seconds
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(min(lease / 4, _BEAT_SECONDS)):
            try:
                with work.worker.ledger.write(lasting=False) as tx:
                    ours = jobs.beat(tx, work.claimed.chunk_id, work.claimed.attempt, lease)
            except Failure as failure:
                logger.warning("no heartbeat for %s: %s", work.claimed.chunk_id, failure)
                continue
            if not ours:
                work.lost.set()
                if not stop.wait(_LET_GO_SECONDS):
                    _abandon(work)
                return

    _hearts.submit(beat)
    try:
        yield
    finally:
        stop.set()  # not waited for: a beat that comes too late finds that the chunk is settled


def _abandon(work: Work) -> None:
    """End this process if it is one of a pool's: native code that does not return can be stopped in no other way.

    Threads cannot be ended; there the work goes on to its end, in vain. No crash is counted: the chunk was somebody else's business before.
    """
    if not current_process().daemon:
        logger.warning("%s is no longer ours, and its thread cannot be stopped", work.claimed.chunk_id)
        return
    emit(WorkAbandoned(work.claimed.chunk_id))
    try:
        _discard(work)
    except Failure as failure:
        logger.warning("cannot tell that %s was abandoned: %s", work.claimed.chunk_id, failure)
    os._exit(_ABANDONED)  # readers of files end with it: their zygote notices


def _settle(work: Work, failure: Failure | None) -> tuple[Settled | None, str]:
    """Commit the attempt: done, or waiting for another try, or dead. The result is None when it was overtaken."""
    claimed, worker = work.claimed, work.worker
    if failure is None:
        return _commit(work, lambda tx: _finished(tx, work)), "done"
    wait = catalogue()[claimed.kind].policy.wait(claimed.tries, worker.clock.dice()) if failure.row.retryable else None
    error = failure if wait is not None or not failure.row.retryable else Failure("RETRIES_EXHAUSTED", {"last": failure.public()})
    settled = _commit(work, lambda tx: _failed(tx, work, failure, error, wait))
    return settled, "dead" if wait is None else "waiting"


def _finished(tx: Tx, work: Work) -> Settled | None:
    settled = jobs.finish(tx, work.claimed, work.outcomes)
    if settled is not None and work.claimed.waits_for is not None:
        budgets.refund(tx, work.claimed.waits_for, COST, _budget(work.worker))
    return settled


def _failed(tx: Tx, work: Work, failure: Failure, error: Failure, wait: float | None) -> Settled | None:
    """A retry waits as its policy says, and longer while the budget of what failed it is used up."""
    claimed = work.claimed
    settled = jobs.fail(tx, claimed, work.outcomes, error.public(), None if wait is None else tx.now + wait)
    if settled is not None and wait is not None:
        cost = COST_OF_TIMEOUT if "Timeout" in str(failure.context.get("reason")) else COST
        debt = budgets.charge(tx, budgets.chunk(claimed.chunk_id), failure.code, cost, _budget(work.worker))
        if debt > wait:
            emit(RetryDelayed(failure.code, debt))
    return settled


def _budget(worker: Worker) -> Budget:
    return Budget(worker.settings.queue.retry_tokens, worker.settings.queue.retry_trickle)


def _commit(work: Work, verb: Callable[[Tx], Settled | None]) -> Settled | None:
    """One transaction for outcomes, vectors, counters, audit and outbox. A database that is away or full is waited for.

    Where it is not known whether a try was written, the next one that finds the chunk gone reads what this attempt has left."""
    worker, claimed, doubted = work.worker, work.claimed, False
    for last in (*[False] * (_COMMIT_TRIES - 1), True):
        try:
            with worker.ledger.write() as tx:
                settled = verb(tx)
                if settled is not None:
                    if claimed.kind == Kind.MIGRATION:
                        superseded.remember(tx, claimed.tenant_id, claimed.job_id, work.vectors)
                    heat.count_hits(tx, work.hits)
                    vectors.put(tx, claimed.tenant_id, work.vectors, claimed.job_id)
                elif doubted:
                    settled = jobs.recorded(tx, claimed)
                return settled
        except Failure as failure:
            if last or not failure.row.temporary:
                raise
            doubted = doubted or failure.code == "COMMIT_UNKNOWN"
            logger.warning("cannot commit %s yet: %s", claimed.chunk_id, failure)
            worker.clock.sleep(1.0)
    raise AssertionError("unreachable")


def _hand_back(work: Work) -> None:
    """This process has to stop: keep what is done, give the rest back. Not charged as a try, and rung for somebody else."""
    claimed, worker = work.claimed, work.worker
    settled = _commit(work, lambda tx: jobs.hand_back(tx, claimed, work.outcomes))
    if settled is None:
        return
    emit(ChunkHandedBack(claimed.chunk_id, claimed.attempt, len(work.outcomes)))
    with worker.ledger.write() as tx:
        ready = jobs.ring(tx, claimed.queue, claimed.step, worker.settings.queue.ring_window)
    worker.doorbell.ring([*ring.of_deliveries(settled.deliveries), *ring.of_chunks(ready, claimed.queue, claimed.step)])


def _discard(work: Work) -> None:
    claimed = work.claimed
    emit(CommitStale(claimed.chunk_id, claimed.attempt))
    with work.worker.ledger.write() as tx:
        audit.record(tx, claimed.tenant_id, claimed.chunk_id, "chunk.stale", claimed.job_id, outcome=audit.REFUSED, attempt=claimed.attempt)
