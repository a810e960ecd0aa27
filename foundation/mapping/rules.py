"""What exceptions mean, as tables: by the full name of their class, by their words, and by whom they come from.

Classes are named as text, because foundation imports none of the libraries that raise them. A class stands for those derived from it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum


class Provider(StrEnum):
    """Who failed, as far as the caller knows."""

    DATABASE = "database"
    BROKER = "broker"
    RECEIVER = "receiver"
    """Of webhooks."""
    INDEX = "index"
    STORAGE = "storage"
    READER = "reader"
    """Code that reads files of users, and the libraries it reads them with."""
    SANDBOX = "sandbox"
    """The process that reads files, seen from outside."""
    ENGINE = "engine"
    """A handler of jobs."""
    API = "api"
    """A route."""


def _named(table: Mapping[str, str]) -> dict[str, str]:
    """Classes by name, from classes by code."""
    return {name: code for code, names in table.items() for name in names.split()}


PROVIDER_OF_MODULE = {
    "sqlalchemy": Provider.DATABASE, "psycopg": Provider.DATABASE, "psycopg_pool": Provider.DATABASE, "sqlite3": Provider.DATABASE,
    "redis": Provider.BROKER, "kombu": Provider.BROKER, "amqp": Provider.BROKER,
    "ezdxf": Provider.READER, "OCP": Provider.READER, "faiss": Provider.INDEX,
}  # fmt: skip
"""What a class tells of who failed, better than any caller knows."""

CLASSES = _named(
    {
        # the database; what has a number there is judged by that
        "DATABASE_UNAVAILABLE": "psycopg.OperationalError psycopg.InterfaceError psycopg_pool.PoolTimeout sqlalchemy.exc.TimeoutError "
        "sqlalchemy.exc.DisconnectionError",
        "DATABASE_REFUSED": "psycopg.Error sqlite3.Error sqlalchemy.exc.NoSuchModuleError",
        # Redis, and what Celery speaks with it by
        "BROKER_UNAVAILABLE": "redis.exceptions.BusyLoadingError redis.exceptions.MaxConnectionsError redis.exceptions.ReadOnlyError "
        "redis.exceptions.NoScriptError redis.exceptions.ClusterError redis.exceptions.TryAgainError redis.exceptions.WatchError "
        "redis.exceptions.InvalidResponse redis.exceptions.RedisClusterException redis.exceptions.LockError "
        "kombu.exceptions.LimitExceeded amqp.exceptions.AMQPError redis.sentinel.MasterNotFoundError redis.sentinel.SlaveNotFoundError",
        "BROKER_FULL": "redis.exceptions.OutOfMemoryError",
        "BROKER_REFUSED": "redis.exceptions.RedisError redis.exceptions.AuthenticationError redis.exceptions.AuthorizationError "
        "kombu.exceptions.VersionMismatch amqp.exceptions.AccessRefused amqp.exceptions.NotAllowed",
        # calls
        "CONNECTION_TIMEOUT": "httpx2.ConnectTimeout httpx2.PoolTimeout httpcore2.ConnectTimeout httpcore2.PoolTimeout "
        "requests.exceptions.ConnectTimeout urllib3.exceptions.ConnectTimeoutError",
        "READ_TIMEOUT": "builtins.TimeoutError httpx2.TimeoutException httpcore2.TimeoutException requests.exceptions.Timeout "
        "urllib3.exceptions.TimeoutError concurrent.futures._base.TimeoutError celery.exceptions.TimeoutError "
        "multiprocessing.context.TimeoutError queue.Empty _queue.Empty",
        "CONNECTION_FAILED": "builtins.ConnectionError ssl.SSLEOFError ssl.SSLZeroReturnError ssl.SSLSyscallError "
        "http.client.NotConnected websockets.exceptions.ConnectionClosed",
        "TLS_FAILED": "ssl.SSLError ssl.CertificateError",
        "UPSTREAM_FAILED": "http.client.HTTPException httpx2.RemoteProtocolError httpx2.DecodingError httpcore2.RemoteProtocolError "
        "urllib3.exceptions.HTTPError requests.exceptions.ChunkedEncodingError requests.exceptions.ContentDecodingError "
        "websockets.exceptions.ProtocolError websockets.exceptions.InvalidMessage",
        "UPSTREAM_REFUSED": "http.client.InvalidURL httpx2.InvalidURL httpx2.UnsupportedProtocol httpx2.TooManyRedirects "
        "requests.exceptions.InvalidURL requests.exceptions.MissingSchema requests.exceptions.InvalidSchema "
        "requests.exceptions.TooManyRedirects urllib3.exceptions.LocationValueError websockets.exceptions.InvalidHandshake "
        "websockets.exceptions.InvalidURI",
        # files and data
        "STORAGE_FAILED": "builtins.PermissionError builtins.FileNotFoundError builtins.FileExistsError builtins.IsADirectoryError "
        "builtins.NotADirectoryError shutil.Error",
        "ARCHIVE_CORRUPT": "zipfile.BadZipFile zipfile.LargeZipFile tarfile.TarError gzip.BadGzipFile lzma.LZMAError _lzma.LZMAError",
        "DATA_INVALID": "builtins.UnicodeError builtins.EOFError json.decoder.JSONDecodeError struct.error zlib.error binascii.Error "
        "_pickle.UnpicklingError pickle.UnpicklingError xml.etree.ElementTree.ParseError xml.parsers.expat.ExpatError _csv.Error "
        "configparser.Error tomllib.TOMLDecodeError pydantic_core._pydantic_core.ValidationError msgspec.DecodeError "
        "google.protobuf.message.DecodeError "
        "kombu.exceptions.DecodeError kombu.exceptions.ContentDisallowed cryptography.exceptions.InvalidSignature "
        "email.errors.MessageError",
        "SECRET_MISMATCH": "cryptography.exceptions.InvalidTag",
        "FILE_CORRUPT": "ezdxf.lldxf.const.DXFError",
        "FORMAT_UNSUPPORTED": "ezdxf.lldxf.const.DXFVersionError ezdxf.lldxf.const.DXFUnsupportedFeature",
        "ENCODING_UNSUPPORTED": "ezdxf.lldxf.const.DXFEncodingError ezdxf.lldxf.const.DXFDecodingError",
        "GEOMETRY_INVALID": "numpy.linalg.LinAlgError",
        # the machine and its processes
        "MEMORY_ERROR": "builtins.MemoryError OCP.OCP.Standard.Standard_OutOfMemory",
        "RESOURCE_EXHAUSTED": "builtins.BlockingIOError builtins.InterruptedError queue.Full asyncio.queues.QueueFull",
        "ENGINE_CRASH": "billiard.exceptions.WorkerLostError concurrent.futures.process.BrokenProcessPool billiard.exceptions.Terminated",
        "ENGINE_TIMEOUT": "billiard.exceptions.SoftTimeLimitExceeded billiard.exceptions.TimeLimitExceeded subprocess.TimeoutExpired",
        "PROCESS_FAILED": "builtins.ProcessLookupError builtins.ChildProcessError subprocess.CalledProcessError subprocess.SubprocessError",
        "INTERNAL": "sqlalchemy.exc.SQLAlchemyError httpx2.LocalProtocolError httpx2.StreamError io.UnsupportedOperation "
        "_pickle.PicklingError pickle.PicklingError kombu.exceptions.KombuError celery.exceptions.CeleryError "
        "multiprocessing.context.ProcessError concurrent.futures._base.Error asyncio.exceptions.InvalidStateError builtins.RecursionError "
        "numpy.exceptions.AxisError",
    }
)

WRAPPERS = _named(
    {
        "DATABASE_UNAVAILABLE": "sqlalchemy.exc.OperationalError sqlalchemy.exc.InterfaceError",
        "DATA_CONFLICT": "sqlalchemy.exc.IntegrityError",
        "DATABASE_REFUSED": "sqlalchemy.exc.DBAPIError",
        "BROKER_UNAVAILABLE": "redis.exceptions.ConnectionError redis.exceptions.TimeoutError kombu.exceptions.OperationalError",
        "CONNECTION_FAILED": "httpx2.NetworkError httpx2.ProxyError httpcore2.NetworkError httpcore2.ProxyError urllib.error.URLError "
        "requests.exceptions.ConnectionError urllib3.exceptions.MaxRetryError urllib3.exceptions.ProtocolError "
        "urllib3.exceptions.NewConnectionError urllib3.exceptions.ProxyError urllib3.exceptions.SSLError",
        "UPSTREAM_FAILED": "httpx2.TransportError httpcore2.ProtocolError requests.exceptions.RequestException",
        "INTERNAL": "sqlalchemy.exc.StatementError",
    }
)
"""Classes that tell less than what they were made of, with what they mean where that is not known."""

DEFECTS = _named(
    {
        "INTERNAL": "builtins.ArithmeticError builtins.AssertionError builtins.AttributeError builtins.BufferError "
        "builtins.FloatingPointError builtins.ImportError builtins.IndexError builtins.KeyError builtins.LookupError "
        "builtins.ModuleNotFoundError builtins.NameError builtins.NotImplementedError builtins.OverflowError builtins.RuntimeError "
        "builtins.StopAsyncIteration builtins.StopIteration builtins.SyntaxError builtins.IndentationError builtins.TabError "
        "builtins.SystemError builtins.TypeError builtins.UnboundLocalError builtins.ValueError builtins.ZeroDivisionError"
    }
)
"""What a program raises when it is wrong. These classes alone: what libraries derive from them may mean anything."""

MODULES = {"OCP": "GEOMETRY_INVALID"}
"""Whose classes have no common ancestor."""

WORDS: dict[str, tuple[tuple[re.Pattern[str], str], ...]] = {
    "redis.exceptions.ResponseError": (
        (re.compile(r"(?:LOADING|BUSY|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|NOREPLICAS|NOSCRIPT)\b"), "BROKER_UNAVAILABLE"),
        (re.compile(r"OOM\b|MISCONF\b"), "BROKER_FULL"),
        (re.compile(r"EXECABORT.*\bOOM\b"), "BROKER_FULL"),
    ),
    "psycopg.OperationalError": (  # refused before there was a session that could have told an SQLSTATE
        (re.compile(r".*(?:authentication failed|no password supplied|no pg_hba\.conf entry|does not exist|not permitted to log in"
                    r"|SSL was required|certificate verify failed)", re.DOTALL), "DATABASE_REFUSED"),
    ),
    "builtins.RuntimeError": (
        (re.compile(r".*(?:is encrypted, password required|Bad password for file)", re.DOTALL), "ARCHIVE_ENCRYPTED"),
        (re.compile(r"can't start new thread"), "RESOURCE_EXHAUSTED"),
        (re.compile(r"cannot schedule new futures after"), "SERVER_STOPPING"),
        (re.compile(r".*bad_alloc", re.DOTALL), "MEMORY_ERROR"),
        (re.compile(r"Error in .*\bfaiss\b", re.DOTALL), "INDEX_FAILED"),
    ),
    "builtins.OSError": ((re.compile(r"Invalid data stream"), "ARCHIVE_CORRUPT"),),  # bz2
    "builtins.NotImplementedError": ((re.compile(r"(?:That )?compression (?:method|type)"), "ARCHIVE_CORRUPT"),),
}  # fmt: skip
"""Classes that mean this or that, by how their words begin."""

_AWAY = "CONNECTION_FAILED CONNECTION_TIMEOUT READ_TIMEOUT NAME_UNRESOLVED UPSTREAM_FAILED UPSTREAM_RATE_LIMIT"

CLASSES_OF: dict[Provider, dict[str, str]] = {
    Provider.STORAGE: _named({"FILE_MISSING": "builtins.FileNotFoundError"}),
    Provider.SANDBOX: _named({"FILE_MISSING": "builtins.FileNotFoundError", "ENGINE_CRASH": "builtins.EOFError"}),
    Provider.READER: _named(
        {
            "FILE_MISSING": "builtins.FileNotFoundError",
            "ENCODING_UNSUPPORTED": "builtins.UnicodeDecodeError",
            "GEOMETRY_INVALID": "builtins.ArithmeticError",
            "CAD_LIMIT": "builtins.RecursionError",
            "CAD_KERNEL_MISSING": "builtins.ImportError",
            # what the reading libraries were seen to raise for damaged files
            "FILE_CORRUPT": "builtins.ValueError builtins.LookupError builtins.EOFError builtins.StopIteration struct.error zlib.error "
            "builtins.OSError",
        }
    ),
}
"""What a class means of one provider, before what it means else."""

MEANS: dict[Provider, dict[str, str]] = {
    Provider.DATABASE: _named({"DATABASE_UNAVAILABLE": _AWAY, "DATABASE_REFUSED": "TLS_FAILED UPSTREAM_REFUSED"}),
    Provider.BROKER: _named({"BROKER_UNAVAILABLE": f"{_AWAY} STORAGE_FAILED", "BROKER_REFUSED": "TLS_FAILED UPSTREAM_REFUSED"}),
    Provider.RECEIVER: _named(
        {
            "RECEIVER_UNREACHABLE": "CONNECTION_FAILED CONNECTION_TIMEOUT READ_TIMEOUT NAME_UNRESOLVED TLS_FAILED",
            "RECEIVER_REFUSED": "UPSTREAM_FAILED UPSTREAM_REFUSED DATA_INVALID",
        }
    ),
    Provider.INDEX: _named({"INDEX_FAILED": "INTERNAL DATA_INVALID STORAGE_FAILED MEMORY_ERROR"}),
    Provider.READER: _named({"FILE_CORRUPT": "DATA_INVALID ARCHIVE_CORRUPT", "ENGINE_DEFECT": "INTERNAL"}),
    Provider.SANDBOX: _named(
        {
            "ENGINE_CRASH": "CONNECTION_FAILED PROCESS_FAILED",
            "ENGINE_TIMEOUT": "READ_TIMEOUT CONNECTION_TIMEOUT",
            "SANDBOX_UNAVAILABLE": "RESOURCE_EXHAUSTED STORAGE_FAILED",
            "ENGINE_DEFECT": "DATA_INVALID INTERNAL",
        }
    ),
    Provider.ENGINE: _named({"ENGINE_DEFECT": "INTERNAL DATA_INVALID"}),
    # what reaches the end of a route is no fault of whoever asked
    Provider.API: _named(
        {
            "INTERNAL": "DATA_INVALID DATA_CONFLICT ARCHIVE_CORRUPT ARCHIVE_ENCRYPTED FILE_CORRUPT FORMAT_UNSUPPORTED ENCODING_UNSUPPORTED "
            "GEOMETRY_INVALID ENGINE_TIMEOUT",
            "RESOURCE_EXHAUSTED": "MEMORY_ERROR",
        }
    ),
}
"""What a code means of one provider; else itself."""
