"""One row of the table of codes: its columns, and what they are where a row does not say."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Source(StrEnum):
    INPUT = "input"
    CONFIG = "config"
    NETWORK = "network"
    RESOURCE = "resource"
    SECURITY = "security"
    SYSTEM = "system"
    PROVIDER = "provider"


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class Stage(StrEnum):
    """Where on the straight line it happened."""

    AUTH = "auth"
    UPLOAD = "upload"
    SUBMIT = "submit"
    QUEUE = "queue"
    READ = "read"
    FEATURES = "features"
    SEARCH = "search"
    STORE = "store"
    DELIVER = "deliver"
    REQUEST = "request"
    START = "start"


class Recovery(StrEnum):
    """What gets over it."""

    RETRY = "retry"
    """The same again, after a moment, by itself."""
    WAIT = "wait"
    """The same again, but not before a time or an event that is told."""
    DEGRADE = "degrade"
    """Something else answers meanwhile, less well."""
    QUARANTINE = "quarantine"
    """What caused it is kept away from the rest."""
    ASK_USER = "ask_user"
    """Whoever asked has to change what they asked for."""
    PAGE_OPERATOR = "page_operator"
    """Whoever runs this server has to mend something."""


_RECOVERY = {
    Source.INPUT: Recovery.ASK_USER,
    Source.SECURITY: Recovery.ASK_USER,
    Source.RESOURCE: Recovery.ASK_USER,
    Source.NETWORK: Recovery.ASK_USER,
    Source.CONFIG: Recovery.PAGE_OPERATOR,
    Source.PROVIDER: Recovery.PAGE_OPERATOR,
    Source.SYSTEM: Recovery.PAGE_OPERATOR,
}
"""Of what is not worth asking again."""

_GRPC = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    409: "FAILED_PRECONDITION",
    410: "FAILED_PRECONDITION",
    413: "RESOURCE_EXHAUSTED",
    415: "INVALID_ARGUMENT",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
    507: "RESOURCE_EXHAUSTED",
}
GRPC_OF_CODE = {
    "IDEMPOTENCY_KEY_IN_FLIGHT": "ABORTED",  # ask again, the same
    "COMMIT_UNKNOWN": "UNKNOWN",  # never UNAVAILABLE: clients repeat that by themselves, and the job may be there
    "UNKNOWN": "UNKNOWN",
    # nor what asking again does not mend
    **dict.fromkeys(("CAD_KERNEL_MISSING", "NAME_UNRESOLVED", "TLS_FAILED", "UPSTREAM_REFUSED"), "FAILED_PRECONDITION"),
}
"""The codes whose gRPC status is not the one of their HTTP status."""


@dataclass(frozen=True, slots=True)
class Code:
    """One row: who caused it, how bad it is, where it happens, what it is called on the wire, what was wrong, what to do about it."""

    name: str
    source: Source
    severity: Severity
    stage: Stage
    status: int
    """Of HTTP."""
    retryable: bool
    """A program may send the same again, and that can succeed."""
    sentence: str
    remedy: str
    temporary: bool
    """The condition passes by itself, or by what others do: whoever asked need not change what they ask for."""
    recovery: Recovery
    version: int
    """Raised when the meaning of the code changes."""
    reserved: bool
    """Promised to a feature that is not there yet: nobody raises it."""

    @property
    def grpc(self) -> str:
        """The name of the gRPC status."""
        return GRPC_OF_CODE.get(self.name) or _GRPC[self.status]


def row(
    name: str, source: Source, severity: Severity, stage: Stage, status: int, retryable: bool, sentence: str, remedy: str, *,
    temporary: bool | None = None, recovery: Recovery | None = None, version: int = 1, reserved: bool = False,
) -> Code:  # fmt: skip
    """A row. What can be asked again is temporary, and asking again gets over it, unless the row says otherwise."""
    recovery = recovery or (Recovery.RETRY if retryable else _RECOVERY[source])
    temporary = retryable if temporary is None else temporary
    return Code(name, source, severity, stage, status, retryable, sentence, remedy, temporary, recovery, version, reserved)
