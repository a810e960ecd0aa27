"""What happened, as frozen events: code emits, sinks render. Code that emits knows no sink; a sink never changes what happens."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass

logger = logging.getLogger("cadmill")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened; its class name is its kind."""


@dataclass(frozen=True, slots=True)
class JobAccepted(Event):
    job_id: str
    kind: str
    items: int


@dataclass(frozen=True, slots=True)
class RingFailed(Event):
    rings: int
    reason: str


@dataclass(frozen=True, slots=True)
class RingDropped(Event):
    """A doorbell for a chunk that is not waiting for one: a double ring, harmless."""

    chunk_id: str


@dataclass(frozen=True, slots=True)
class ChunkSettled(Event):
    chunk_id: str
    kind: str
    attempt: int
    succeeded: int
    failed: int
    seconds: float
    way: str  # done, waiting or dead


@dataclass(frozen=True, slots=True)
class ChunkHandedBack(Event):
    """A worker that was told to stop gave a chunk back with so many of its items done."""

    chunk_id: str
    attempt: int
    items: int


@dataclass(frozen=True, slots=True)
class CommitStale(Event):
    """An attempt that was overtaken came back; what it brought was discarded."""

    chunk_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class CommitDoubted(Event):
    """A commit was told failed, and the database was asked what became of it: done, undone or unknown."""

    answer: str


@dataclass(frozen=True, slots=True)
class Repaired(Event):
    rescued: int
    due: int
    rung_again: int
    deliveries_rescued: int


@dataclass(frozen=True, slots=True)
class SlotSettled(Event):
    """What became of a slot of a schedule (or of a run of missed ones): submitted, refused or missed."""

    schedule_id: str
    outcome: str
    slots: int


@dataclass(frozen=True, slots=True)
class Pruned(Event):
    """What retention let go in one round: rows or files."""

    jobs: int
    items: int
    chunks: int
    results: int
    slots: int
    deliveries: int
    files: int


@dataclass(frozen=True, slots=True)
class FeaturesExtracted(Event):
    version: str
    format: str
    seconds: float


@dataclass(frozen=True, slots=True)
class GalleryMade(Event):
    """A worker holds the vectors of a shelf now: from its snapshot or from the ledger."""

    source: str
    vectors: int
    epoch: int


@dataclass(frozen=True, slots=True)
class BatchSearched(Event):
    """Queries that were searched together. `saved`: seconds against the serial run of the same batch, where it was run in parallel."""

    queries: int
    way: str  # parallel, or serial and why: small batch, one processor, does not pay
    saved: float | None


@dataclass(frozen=True, slots=True)
class PreviewDrawn(Event):
    format: str
    seconds: float


@dataclass(frozen=True, slots=True)
class VectorMigrated(Event):
    """A vector was made in another feature version, with so many slots more (or fewer) than the part had."""

    way: str  # prefix, extraction or projection
    delta: int


@dataclass(frozen=True, slots=True)
class EngineCrashed(Event):
    """A file killed the process that read it."""

    job_id: str
    sha256: str
    quarantined: bool


@dataclass(frozen=True, slots=True)
class WorkAbandoned(Event):
    """A chunk that is no longer ours was not let go in time: its process is ended."""

    chunk_id: str


@dataclass(frozen=True, slots=True)
class RetryDelayed(Event):
    """The retry budget of a dependency is used up."""

    dependency: str  # a code, or "receiver"
    seconds: float


@dataclass(frozen=True, slots=True)
class EngineDegraded(Event):
    """The fast index of this process failed; the exact one serves."""

    reason: str  # import, load, search, dimension or corruption
    flapping: bool


@dataclass(frozen=True, slots=True)
class RecoveryTried(Event):
    """A try to get the fast index back ended: recovered, failed, or overtaken by another one."""

    result: str
    by_hand: bool
    reason: str


@dataclass(frozen=True, slots=True)
class EngineRestored(Event):
    """The fast index serves again, after so long."""

    seconds: float


@dataclass(frozen=True, slots=True)
class SearchDegraded(Event):
    """So many queries were answered by the exact index because the fast one had failed."""

    queries: int


@dataclass(frozen=True, slots=True)
class CachePrewarmed(Event):
    """What a worker process loaded before it was asked, and what for."""

    loaded: int
    skipped: int
    evicted: int
    failed: int
    left: int


@dataclass(frozen=True, slots=True)
class DeliveryTried(Event):
    delivery_id: str
    attempt: int
    state: str
    status: int | None
    seconds: float


@dataclass(frozen=True, slots=True)
class LimitsAsked(Event):
    """The rate limits were asked for a request. `refused`: the tier that had no room, empty for none; `alone`: without Redis."""

    tiers: tuple[str, ...]
    refused: str
    alone: bool


@dataclass(frozen=True, slots=True)
class LimiterAlone(Event):
    """Redis is gone; this process counts for itself, one of so many."""

    replicas: int
    reason: str


@dataclass(frozen=True, slots=True)
class LimiterBack(Event):
    """Redis counts again, after so long."""

    seconds: float


@dataclass(frozen=True, slots=True)
class RequestAnswered(Event):
    route: str
    method: str
    status: int
    seconds: float


@dataclass(frozen=True, slots=True)
class LivePublished(Event):
    """Events that Redis took."""

    events: int


@dataclass(frozen=True, slots=True)
class LiveDropped(Event):
    """Events that nobody will be told of; their readers are told that there is a gap."""

    events: int
    reason: str


@dataclass(frozen=True, slots=True)
class LiveRead(Event):
    """An event reached the connections of this process, so long after it was published."""

    seconds: float


@dataclass(frozen=True, slots=True)
class LiveOpened(Event):
    """Somebody listens."""

    door: str  # websocket, sse or grpc


@dataclass(frozen=True, slots=True)
class LiveClosed(Event):
    """Somebody stopped listening: by themselves (left), or why we ended it."""

    door: str
    reason: str


@dataclass(frozen=True, slots=True)
class CallAnswered(Event):
    """A gRPC call ended."""

    method: str
    status: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ErrorMapped(Event):
    """An exception was given a code. UNKNOWN: no rule knows its class, so one should be written."""

    provider: str
    code: str
    kind: str  # the class of the exception, in full


@dataclass(frozen=True, slots=True)
class BreakerMoved(Event):
    """What stands between this process and something it calls has opened, lets probes through, or has closed."""

    call: str
    old: str
    new: str
    reason: str


@dataclass(frozen=True, slots=True)
class CallRefused(Event):
    """A call was not made: its limiter, bulkhead or breaker said no."""

    call: str
    part: str


@dataclass(frozen=True, slots=True)
class CallRetried(Event):
    """A call failed and will be made again after so many seconds."""

    call: str
    made: int
    seconds: float
    reason: str


Sink = Callable[[Event], None]
_sinks: list[Sink] = []


def attach(sink: Sink) -> None:
    """Let a sink hear every event of this process from now on."""
    if sink not in _sinks:
        _sinks.append(sink)


def emit(event: Event) -> None:
    """Tell every sink. A sink that fails is reported and does not disturb the work it watches."""
    for sink in _sinks:
        try:
            sink(event)
        except Exception:
            logger.exception("a telemetry sink failed on %s", type(event).__name__)


_QUIET = (
    RequestAnswered,
    CallAnswered,
    CallRefused,
    LimitsAsked,
    FeaturesExtracted,
    PreviewDrawn,
    VectorMigrated,
    RingDropped,
    SearchDegraded,
    LivePublished,
    LiveRead,
    LiveOpened,
    LiveClosed,
    ErrorMapped,
)


def log(event: Event) -> None:
    """The log sink: one line an event."""
    level = (
        logging.WARNING
        if isinstance(event, ErrorMapped) and event.code == "UNKNOWN"
        else logging.DEBUG
        if isinstance(event, _QUIET)
        else logging.WARNING
        if isinstance(event, RingFailed | CommitStale | CommitDoubted | EngineDegraded | LiveDropped | LimiterAlone | BreakerMoved)
        else logging.INFO
    )
    if not logger.isEnabledFor(level):
        return
    logger.log(level, "%s %s", type(event).__name__, " ".join(f"{name}={value}" for name, value in asdict(event).items()))


def start_logging(level: str) -> None:
    """Log to standard error, once a process."""
    logging.basicConfig(stream=sys.stderr, level=level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for chatter in ("celery.app.trace", "celery.worker.strategy"):  # two lines a message; our own events say more in one
        logging.getLogger(chatter).setLevel(logging.WARNING)
