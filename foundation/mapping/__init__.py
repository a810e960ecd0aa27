"""Any exception to a `Failure`, by tables (`rules.py`, `numbered.py`): what is known of it decides, and nothing it says is passed on.

Its words may hold a password, a path or a customer's file name, so they are only ever compared. The context gets the name of its class
and its number.
"""

from __future__ import annotations

import asyncio
import errno
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from foundation.errors import Failure
from foundation.mapping import numbered, rules
from foundation.mapping.rules import Provider
from foundation.telemetry import ErrorMapped, emit

__all__ = ["Provider", "failure_of"]

UNKNOWN = "UNKNOWN"
_NO_FAILURES = (KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError)
_SILENT = frozenset({UNKNOWN, "INTERNAL"})
"""Codes whose reason says something about our code only, so that it stays in the log."""
_MOST_LINKS = 32
_MOST_WORDS = 2000
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_SQLSTATE = re.compile(r"[0-9A-Z]{5}")


@dataclass(frozen=True, slots=True)
class _Verdict:
    code: str
    link: BaseException
    """The exception of the chain that decided."""
    provider: Provider | None
    weak: bool = False
    """What it was made of may know better."""


def failure_of(error: BaseException, provider: str | None = None, **context: Any) -> Failure:
    """What an exception means when it comes from `provider`. A `Failure`, also one that was only wrapped, passes as it is.

    Whatever there is gets an answer, UNKNOWN at the least. What ends a process or a task (KeyboardInterrupt, SystemExit, a cancelled
    task) is no failure and is raised again. `context` is added to what is told.
    """
    if isinstance(error, Failure):
        return error
    if isinstance(error, _NO_FAILURES):
        raise error
    verdict = _judged(error, _provider(provider))
    if isinstance(verdict, Failure):
        return verdict
    emit(ErrorMapped(verdict.provider or "none", verdict.code, _names(error)[0]))
    return Failure(verdict.code, _facts(verdict) | context)


def _provider(name: str | None) -> Provider | None:
    return Provider(name) if name is not None and name in Provider.__members__.values() else None


def _judged(error: BaseException, provider: Provider | None) -> _Verdict | Failure:
    """The first link of the chain that is sure; else the first that has an idea."""
    best: _Verdict | None = None
    for link in _chain(error):
        if isinstance(link, Failure):
            return link
        provider = rules.PROVIDER_OF_MODULE.get(_names(link)[0].partition(".")[0], provider)
        verdict = _verdict(link, provider)
        if verdict is not None and not verdict.weak:
            return verdict
        best = best or verdict
    return best or _Verdict(UNKNOWN, error, provider)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception, what it was made of, and what that was made of, each once."""
    waiting, seen = [error], set[int]()
    while waiting and len(seen) < _MOST_LINKS:
        link = waiting.pop()
        if id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        wrapper = any(name in rules.WRAPPERS for name in _names(link))
        members = _told(link, "exceptions")
        within = [
            _told(link, "orig"),
            _told(link, "reason"),
            link.__cause__,
            # what was being handled when it was raised is something else, but for a class that is made to wrap (even where it hides that)
            link.__context__ if wrapper else None,
            *(members if isinstance(members, tuple) else ()),
        ]
        waiting += [one for one in reversed(within) if isinstance(one, BaseException)]


def _verdict(link: BaseException, provider: Provider | None) -> _Verdict | None:
    """What one exception means by itself; None: nobody knows."""
    names = _names(link)
    code, weak = _numbered(link, names), False
    if code is None:
        code = _worded(link, names)
    if code is None:
        code, weak = _classed(link, names, provider)
    if code is None:
        return None
    means = rules.MEANS.get(provider, {}) if provider else {}
    return _Verdict(means.get(code, code), link, provider, weak)


def _numbered(link: BaseException, names: list[str]) -> str | None:
    """By a number that means one thing whatever the class."""
    if _told(link, "connection_invalidated") is True:
        return "DATABASE_UNAVAILABLE"
    state = _sqlstate(link)
    for length in range(len(state), 0, -1):
        if state[:length] in numbered.SQLSTATE:
            return numbered.SQLSTATE[state[:length]]
    number = _told(link, "sqlite_errorcode")
    if isinstance(number, int) and number & 0xFF in numbered.SQLITE:
        return numbered.SQLITE[number & 0xFF]
    status = _status(link)
    if status:
        return numbered.HTTP.get(status) or numbered.HTTP[status // 100]
    if "socket.gaierror" in names:
        return numbered.ADDRESS_INFO.get(_errno(link), "CONNECTION_FAILED")
    if "grpc.RpcError" in names:
        return numbered.GRPC.get(_called(link), "UPSTREAM_REFUSED")
    return None


def _worded(link: BaseException, names: list[str]) -> str | None:
    for name in names:
        for pattern, code in rules.WORDS.get(name, ()):
            if pattern.match(_words(link)):
                return code
    return None


def _classed(link: BaseException, names: list[str], provider: Provider | None) -> tuple[str | None, bool]:
    """By its class: what libraries derived first, then the number of the operating system, then the classes of Python itself."""
    of_provider = rules.CLASSES_OF.get(provider, {}) if provider else {}
    built_in = next((at for at, name in enumerate(names) if name.startswith("builtins.")), len(names))
    for name in names[:built_in]:
        if name in rules.WRAPPERS:
            return rules.WRAPPERS[name], True
        if name in of_provider or name in rules.CLASSES:
            return of_provider.get(name) or rules.CLASSES[name], False
    if names[0].partition(".")[0] in rules.MODULES:
        return rules.MODULES[names[0].partition(".")[0]], False
    for name in names[built_in:]:
        if name == "builtins.OSError" and _errno(link) in numbered.ERRNO:
            return numbered.ERRNO[_errno(link)], False
        if name in of_provider:
            return of_provider[name], False
    for name in names[built_in:]:
        if name in rules.CLASSES:
            return rules.CLASSES[name], False
    return rules.DEFECTS.get(names[0]), True


def _facts(verdict: _Verdict) -> dict[str, Any]:
    """What is public of an exception: the name of its class and its number."""
    if verdict.code in _SILENT:
        return {}
    link, name = verdict.link, type(verdict.link).__name__
    facts: dict[str, Any] = {"reason": name if _NAME.fullmatch(name) else "Exception"}
    number = _errno(link)
    if "socket.gaierror" not in _names(link) and number in errno.errorcode and number in numbered.ERRNO:
        facts["errno"] = errno.errorcode[number]
    if _sqlstate(link):
        facts["sqlstate"] = _sqlstate(link)
    if _status(link):
        facts["status"] = _status(link)
        wait = _waits(link)
        facts |= {"retry_after_seconds": wait} if wait else {}
    return facts


def _names(link: BaseException) -> list[str]:
    """Its class and those it is derived from, nearest first, as text."""
    return [f"{kind.__module__}.{kind.__qualname__}" for kind in type(link).__mro__[:-1]]


def _told(link: object, name: str) -> Any:
    """An attribute of an exception. Exceptions of strangers may fail to tell."""
    try:
        return getattr(link, name, None)
    except Exception:  # noqa: BLE001 - what cannot be asked is not known
        return None


def _words(link: BaseException) -> str:
    try:
        return str(link)[:_MOST_WORDS]
    except Exception:  # noqa: BLE001 - the same
        return ""


def _errno(link: BaseException) -> int:
    number = _told(link, "errno") if isinstance(link, OSError) else None
    return number if isinstance(number, int) else 0


def _sqlstate(link: BaseException) -> str:
    state = _told(link, "sqlstate")
    return state if isinstance(state, str) and _SQLSTATE.fullmatch(state) else ""


def _status(link: BaseException) -> int:
    """Of the HTTP answer that it tells of; 0: it tells of none."""
    for holder, name in ((_told(link, "response"), "status_code"), (link, "status_code"), (link, "status"), (link, "code")):
        status = _told(holder, name)
        if type(status) is int and 300 <= status <= 599:
            return status
    return 0


def _called(link: BaseException) -> str:
    """The name of the status of a gRPC call that failed."""
    try:
        return str(link.code().name)  # type: ignore[attr-defined]
    except Exception:  # noqa: BLE001 - the same
        return ""


def _waits(link: BaseException) -> int:
    """Seconds of the Retry-After of an answer; 0: none, or not in seconds."""
    headers = _told(_told(link, "response"), "headers") or _told(link, "headers")
    ask = _told(headers, "get")
    try:
        told = ask("Retry-After") if callable(ask) else None
        return int(told) if isinstance(told, str) and told.isascii() and told.isdigit() and len(told) < 7 else 0
    except Exception:  # noqa: BLE001 - the same
        return 0
