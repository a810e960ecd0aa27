"""The versions of the API: one table, and which of them a call asks for.

Routes are written once, without a version. A call names its version in the path (`/api/v2/jobs`) or, at `/api/jobs`, in the header
`X-API-Version`; without either it gets the current one. `api.envelope` then answers as that version does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from enum import StrEnum
from typing import Any, Literal

from foundation.errors import Failure

PREFIX = "/api"
HEADER = "X-API-Version"
TABLE_ADDRESS = f"{PREFIX}/versions"

_PATH = re.compile(rf"{PREFIX}/(v[0-9]{{1,9}})(?=/|$)")


class Status(StrEnum):
    CURRENT = "current"  # what a call gets that names none; exactly one
    SUPPORTED = "supported"
    DEPRECATED = "deprecated"  # works, and says until when
    SUNSET = "sunset"  # answers VERSION_SUNSET


class Feature(StrEnum):
    """What a version does that another does not. Whoever needs to know asks `asked().version.has(...)`."""

    ENVELOPE = "envelope"  # answers are {"data", "meta", "errors"}; bare bodies otherwise


@dataclass(frozen=True, slots=True)
class Version:
    name: str
    status: Status
    features: frozenset[Feature] = frozenset()
    deprecated_at: datetime | None = None
    sunset_at: datetime | None = None

    def has(self, feature: Feature) -> bool:
        return feature in self.features


VERSIONS: tuple[Version, ...] = (Version("v1", Status.SUPPORTED), Version("v2", Status.CURRENT, frozenset({Feature.ENVELOPE})))


class Table:
    """The versions by name, in the order in which they came. Raises ValueError for a table that contradicts itself."""

    def __init__(self, versions: Sequence[Version] = VERSIONS) -> None:
        self._versions = {version.name: version for version in versions}
        currents = [version for version in versions if version.status is Status.CURRENT]
        if len(currents) != 1:
            raise ValueError(f"exactly one version is current, not {len(currents)}")
        for version in versions:
            if version.status in (Status.DEPRECATED, Status.SUNSET) and (version.deprecated_at is None or version.sunset_at is None):
                raise ValueError(f"{version.name} is {version.status}: say since when, and when it ends")
        self.current = currents[0]

    def __iter__(self) -> Iterator[Version]:
        return iter(self._versions.values())

    def named(self, name: str) -> Version:
        """Raises VERSION_UNKNOWN."""
        found = self._versions.get(name)
        if found is None:
            raise Failure("VERSION_UNKNOWN", {"version": name[:32], "versions": list(self._versions)})
        return found

    def choose(self, path: str, header: str | None) -> tuple[Version, str]:
        """The version that a call under `PREFIX` asks for, and its path without it.

        Raises VERSION_UNKNOWN, VERSION_CONTRADICTED, VERSION_SUNSET."""
        match = _PATH.match(path)
        by_path = self.named(match[1]) if match else None
        by_header = None if header is None else self.named(_spelled(header))
        if by_path and by_header and by_path is not by_header:
            raise Failure("VERSION_CONTRADICTED", {"path": by_path.name, "header": by_header.name})
        version = by_path or by_header or self.current
        if version.status is Status.SUNSET:
            raise Failure("VERSION_SUNSET", {"version": version.name, "current": self.current.name})
        return version, unversioned(path)

    def headers(self, version: Version, path: str) -> list[tuple[str, str]]:
        """What an answer of a version tells about it. `path` is without version, as `choose` answers it."""
        told = [(HEADER, version.name)]
        links = []
        if version.deprecated_at is not None:
            told.append(("Deprecation", f"@{int(version.deprecated_at.timestamp())}"))  # RFC 9745: a structured date
            links.append(f'<{TABLE_ADDRESS}>; rel="deprecation"; type="application/json"')
        if version.sunset_at is not None:
            told.append(("Sunset", format_datetime(version.sunset_at, usegmt=True)))  # RFC 8594: an HTTP date
            links.append(f'<{TABLE_ADDRESS}>; rel="sunset"; type="application/json"')
        if links and version is not self.current:
            links.append(f'<{address(self.current, path)}>; rel="successor-version"')
        return [*told, ("Link", ", ".join(links))] if links else told

    def view(self) -> dict[str, Any]:
        """The table as clients see it."""
        return {
            "current": self.current.name,
            "versions": [
                {
                    "name": version.name,
                    "status": version.status.value,
                    "address": f"{PREFIX}/{version.name}",
                    "features": sorted(version.features),
                    "deprecated_at": version.deprecated_at and version.deprecated_at.isoformat(),
                    "sunset_at": version.sunset_at and version.sunset_at.isoformat(),
                }
                for version in self
            ],
        }


def unversioned(path: str) -> str:
    """A path under `PREFIX` as routes know it: without version, and without a slash at its end."""
    match = _PATH.match(path)
    rest = PREFIX + (path[match.end() :] if match else path.removeprefix(PREFIX))
    return rest.removesuffix("/") if rest.count("/") > 1 else rest


def _spelled(header: str) -> str:
    """ "2" and "v2" are the same."""
    text = header.strip().lower()
    return text if text.startswith("v") else f"v{text}"


def address(version: Version, path: str) -> str:
    """Where a path that has no version (`/api/jobs`) is in a version: without what only a client knows, such as its query."""
    return f"{PREFIX}/{version.name}{path.removeprefix(PREFIX)}"


@dataclass(slots=True)
class Asked:
    """One call: its version, and what is said of its answer beside the answer. Threads that work for the call see the same object."""

    version: Version
    next_cursor: str | Literal[False] | None = False  # False: the answer is no page


_asked: ContextVar[Asked | None] = ContextVar("asked", default=None)


def asked() -> Asked:
    """The call that is being answered; outside of calls one of the current version."""
    return _asked.get() or Asked(Table().current)


@contextmanager
def asking(version: Version) -> Iterator[Asked]:
    call = Asked(version)
    token = _asked.set(call)
    try:
        yield call
    finally:
        _asked.reset(token)


def link(path: str) -> str:
    """The address of something of ours (`/jobs/job_1`) in the version that was asked for."""
    return f"{PREFIX}/{asked().version.name}{path}"


def headed(headers: Mapping[bytes, bytes] | Sequence[tuple[bytes, bytes]]) -> str | None:
    """What the header says, if it is there."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return next((value.decode("latin-1") for name, value in pairs if name == HEADER.lower().encode()), None)
