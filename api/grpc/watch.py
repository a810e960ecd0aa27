"""Watching jobs: the ledger says how a job is, and something says when to ask it again."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from api.grpc import messages
from api.grpc.cadmill.v1 import cadmill_pb2 as pb
from api.grpc.call import Call
from api.house import House
from ledger import job_views

_ENDED = frozenset({pb.JOB_STATE_SUCCEEDED, pb.JOB_STATE_PARTIAL, pb.JOB_STATE_FAILED, pb.JOB_STATE_CANCELLED})
_LONGEST = 0.5


class Patience:
    """How many seconds to wait for news before the ledger is asked all the same: few after news, more and more without."""

    def __init__(self) -> None:
        self._next = 0.0
        self.renew()

    def renew(self) -> None:
        self._next = 0.02

    def seconds(self) -> float:
        seconds, self._next = self._next, min(2 * self._next, _LONGEST)
        return seconds


async def changed(house: House, tenant_id: str, job_ids: Collection[str], seconds: float) -> None:
    """Return when something may have changed for one of these jobs, after so many seconds at the latest."""
    await asyncio.sleep(seconds)


async def watch(call: Call, request: pb.WatchRequest) -> None:
    """Send a job as it is, then each time it is different, until it has ended. Raises JOB_NOT_FOUND, and what `admit` raises."""

    def look() -> pb.Job:
        with call.house.ledger.read() as tx:
            return messages.job(job_views.get(tx, call.tenant.id, request.id))

    sent, patience = None, Patience()
    while True:
        job = await call.apart(look)
        if job != sent:
            await call.send(job)
            sent = job
            patience.renew()
        if job.state in _ENDED:
            return
        await changed(call.house, call.tenant.id, (request.id,), patience.seconds())
        await call.readmit()
