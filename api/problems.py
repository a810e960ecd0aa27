"""`Failure` to HTTP: one shape for every error, also valid RFC 9457."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.routing import compile_path
from starlette.types import Scope

from api.house import House
from api.pages import rendering
from api.versions import PREFIX, link
from foundation.clock import SYSTEM, iso
from foundation.errors import Failure
from foundation.telemetry import logger
from tasks.submit import told

_RETRY_AFTER = {"IDEMPOTENCY_KEY_IN_FLIGHT": "1", "DATABASE_UNAVAILABLE": "2", "COMMIT_UNKNOWN": "2", "STORAGE_FULL": "60"}
_OF_STATUS = {404: "ROUTE_NOT_FOUND", 405: "METHOD_NOT_ALLOWED", 413: "BODY_TOO_LARGE"}

SHAPE = {
    "type": "object",
    "required": ["type", "title", "status", "code", "stage", "message", "context", "timestamp"],
    "properties": {
        "type": {"type": "string"}, "title": {"type": "string"}, "status": {"type": "integer"}, "code": {"type": "string"},
        "stage": {"type": "string"}, "message": {"type": "string"}, "remedy": {"type": "string"}, "context": {"type": "object"},
        "timestamp": {"type": "string", "format": "date-time"},
    },
}  # fmt: skip


def problem(failure: Failure) -> dict[str, Any]:
    """The one error shape."""
    row = failure.row
    return {
        "type": f"urn:cadmill:error:{failure.code.lower()}",
        "title": row.sentence,
        "status": row.status,
        "code": failure.code,
        "stage": row.stage.value,
        "message": failure.message,
        "remedy": row.remedy.replace("/api/v1/", link("/")),
        "context": failure.context,
        "timestamp": iso(SYSTEM.now()),
    }


def retry_after(failure: Failure) -> str:
    """Seconds after which to ask again; empty: nobody knows."""
    return str(_RETRY_AFTER.get(failure.code) or failure.context.get("retry_after_seconds") or "")


def answer(failure: Failure, headers: Mapping[str, str] | None = None) -> JSONResponse:
    wait = retry_after(failure)
    told = dict(headers or {}) | ({"Retry-After": wait} if wait else {})
    return JSONResponse(problem(failure), failure.row.status, told, media_type="application/problem+json")


def answer_to(request: Request, failure: Failure, headers: Mapping[str, str] | None = None) -> Response:
    """The one shape, or for a person the page that says the same."""
    return rendering.failed(request, failure) if rendering.wants_page(request) else answer(failure, headers)


def route_of(scope: Scope) -> str:
    """The route that answers, in the version that was asked for; `none` where nothing answers."""
    route = getattr(scope.get("route"), "path", "none")
    return link(route) if scope["path"].startswith(PREFIX + "/") and route != "none" else route


def note(house: House, failure: Failure, asked: str) -> None:
    """Tell the audit trail of a refusal. Where it cannot be written, the caller is refused all the same."""
    try:
        house.refusals.note(failure, asked)
    except Failure as unwritten:
        logger.error("a refusal (%s) could not be written to the audit trail: %s", failure.code, unwritten)


def install(app: FastAPI) -> None:
    """Let every way of failing end in the one shape."""

    @app.exception_handler(Failure)
    def _failure(request: Request, failure: Failure) -> Response:
        note(request.app.state.house, failure, f"{request.method} {route_of(request.scope)}")
        return answer_to(request, failure)

    @app.exception_handler(RequestValidationError)
    def _invalid(request: Request, error: RequestValidationError) -> Response:
        return answer_to(request, Failure("REQUEST_INVALID", {"fields": told(error.errors())}))

    @app.exception_handler(HTTPException)
    def _http(request: Request, error: HTTPException) -> Response:
        if isinstance(error.__cause__, Failure):  # raised while the body was read, and wrapped by the framework
            return answer_to(request, error.__cause__)
        headers = {"Allow": ", ".join(_methods(app, request.scope["path"]))} if error.status_code == 405 else error.headers
        code = _OF_STATUS.get(error.status_code, "REQUEST_INVALID")
        return answer_to(request, Failure(code, {"status": error.status_code, "detail": str(error.detail)}), headers)


def _methods(app: FastAPI, path: str) -> list[str]:
    """What an address answers. The framework tells of the first route alone."""
    found = (route for route in iter_route_contexts(app.routes) if route.path and compile_path(route.path)[0].match(path))
    return sorted({method for route in found for method in route.methods or ()})
