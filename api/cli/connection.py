"""HTTP from the client's side: one request and its answer, errors as the API tells them, patience while it restarts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx2

from foundation.clock import SYSTEM, Clock
from foundation.errors import CODES, current
from foundation.resilience.policies import CLIENT_SECONDS
from foundation.resilience.protection import Registry, guard, protect

Json = dict[str, Any]
Answer = TypeVar("Answer")
_PASSING = frozenset({429, 502, 503, 504})


@dataclass(eq=False)
class ApiError(Exception):
    """The API refused, or could not be reached."""

    code: str
    message: str
    context: Json = field(default_factory=dict)
    remedy: str = ""
    status: int = 0
    passing: bool = False
    """Asking again may help."""

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class Connection:
    """To one API with one key. What needs the admin token as well is asked with it."""

    def __init__(self, url: str, key: str, clock: Clock = SYSTEM) -> None:
        self.clock, self.url = clock, url.rstrip("/")
        self.calls = Registry(clock)
        # trust_env off: a proxy variable of the shell must not catch calls to this machine's own stack
        self.http = httpx2.Client(
            base_url=self.url, headers={"X-API-Key": key} if key else {}, timeout=httpx2.Timeout(30.0, read=CLIENT_SECONDS), trust_env=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.http.close()

    def send(self, method: str, path: str, admin_token: str = "", **how: Any) -> httpx2.Response:
        """One request, sent once. Raises ApiError."""
        headers = {**how.pop("headers", {}), **_admin(admin_token)}
        try:
            with guard("client", registry=self.calls):
                response = self.http.request(method, path, headers=headers, **how)
        except (httpx2.TransportError, httpx2.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            # Nothing listening at all is a wrong address rather than a restart, so that is told at once.
            raise ApiError(
                "API_UNREACHABLE",
                f"No cadmill answers at {self.url}.",
                {"reason": reason},
                "Start one with `cadmill up`, or name its address with --url.",
                passing=not isinstance(error, httpx2.ConnectError),
            ) from error
        if response.is_success:
            return response
        raise _told(response)

    def ask(self, method: str, path: str, admin_token: str = "", **how: Any) -> Json:
        """The object of an answer, asked for once; empty when there is none."""
        response = self.send(method, path, admin_token, **how)
        return dict(response.json()) if response.content else {}

    def ask_patiently(self, method: str, path: str, admin_token: str = "", **how: Any) -> Json:
        """The same, only for what may be repeated."""
        return self.patiently(lambda: self.ask(method, path, admin_token, **how))

    def patiently(self, ask: Callable[[], Answer]) -> Answer:
        """Repeat while the API restarts or is too busy. Only for requests that may be repeated."""
        return protect("client", fault=_passes, registry=self.calls).run(ask)

    def pages(
        self, path: str, name: str, admin_token: str = "", wanted: Mapping[str, Any] | None = None, most: int | None = None
    ) -> Iterator[Json]:
        """Every entry of a list, or the first `most`."""
        left, cursor = most, ""
        while left is None or left > 0:
            query = {**(wanted or {}), "limit": min(left or 200, 200), **({"cursor": cursor} if cursor else {})}
            page = self.ask_patiently("GET", path, admin_token, params=query)
            rows = page[name][:left]
            yield from rows
            left = None if left is None else left - len(rows)
            cursor, before = page.get("next_cursor") or "", cursor
            if not cursor or cursor == before:
                return

    def stream(self, path: str, asked: Mapping[str, Any], admin_token: str = "") -> Iterator[bytes]:
        """An answer that may be long, as it comes."""
        call = guard("client", registry=self.calls)
        with call, self.http.stream("GET", path, params=asked, headers=_admin(admin_token)) as response:
            if not response.is_success:
                response.read()
                raise _told(response)
            yield from response.iter_bytes()


def _passes(error: Exception) -> bool:
    return isinstance(error, ApiError) and error.passing


def _told(response: httpx2.Response) -> ApiError:
    """The error as the API words it; by its status when something in between answered instead."""
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict) or "code" not in body:
        return ApiError(
            "API_UNREACHABLE",
            f"Something else than cadmill answered with status {response.status_code}.",
            {"url": str(response.url)},
            "Check the address given with --url.",
            response.status_code,
            response.status_code in _PASSING,
        )
    code, message = str(body["code"]), str(body.get("message") or body.get("title") or "")
    return ApiError(
        code,
        message,
        body.get("context") or {},
        str(body.get("remedy") or _remedy(code)),
        response.status_code,
        response.status_code in _PASSING,
    )


def _remedy(code: str) -> str:
    """What to do about a code; the server may be newer than this table."""
    row = CODES.get(current(code))
    return row.remedy if row else ""


def step_of(name: str) -> str:
    """An id as one step of a path, whatever was typed."""
    return quote(name, safe="")


def _admin(token: str) -> dict[str, str]:
    return {"X-Admin-Token": token} if token else {}
