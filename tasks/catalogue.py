"""Every task on one screen: read this first. Queues, routes, workers and the beat schedule are computed from it."""

from __future__ import annotations

from foundation.resilience.retry import RetryPolicy
from foundation.settings import settings
from tasks.contract import Task
from tasks.extraction import ExtractionAnswer, ExtractionRequest
from tasks.migration import MigrationAnswer, MigrationRequest
from tasks.prewarm import PrewarmAnswer, PrewarmRequest
from tasks.probe import ProbeAnswer, ProbeRequest
from tasks.similarity import SimilarityAnswer, SimilarityRequest
from tasks.vocabulary import Kind

_PATIENT = RetryPolicy(tries=5, first_seconds=2, most_seconds=300)  # what fails here is a machine without room: give it time
_WATCHED = RetryPolicy(tries=5, first_seconds=2, most_seconds=60, growth="linear")  # a person waits for the hits
_UNHURRIED = RetryPolicy(tries=6, first_seconds=5, most_seconds=300, growth="fibonacci")  # long work in the background
_STEADY = RetryPolicy(tries=3, first_seconds=5, most_seconds=5, growth="fixed")  # an empty cache costs little
_QUICK = RetryPolicy(tries=3, first_seconds=0.2, most_seconds=1)

_USER_TASKS = (
    Task(Kind.EXTRACTION, "compute the features of parts", ExtractionRequest, ExtractionAnswer, 100, _PATIENT, reads_files=True),
    Task(Kind.SIMILARITY, "find parts that look like these", SimilarityRequest, SimilarityAnswer, 500, _WATCHED),
    Task(Kind.MIGRATION, "bring vectors to another feature version", MigrationRequest, MigrationAnswer, 100, _UNHURRIED, reads_files=True),
    Task(Kind.PREWARM, "load the hottest vectors into a worker's cache", PrewarmRequest, PrewarmAnswer, 1, _STEADY),
)
_PROBE = Task(Kind.PROBE, "spend time, fail or die on demand", ProbeRequest, ProbeAnswer, 100, _QUICK)

# What the clock asks for. The courier does both kinds, so that neither waits behind long jobs.
UPKEEP_QUEUE = "upkeep"
WEBHOOK_QUEUE = "webhooks"
REPAIR = "upkeep.repair"
PRUNE = "upkeep.prune"
DELIVER = "webhooks.deliver"


def catalogue() -> dict[str, Task]:
    """The tasks of this installation, by kind."""
    tasks = (*_USER_TASKS, _PROBE) if settings().process.probe else _USER_TASKS
    return {task.name: task for task in tasks}


def compute_queues() -> list[str]:
    """Queues of the compute workers."""
    return [task.queue for task in catalogue().values()]


def reading_kinds() -> list[str]:
    """Kinds whose work reads files with the engine."""
    return [task.name for task in catalogue().values() if task.reads_files]


def courier_queues() -> list[str]:
    return [WEBHOOK_QUEUE, UPKEEP_QUEUE]


def all_queues() -> list[str]:
    return compute_queues() + courier_queues()


def queue_of(task_name: str) -> str:
    """Where messages of a task go."""
    return {REPAIR: UPKEEP_QUEUE, PRUNE: UPKEEP_QUEUE, DELIVER: WEBHOOK_QUEUE}.get(task_name) or catalogue()[task_name].queue
