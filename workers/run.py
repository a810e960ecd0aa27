"""The life of a chunk, from the doorbell to the last ring, as one readable function."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from foundation.errors import Failure
from foundation.telemetry import ChunkHandedBack, ChunkSettled, CommitStale, RingDropped, emit, logger
from ledger import audit, jobs, vectors
from ledger.jobs import Claimed, Settled
from ledger.session import Tx
from tasks import ring
from tasks.catalogue import catalogue
from tasks.ring import Ring
from workers import leaving
from workers.handlers import HANDLERS
from workers.work import Overtaken, Work
from workers.worker import Worker

_BEAT_SECONDS = 4.0  # a cancelled or overtaken chunk is noticed within this
_COMMIT_TRIES = 8
Done = TypeVar("Done", Settled | None, bool)


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
        logger.exception("a handler failed on %s", chunk_id)
        settled, way = _settle(work, Failure("ENGINE_DEFECT", {"reason": type(error).__name__}))
    if settled is None:
        _discard(work)
        return
    bad = sum(1 for outcome in work.outcomes if outcome.error)
    emit(ChunkSettled(chunk_id, claimed.kind, claimed.attempt, len(work.outcomes) - bad, bad, worker.clock.tick() - started, way))
    worker.doorbell.ring(ring.of_deliveries(settled.deliveries))


def _claim(chunk_id: str, worker: Worker) -> tuple[Claimed | None, list[Ring]]:
    """Claim, and in the same commit pick what the queue has room for now. A SIGTERM waits until the caller can hand back."""
    queue = worker.settings.queue
    with leaving.held(), worker.ledger.write() as tx:
        claimed = jobs.claim(tx, chunk_id, worker.settings.process.name, queue.lease_seconds)
        if claimed is None:
            return None, []
        ready = jobs.ring(tx, claimed.queue, claimed.step, queue.ring_window)
    return claimed, ring.of_chunks(ready, claimed.queue, claimed.step)


@contextmanager
def _heart(work: Work) -> Iterator[None]:
    """Keep the lease alive from a thread of its own, never from the engine's."""
    lease = work.worker.settings.queue.lease_seconds
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(min(lease / 4, _BEAT_SECONDS)):
            try:
                with work.worker.ledger.write() as tx:
                    ours = jobs.beat(tx, work.claimed.chunk_id, work.claimed.attempt, lease)
            except Failure as failure:
                logger.warning("no heartbeat for %s: %s", work.claimed.chunk_id, failure)
                continue
            if not ours:
                work.lost.set()
                return

    thread = threading.Thread(target=beat, name=f"heart of {work.claimed.chunk_id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _settle(work: Work, failure: Failure | None) -> tuple[Settled | None, str]:
    """Commit the attempt: done, or waiting for another try, or dead. The result is None when it was overtaken."""
    claimed, worker = work.claimed, work.worker
    if failure is None:
        return _commit(work, lambda tx: jobs.finish(tx, claimed, work.outcomes)), "done"
    wait = catalogue()[claimed.kind].policy.wait(claimed.tries, worker.clock.dice()) if failure.row.retryable else None
    error = failure if wait is not None or not failure.row.retryable else Failure("RETRIES_EXHAUSTED", {"last": failure.public()})
    settled = _commit(work, lambda tx: jobs.fail(tx, claimed, work.outcomes, error.public(), None if wait is None else tx.now + wait))
    return settled, "dead" if wait is None else "waiting"


def _commit(work: Work, verb: Callable[[Tx], Done]) -> Done:
    """One transaction for outcomes, vectors, counters, audit and outbox. A database that is away is waited for."""
    worker, claimed = work.worker, work.claimed
    for last in (*[False] * (_COMMIT_TRIES - 1), True):
        try:
            with worker.ledger.write() as tx:
                settled = verb(tx)
                if settled:
                    vectors.put(tx, claimed.tenant_id, work.vectors)
                    vectors.count_hits(tx, work.hits)
                return settled
        except Failure as failure:
            if last or failure.code != "DATABASE_UNAVAILABLE":
                raise
            logger.warning("cannot commit %s yet: %s", claimed.chunk_id, failure)
            worker.clock.sleep(1.0)
    raise AssertionError("unreachable")


def _hand_back(work: Work) -> None:
    """This process has to stop: keep what is done, give the rest back. Not charged as a try, and rung for somebody else."""
    claimed, worker = work.claimed, work.worker
    if not _commit(work, lambda tx: jobs.hand_back(tx, claimed, work.outcomes)):
        return
    emit(ChunkHandedBack(claimed.chunk_id, claimed.attempt, len(work.outcomes)))
    with worker.ledger.write() as tx:
        ready = jobs.ring(tx, claimed.queue, claimed.step, worker.settings.queue.ring_window)
    worker.doorbell.ring(ring.of_chunks(ready, claimed.queue, claimed.step))


def _discard(work: Work) -> None:
    claimed = work.claimed
    emit(CommitStale(claimed.chunk_id, claimed.attempt))
    with work.worker.ledger.write() as tx:
        audit.record(tx, claimed.tenant_id, claimed.chunk_id, "chunk.stale", claimed.job_id, attempt=claimed.attempt)
