"""Queues: how full they are, who serves them; pause and resume."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from api.auth import TheAdmin, TheTenant
from api.house import House, TheHouse
from api.shapes.answers import answers
from api.shapes.operating import Queue, Queues
from foundation.errors import Failure
from ledger import jobs, queues
from tasks import ring
from tasks.catalogue import compute_queues
from tasks.vocabulary import Priority

router = APIRouter(prefix="/queues", tags=["queues"])


class Pause(BaseModel):
    """Why a queue is paused; told to everyone whose jobs wait."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: str = Field("", max_length=500)


def _seen(house: House) -> list[dict[str, Any]]:
    with house.ledger.read() as tx:
        return queues.view(tx, compute_queues(), {priority.step: priority.value for priority in Priority})


def _one(house: House, name: str) -> dict[str, Any]:
    return next(queue for queue in _seen(house) if queue["name"] == name)


def _known(name: str) -> None:
    if name not in compute_queues():
        raise Failure("QUEUE_NOT_FOUND", {"queue": name[:64], "queues": compute_queues()})


@router.get("", responses=answers(Queues))
def list_queues(house: TheHouse, _tenant: TheTenant) -> dict[str, Any]:
    """Every queue: chunks by state and priority, the oldest wait, how many chunks its workers can do at once, and whether it is paused."""
    return {"queues": _seen(house)}


@router.post("/{name}/pause", responses=answers(Queue, "QUEUE_NOT_FOUND", "QUEUE_PAUSED"))
def pause_queue(name: str, house: TheHouse, admin: TheAdmin, asked: Pause | None = None) -> dict[str, Any]:
    """Start nothing more of this queue. What runs finishes; what waits is kept and waits. Needs X-Admin-Token."""
    _known(name)
    with house.ledger.write() as tx:
        queues.pause(tx, admin.id, name, admin.name, asked.reason if asked else "")
    return _one(house, name)


@router.post("/{name}/resume", responses=answers(Queue, "QUEUE_NOT_FOUND", "QUEUE_NOT_PAUSED"))
def resume_queue(name: str, house: TheHouse, admin: TheAdmin) -> dict[str, Any]:
    """Let a paused queue go on, in the order in which it would have gone. Needs X-Admin-Token."""
    _known(name)
    with house.ledger.write() as tx:
        queues.resume(tx, admin.id, name, admin.name)
        rings = [
            one
            for priority in Priority
            for one in ring.of_chunks(jobs.ring(tx, name, priority.step, house.settings.queue.ring_window), name, priority.step)
        ]
    house.doorbell.ring(rings)
    return _one(house, name)
