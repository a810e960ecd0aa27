"""What stands around every method: a request id, the policy, one way of failing, a measure of the answer."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn
from urllib.parse import unquote

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from api import limits
from api.grpc import messages, problems
from api.grpc.cadmill.v1 import cadmill_pb2 as pb
from api.grpc.call import Call, apart
from api.grpc.methods import METHODS, Short, Stream
from api.house import House
from api.live.hub import Hub
from api.policy import Credentials, admit
from api.problems import note, retry_after
from foundation import caller
from foundation.caller import Caller
from foundation.errors import Failure
from foundation.mapping import Provider, failure_of
from foundation.telemetry import CallAnswered, emit, logger
from ledger.tenants import Tenant

SERVICE = pb.DESCRIPTOR.services_by_name["Cadmill"]


class Door:
    """Turns the table of methods into what grpc serves. Messages are parsed here, so that a malformed one fails as all else does."""

    def __init__(self, house: House, hub: Hub) -> None:
        self._house, self._hub = house, hub
        self._running: set[asyncio.Task[Any]] = set()
        self._of_tenant: Counter[str] = Counter()
        self._stopping = False

    def handlers(self) -> Any:
        return grpc.method_handlers_generic_handler(SERVICE.full_name, {method.name: self._handler(method) for method in SERVICE.methods})

    def end_all(self) -> None:
        """End the calls that go on still. Their clients are told why."""
        self._stopping = True
        for task in self._running:
            task.cancel()

    def _handler(self, described: Any) -> Any:
        method, asks = METHODS[described.name], GetMessageClass(described.input_type)

        async def unary(raw: bytes, context: Any) -> Any:
            return await self._answer(described.name, method, messages.parse, (asks, raw), context)

        async def stream(raw: bytes | AsyncIterator[bytes], context: Any) -> None:
            given = (asks, raw)
            await self._answer(described.name, method, _parsed if described.client_streaming else messages.parse, given, context)

        serialize = GetMessageClass(described.output_type).SerializeToString
        if isinstance(method, Short):
            return grpc.unary_unary_rpc_method_handler(unary, response_serializer=serialize)
        if described.client_streaming:
            return grpc.stream_stream_rpc_method_handler(stream, response_serializer=serialize)
        return grpc.unary_stream_rpc_method_handler(stream, response_serializer=serialize)

    async def _answer(self, name: str, method: Short | Stream, parse: Any, given: Any, context: Any) -> Any:
        clock = self._house.clock
        started, request_id, status = clock.tick(), clock.new_id("req"), grpc.StatusCode.OK
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        with caller.asking(_address(context.peer()), request_id) as asker:
            context.set_trailing_metadata(_trailing(asker))
            try:
                return await self._admitted(method, parse, given, context, asker)
            except Failure as failure:
                status = problems.status(failure.code)
                await apart(note, self._house, failure, f"gRPC {name}")
                await _abort(context, failure, asker)
            except asyncio.CancelledError:
                if not self._stopping:  # the client has gone, or its deadline has passed: nobody listens
                    status = grpc.StatusCode.CANCELLED
                    raise
                status = problems.status("SERVER_STOPPING")
                await _abort(context, Failure("SERVER_STOPPING"), asker)
            except Exception as defect:  # noqa: BLE001 - the last resort: nothing internal may leave the house
                logger.exception("call %s of %s failed", request_id, name)
                told = failure_of(defect, Provider.API, request_id=request_id)
                status = problems.status(told.code)
                await _abort(context, told, asker)
            finally:
                self._running.discard(task)
                emit(CallAnswered(name, status.name, clock.tick() - started))

    async def _admitted(self, method: Short | Stream, parse: Any, given: Any, context: Any, asker: Caller) -> Any:
        metadata: dict[str, Any] = {}
        for key, value in context.invocation_metadata():
            metadata.setdefault(key, value)  # the first of a name counts
        credentials = Credentials(metadata.get("x-api-key"))
        tenant = await apart(admit, self._house, credentials, method.scope)
        context.set_trailing_metadata(_trailing(asker))
        with self._counted(tenant):
            call = Call(self._house, self._hub, credentials, method.scope, tenant, metadata, asker.request_id, context.write)
            if isinstance(method, Short):
                return await apart(method.answer, call, parse(*given))
            return await method.answer(call, parse(*given))

    @contextmanager
    def _counted(self, tenant: Tenant) -> Iterator[None]:
        """So that no tenant can take all the room there is. Raises CALLS_LIMIT."""
        most = self._house.settings.grpc.max_tenant_calls
        if self._of_tenant[tenant.id] >= most:
            raise Failure("CALLS_LIMIT", {"limit": most})
        self._of_tenant[tenant.id] += 1
        try:
            yield
        finally:
            self._of_tenant[tenant.id] -= 1
            if not self._of_tenant[tenant.id]:
                del self._of_tenant[tenant.id]


async def _parsed(asks: type[Message], stream: AsyncIterator[bytes]) -> AsyncIterator[Message]:
    async for raw in stream:
        yield messages.parse(asks, raw)


def _trailing(asker: Caller) -> tuple[tuple[str, str], ...]:
    """What HTTP tells in the headers of every answer."""
    told = [(name.decode(), value.decode()) for name, value in limits.headers(asker.limits)]
    told += [("x-next-rotation-hint", asker.rotation_hint)] if asker.rotation_hint else []
    return ("x-request-id", asker.request_id), *told


async def _abort(context: Any, failure: Failure, asker: Caller) -> NoReturn:
    wait = retry_after(failure)
    told = (*((("retry-after", wait),) if wait else ()), (problems.PROBLEM, problems.told(failure)))
    await context.abort(problems.status(failure.code), failure.message, (*_trailing(asker), *told))
    raise AssertionError("abort raises")


def _address(peer: str) -> str:
    """The host of a peer as grpc writes it: `ipv4:127.0.0.1:50412`, `ipv6:%5B::1%5D:50412`."""
    kind, _, rest = unquote(peer).partition(":")
    return rest.rpartition(":")[0].strip("[]") if kind in ("ipv4", "ipv6") else kind
