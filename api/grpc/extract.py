"""Files in, features out, on one call: what was received while the last commit was made is the next job."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

from api.grpc import messages
from api.grpc.cadmill.v1 import cadmill_pb2 as pb
from api.grpc.call import Call
from api.grpc.watch import News
from api.uploads import LABELS_MAX, IncomingFile, Received
from foundation.clock import Clock
from foundation.errors import Failure
from ledger import job_views, parts
from ledger.parts import NewPart
from ledger.session import Tx
from tasks.recognition import claimed
from tasks.submit import accept, checked

DATA_MOST = 65_536
_WINDOW = 1000  # files of a call that were begun and not told of yet; more are not read from the wire until some are
_LOOK_SECONDS = 2.0  # at least so often results are looked for, and the key of the call


@dataclass(frozen=True, slots=True)
class _File:
    """A file of the call, by its number and name, on its way."""

    number: int
    name: str
    labels: dict[str, str]

    def answer(self, **told: Any) -> pb.ExtractResponse:
        return pb.ExtractResponse(file=self.number, name=self.name, **told)


async def extract(call: Call, requests: AsyncIterator[pb.ExtractRequest]) -> None:
    """Take files and send what becomes of each. Raises REQUEST_INVALID, STORAGE_FULL, and what `admit` and a submission raise."""
    run = _Run(call)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(run.take(requests))
            group.create_task(run.tell())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


class _Run:
    """One call: `take` reads files, `tell` makes jobs of them and answers. A file passes from one to the other when it is whole."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._options = pb.ExtractOptions()
        self._room = asyncio.Semaphore(_WINDOW)
        self._whole: list[tuple[_File, NewPart | dict[str, Any]]] = []  # received, or refused with its problem
        self._jobs: dict[str, dict[int, _File]] = {}  # by job, what has not ended: the file by the index of its item
        self._pending: dict[str, int] = {}
        self._no_more = False
        self._news = asyncio.Event()  # another whole file, or no more of them
        self._events = News(call.hub, call.tenant)

    # in

    async def take(self, requests: AsyncIterator[pb.ExtractRequest]) -> None:
        file: _File | None = None
        incoming: IncomingFile | None = None
        house, count, messages_seen = self._call.house, 0, 0
        try:
            async for request in requests:
                messages_seen += 1
                if request.HasField("options"):
                    self._choose(request.options, messages_seen)
                if request.name:
                    if file is not None:
                        raise _wrong("name", "begins a file, but the one before it was not ended by `last`")
                    name, labels = _named(request), _labels(request)
                    await self._room.acquire()
                    incoming = await self._call.apart(IncomingFile, name, house.files, house.settings.upload)
                    file = _File(count, incoming.name, labels)
                    count += 1
                if file is None or incoming is None:
                    if request.data or request.last:
                        raise _wrong("name", "is missing in the first message of a file")
                    continue
                if len(request.data) > DATA_MOST:
                    raise _wrong("data", f"is longer than {DATA_MOST} bytes")
                await self._call.apart(incoming.write, request.data)
                if request.last:
                    self._pass_on(file, await self._call.apart(_kept, file, incoming, house.clock))
                    file = incoming = None
            if file is not None:
                failure = Failure("UPLOAD_INVALID", {"reason": "the call ended before the message that says `last`"})
                self._pass_on(file, failure.public())
        finally:
            if incoming is not None:
                incoming.abandon()
        self._no_more = True
        self._news.set()

    def _choose(self, options: pb.ExtractOptions, messages_seen: int) -> None:
        if messages_seen > 1:
            raise _wrong("options", "belong in the first message of the call")
        self._options = options
        checked(self._call.house.settings, messages.extraction_request(options, ["part"]))  # better now than after the first file

    def _pass_on(self, file: _File, part: NewPart | dict[str, Any]) -> None:
        self._whole.append((file, part))
        self._news.set()

    # out

    async def tell(self) -> None:
        try:
            await self._events.listen()
            await self._tell()
        finally:
            self._events.close()

    async def _tell(self) -> None:
        while True:
            self._news.clear()
            if self._whole:
                await self._accept()
                self._events.renew()
            if await self._collect():
                self._events.renew()
            if not self._whole:
                if self._no_more and not self._jobs:
                    return
                await self._wait()
            await self._call.readmit()

    async def _accept(self) -> None:
        """Make one job of all files that are whole by now."""
        batch, self._whole = self._whole, []
        new = [(file, part) for file, part in batch if isinstance(part, NewPart)]
        if new:
            job_id = await self._call.apart(self._submit, new)
            self._jobs[job_id] = {index: file for index, (file, _) in enumerate(new)}
        for file, part in batch:
            if isinstance(part, NewPart):
                told = {"part_id": part.id, "job_id": job_id, "sha256": part.sha256, "format": part.format, "bytes": part.bytes}
                await self._call.send(file.answer(accepted=told))
            else:
                await self._end(file, file.answer(problem=messages.problem(part)))

    def _submit(self, new: list[tuple[_File, NewPart]]) -> str:
        """Parts and job in one commit."""
        house, tenant_id = self._call.house, self._call.tenant.id

        def tie(tx: Tx, _job_id: str) -> None:
            parts.add(tx, tenant_id, [part for _, part in new], {})
            for sha256 in {part.sha256 for _, part in new}:
                house.files.must_hold(sha256)  # they may have been swept since they were received

        request = messages.extraction_request(self._options, [part.id for _, part in new])
        return str(accept(house.ledger, house.doorbell, house.settings, tenant_id, request, tie)["id"])

    async def _collect(self) -> bool:
        """Send what has ended since. Answers whether anything had."""
        ended = await self._call.apart(self._ended) if self._jobs else []
        for job_id, view in ended:
            file = self._jobs[job_id].pop(view["index"])
            if view["state"] == "succeeded":
                await self._end(file, file.answer(features=messages.features(view["result"] or {})))
            else:
                await self._end(file, file.answer(problem=messages.problem(view["error"])))
            if not self._jobs[job_id]:
                del self._jobs[job_id], self._pending[job_id]
        return bool(ended)

    def _ended(self) -> list[tuple[str, dict[str, Any]]]:
        """Items that have ended and were not told of, with their jobs."""
        found = []
        with self._call.house.ledger.read() as tx:
            for job_id, files in self._jobs.items():
                pending = job_views.get(tx, self._call.tenant.id, job_id)["counts"]["pending"]
                if pending == self._pending.get(job_id, len(files)):
                    continue
                self._pending[job_id] = pending
                views = job_views.page_items(tx, job_id, _WINDOW, min(files) - 1, None)
                found += [(job_id, view) for view in views if view["index"] in files and view["state"] != "pending"]
        return found

    async def _end(self, file: _File, answer: pb.ExtractResponse) -> None:
        await self._call.send(answer)
        self._room.release()

    async def _wait(self) -> None:
        """Until there is another whole file, or perhaps a result."""
        waits: set[asyncio.Future[Any]] = {asyncio.ensure_future(self._news.wait())}
        if self._jobs:
            waits.add(asyncio.ensure_future(self._events.changed(self._jobs.keys())))
        try:
            await asyncio.wait(waits, timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()


def _kept(file: _File, incoming: IncomingFile, clock: Clock) -> NewPart | dict[str, Any]:
    """Make a whole file durable: a part to add, or the problem for which it was refused."""
    received = Received()
    incoming.end(received, clock)
    (answer,) = received.answers
    return replace(answer, labels=file.labels) if isinstance(answer, NewPart) else answer["error"]


def _named(request: pb.ExtractRequest) -> str:
    """The name of a file. A format that is told beside it becomes its ending, where it has none that claims one."""
    if request.format and claimed(f"x.{request.format}") is None:
        raise _wrong("format", "is none of dxf, stl, step, iges")
    return f"{request.name}.{request.format}" if request.format and claimed(request.name) is None else request.name


def _labels(request: pb.ExtractRequest) -> dict[str, str]:
    labels = dict(request.labels)
    if sum(len(name.encode()) + len(value.encode()) for name, value in labels.items()) > LABELS_MAX:
        raise _wrong("labels", f"are longer than {LABELS_MAX} bytes")
    return labels


def _wrong(field: str, sentence: str) -> Failure:
    return Failure("REQUEST_INVALID", {"fields": {field: sentence}})
