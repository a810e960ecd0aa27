"""`Failure` to gRPC: a status, the sentence, and the problem of HTTP as trailing metadata, so that every door tells the same code."""

from __future__ import annotations

import json

import grpc

from api.problems import problem
from foundation.errors import CODES, Failure

PROBLEM = "cadmill-problem-bin"
_MOST_BYTES = 4096  # clients take about 8 kB of metadata in all, and this grows by a third on the way


def status(code: str) -> grpc.StatusCode:
    """The gRPC status that a code wears."""
    return grpc.StatusCode[CODES[code].grpc]


def told(failure: Failure) -> bytes:
    """The problem as JSON, in the shape of HTTP. A context that is too long for metadata is left out, and that is said."""
    whole = problem(failure)
    text = json.dumps(whole).encode()
    if len(text) > _MOST_BYTES:
        text = json.dumps(whole | {"context": {"left_out": f"{len(text)} bytes"}}).encode()
    return text
