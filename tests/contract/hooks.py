"""What Schemathesis loads: every second call names something that is there, and a failure must be one that its operation documents."""

from __future__ import annotations

import json
import os
import re
import zlib
from typing import Any

import schemathesis

_REAL: dict[str, list[str]] = json.loads(os.environ["CONTRACT_IDS"])
_OWN = frozenset(_REAL.pop("own"))  # the key and the tenant that ask: who revokes or starves them tests nothing any more
_ID = re.compile(r"(^|_)[0-9a-hjkmnp-tv-z]{26}$")  # foundation/clock.py: Clock.new_id
_ANYWHERE = {"ROUTE_NOT_FOUND", "METHOD_NOT_ALLOWED"}  # the address that was made up is another one, or none


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    for values in (case.path_parameters, case.query):
        for name, made_up in (values or {}).items():
            number = zlib.crc32(repr(made_up).encode("utf-8", "surrogatepass"))  # the same call is the same again
            given = _ID.search(str(made_up)) is not None  # by an answer before: a story that is told must stay about the same thing
            if name in _REAL and (str(made_up) in _OWN or (number % 2 and not given)):
                values[name] = _REAL[name][number // 2 % len(_REAL[name])]


@schemathesis.check
def failures_are_documented(_context: Any, response: Any, case: Any) -> None:
    """Each code stands in the document, under its status."""
    if response.status_code < 400 or "json" not in str(response.headers.get("content-type")):
        return
    told = json.loads(response.content)
    for problem in told.get("errors", [told]):
        code = problem.get("code")
        if code is None or code in _ANYWHERE:
            continue
        documented = case.operation.definition.raw["responses"].get(str(response.status_code), {}).get("description", "")
        assert code in documented, f"{code} ({response.status_code}) is not documented for {case.operation.label}"
