"""The short way through the framework for the route of submissions, which programs ask in a row.

FastAPI documents the route as it does every other, and still answers whatever is not plainly right: a body that cannot be read or does
not fit, another kind of content. What is right is decoded by msgspec, and the caller is admitted and answered in one hop to a thread,
where the framework makes one for each dependency: a tenth of the CPU time of a submission (DECISIONS 86).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool

from api.auth import tenant_of

Handler = Callable[[Request], Awaitable[Response]]


class Submission(APIRoute):
    """A route of the form `(request: a model, house: TheHouse, tenant: TheTenant, idempotency_key: a header) -> Response`."""

    def get_route_handler(self) -> Any:
        """Wraps the framework's own handler."""
        usual: Handler = super().get_route_handler()
        endpoint, model = self.endpoint, _body_of(self)

        async def answer(request: Request) -> Response:
            asked = _decoded(model, request.headers.get("content-type", ""), await request.body())
            return await (usual(request) if asked is None else run_in_threadpool(_answered, endpoint, request, asked))

        return answer


def _body_of(route: APIRoute) -> type[BaseModel]:
    model = route.body_field.field_info.annotation if route.body_field else None
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise TypeError(f"{route.name} has no body of one model")
    return model


def _decoded(model: type[BaseModel], content_type: str, body: bytes) -> BaseModel | None:
    """None: the framework shall say what is wrong with it."""
    if content_type.partition(";")[0].strip().lower() != "application/json":
        return None
    try:
        return model.model_validate(msgspec.json.decode(body))
    except (msgspec.DecodeError, ValidationError, UnicodeDecodeError, RecursionError):
        return None


def _answered(endpoint: Callable[..., Response], request: Request, asked: BaseModel) -> Response:
    house = request.app.state.house
    tenant = tenant_of(request, house, request.headers.get("x-api-key"))
    return endpoint(request=asked, house=house, tenant=tenant, idempotency_key=request.headers.get("idempotency-key"))
