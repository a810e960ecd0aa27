"""`Failure` to gRPC: a status, the sentence, and the problem of HTTP as trailing metadata, so that every door tells the same code."""

from __future__ import annotations

import json

import grpc

from api.problems import problem
from foundation.errors import CODES, Failure

PROBLEM = "cadmill-problem-bin"
_MOST_BYTES = 4096  # clients take about 8 kB of metadata in all, and this grows by a third on the way

_OF_HTTP = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    405: grpc.StatusCode.UNIMPLEMENTED,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    409: grpc.StatusCode.FAILED_PRECONDITION,
    410: grpc.StatusCode.FAILED_PRECONDITION,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    415: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    502: grpc.StatusCode.UNAVAILABLE,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
    507: grpc.StatusCode.RESOURCE_EXHAUSTED,
}
_OF_CODE = {
    "IDEMPOTENCY_KEY_IN_FLIGHT": grpc.StatusCode.ABORTED,  # ask again, the same
    "COMMIT_UNKNOWN": grpc.StatusCode.UNKNOWN,  # never UNAVAILABLE: clients repeat that by themselves, and the job may be there
}


def status(code: str) -> grpc.StatusCode:
    """The gRPC status that a code wears: its own where it has one, else what its HTTP status is called here."""
    return _OF_CODE.get(code) or _OF_HTTP[CODES[code].status]


def told(failure: Failure) -> bytes:
    """The problem as JSON, in the shape of HTTP. A context that is too long for metadata is left out, and that is said."""
    whole = problem(failure)
    text = json.dumps(whole).encode()
    if len(text) > _MOST_BYTES:
        text = json.dumps(whole | {"context": {"left_out": f"{len(text)} bytes"}}).encode()
    return text
