"""Every method on one screen: its scope, and who answers it. The short ones are here."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from api import paging
from api.grpc import messages
from api.grpc.cadmill.v1 import cadmill_pb2 as pb
from api.grpc.call import Call
from api.grpc.extract import extract
from api.grpc.watch import watch
from api.policy import Scope
from foundation.errors import Failure
from ledger import changes, job_views, waiting
from tasks import ring
from tasks.submit import submit as submit_job

_PAGE, _MOST = 100, 1000


def submit(call: Call, request: pb.SubmitRequest) -> pb.Job:
    house, key = call.house, call.metadata.get("idempotency-key")
    asked = messages.job_request(request)
    return messages.job(submit_job(house.ledger, house.doorbell, house.settings, call.tenant.id, asked, key))


def get(call: Call, request: pb.GetRequest) -> pb.Job:
    with call.house.ledger.read() as tx:
        job = job_views.get(tx, call.tenant.id, request.id)
        return messages.job(job | {"waiting": waiting.why(tx, request.id)})


def list_jobs(call: Call, request: pb.ListRequest) -> pb.ListResponse:
    limit, state, kind = _limit(request.limit), messages.job_state(request.state), request.kind or None
    after = paging.decode(request.cursor or None)
    with call.house.ledger.read() as tx:
        found, cursor = paging.bite(job_views.page(tx, call.tenant.id, limit + 1, after, state, kind), limit)
    return pb.ListResponse(jobs=map(messages.job, found), next_cursor=cursor or "")


def items(call: Call, request: pb.ItemsRequest) -> pb.ItemsResponse:
    limit, state = _limit(request.limit), messages.item_state(request.state)
    after = paging.decode_number(request.cursor or None, -1)
    with call.house.ledger.read() as tx:
        job_views.get(tx, call.tenant.id, request.id)
        found, cursor = paging.bite(job_views.page_items(tx, request.id, limit + 1, after, state), limit, key="index")
    return pb.ItemsResponse(items=map(messages.item, found), next_cursor=cursor or "")


def cancel(call: Call, request: pb.CancelRequest) -> pb.Job:
    with call.house.ledger.write() as tx:
        settled = changes.cancel(tx, call.tenant.id, request.id)
        job = job_views.get(tx, call.tenant.id, request.id)
    call.house.doorbell.ring(ring.of_deliveries(settled.deliveries))
    return messages.job(job)


def _limit(asked: int) -> int:
    if asked > _MOST:
        raise Failure("REQUEST_INVALID", {"fields": {"limit": f"at most {_MOST}"}})
    return asked or _PAGE


@dataclass(frozen=True, slots=True)
class Short:
    """A call of one message that is answered by one. It may block: it has a thread while it runs."""

    scope: Scope
    answer: Callable[[Call, Any], Any]


@dataclass(frozen=True, slots=True)
class Stream:
    """A call that sends while it lasts, perhaps for hours: a coroutine, so that the number of threads does not bound it."""

    scope: Scope
    answer: Callable[[Call, Any], Coroutine[Any, Any, None]]


METHODS: dict[str, Short | Stream] = {
    "Submit": Short(Scope.SUBMIT, submit),
    "Get": Short(Scope.READ, get),
    "List": Short(Scope.READ, list_jobs),
    "Items": Short(Scope.READ, items),
    "Cancel": Short(Scope.SUBMIT, cancel),
    "Watch": Stream(Scope.READ, watch),
    "Extract": Stream(Scope.SUBMIT, extract),
}
