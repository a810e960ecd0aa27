"""What others number: errors of the operating system, of name servers, of SQL, of SQLite, of HTTP; each with the code it means here."""

from __future__ import annotations

import errno
import socket
import sqlite3
from collections.abc import Mapping


def _of(table: Mapping[str, str], namespace: object) -> dict[int, str]:
    """Numbers by their names; a name that this platform does not have is left out."""
    return {
        getattr(namespace, name): code for code, names in table.items() for name in names.split() if hasattr(namespace, name)
    }  # fmt: skip


ERRNO = _of(
    {
        "STORAGE_FULL": "ENOSPC EDQUOT EFBIG",
        "STORAGE_FAILED": "EIO EROFS EACCES EPERM ENOENT ENOTDIR EISDIR EEXIST ENOTEMPTY ELOOP ENAMETOOLONG EXDEV ESTALE ENODEV ENXIO "
        "EMLINK EOPNOTSUPP ENOTSUP EUCLEAN EREMOTEIO ENOMEDIUM EMEDIUMTYPE",
        # what the machine has again when somebody else lets go of it
        "RESOURCE_EXHAUSTED": "EMFILE ENFILE ENOMEM EAGAIN EWOULDBLOCK EBUSY ETXTBSY ENOBUFS ENOLCK EDEADLK EINTR EADDRNOTAVAIL EUSERS",
        "CONNECTION_FAILED": "ECONNREFUSED ECONNRESET ECONNABORTED EPIPE ENOTCONN ESHUTDOWN ENETDOWN ENETUNREACH ENETRESET EHOSTDOWN "
        "EHOSTUNREACH",
        "CONNECTION_TIMEOUT": "ETIMEDOUT ETIME",
        "PORT_TAKEN": "EADDRINUSE",
        "PROCESS_FAILED": "ESRCH ECHILD ENOEXEC",
        "INTERNAL": "EBADF EINVAL EFAULT ENOTSOCK EISCONN EDOM ERANGE ENOSYS EDESTADDRREQ EAFNOSUPPORT EPROTONOSUPPORT ENOTTY ESPIPE E2BIG",
    },
    errno,
)

# a name server that is away comes back; a name that is not there is not there tomorrow
ADDRESS_INFO = _of(
    {
        "CONNECTION_FAILED": "EAI_AGAIN EAI_SYSTEM",
        "RESOURCE_EXHAUSTED": "EAI_MEMORY",
        "NAME_UNRESOLVED": "EAI_NONAME EAI_NODATA EAI_FAIL EAI_ADDRFAMILY",
        "INTERNAL": "EAI_FAMILY EAI_SERVICE EAI_SOCKTYPE EAI_BADFLAGS EAI_OVERFLOW",
    },
    socket,
)

SQLSTATE = {
    "08": "DATABASE_UNAVAILABLE",  # no connection
    "0": "DATABASE_REFUSED",
    "2": "DATABASE_REFUSED",  # data, cursors, transactions in a wrong state, passwords
    "23": "DATA_CONFLICT",
    "25006": "DATABASE_UNAVAILABLE",  # a stand-by: the one that may be written is elsewhere for a moment
    "25P03": "DATABASE_UNAVAILABLE",  # idle for too long within a transaction
    "3": "DATABASE_REFUSED",
    "40": "DATABASE_UNAVAILABLE",  # deadlock, serialisation
    "40002": "DATA_CONFLICT",
    "4": "DATABASE_REFUSED",
    "53": "DATABASE_UNAVAILABLE",  # memory, connections
    "53100": "STORAGE_FULL",
    "54": "DATABASE_REFUSED",
    "55": "DATABASE_REFUSED",
    "55006": "DATABASE_UNAVAILABLE",  # in use
    "55P03": "DATABASE_UNAVAILABLE",  # a lock that was not to be had in time
    "57": "DATABASE_UNAVAILABLE",  # cancelled, stopped, not yet started
    "57P04": "DATABASE_REFUSED",  # dropped
    "58": "DATABASE_REFUSED",
    "58030": "DATABASE_DAMAGED",  # the disk of the server
    "72": "DATABASE_UNAVAILABLE",
    "F": "DATABASE_REFUSED",
    "H": "DATABASE_REFUSED",
    "P": "DATABASE_REFUSED",  # among them the guards of the ledger
    "XX": "DATABASE_REFUSED",
    "XX001": "DATABASE_DAMAGED",
    "XX002": "DATABASE_DAMAGED",
}
"""By the longest beginning that is listed."""

SQLITE = _of(
    {
        "DATABASE_UNAVAILABLE": "SQLITE_BUSY SQLITE_LOCKED SQLITE_INTERRUPT SQLITE_PROTOCOL SQLITE_SCHEMA SQLITE_CANTOPEN",
        "DATABASE_REFUSED": "SQLITE_ERROR SQLITE_INTERNAL SQLITE_PERM SQLITE_ABORT SQLITE_READONLY SQLITE_TOOBIG SQLITE_MISMATCH "
        "SQLITE_MISUSE SQLITE_AUTH SQLITE_RANGE SQLITE_EMPTY SQLITE_NOTFOUND SQLITE_NOLFS SQLITE_FORMAT",
        "DATABASE_DAMAGED": "SQLITE_CORRUPT SQLITE_NOTADB",
        "DATA_CONFLICT": "SQLITE_CONSTRAINT",
        "RESOURCE_EXHAUSTED": "SQLITE_NOMEM",
        "STORAGE_FAILED": "SQLITE_IOERR",
        "STORAGE_FULL": "SQLITE_FULL",
    },
    sqlite3,
)
"""By the primary code, which is the low byte."""

HTTP = {408: "READ_TIMEOUT", 425: "UPSTREAM_FAILED", 429: "UPSTREAM_RATE_LIMIT", 501: "UPSTREAM_REFUSED", 504: "READ_TIMEOUT",
        505: "UPSTREAM_REFUSED", 507: "UPSTREAM_REFUSED", 4: "UPSTREAM_REFUSED", 5: "UPSTREAM_FAILED", 3: "UPSTREAM_REFUSED"}  # fmt: skip
"""By the status, or else its first digit."""

GRPC = {
    "UNAVAILABLE": "CONNECTION_FAILED",
    "DEADLINE_EXCEEDED": "READ_TIMEOUT",
    "RESOURCE_EXHAUSTED": "UPSTREAM_RATE_LIMIT",
    "ABORTED": "UPSTREAM_FAILED",
    "INTERNAL": "UPSTREAM_FAILED",
    "UNKNOWN": "UPSTREAM_FAILED",
    "DATA_LOSS": "UPSTREAM_FAILED",
}
"""By the name of the status; all others refuse."""
