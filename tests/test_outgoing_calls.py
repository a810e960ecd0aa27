"""Nothing leaves a process but through the table of policies: the code is read, and a bare call of a client is found."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest

from foundation.resilience.policies import TABLE
from tests.stack import ROOT
from tests.test_architecture import WRITTEN

# Per library: how a call of it ends, and which rows of the table may stand around it. `X.y` matches a call of y on anything that ends
# with X; `y` alone a call of y on anything, or of the bare name.
CLIENTS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "SQLAlchemy": (
        frozenset({"create_engine", "create_async_engine", "engine.connect", "engine.begin", "engine.raw_connection"}),
        frozenset({"database-connect", "database-statement"}),
    ),
    # commands are behind the table by the class that keyspace makes; so what counts is who makes a client
    "redis": (
        frozenset({
            "Redis", "Redis.from_url", "Client.from_url", "LoopClient.from_url", "Redis.from_pool", "StrictRedis", "ConnectionPool",
            "BlockingConnectionPool.from_url", "ConnectionPool.from_url", "keyspace.limits_client", "keyspace.limits_loop_client",
            "register_script", "_script", "_loop_script",
        }),
        frozenset({"redis", "live"}),
    ),
    "Celery and kombu": (
        frozenset({
            "send_task", "apply_async", "delay", "broadcast", "ensure_connection", "producer_or_acquire", "producer.publish", "Producer",
            "kombu.Connection", "control.inspect", "control.ping",
        }),
        frozenset({"broker"}),
    ),
    "HTTP": (
        frozenset({
            "httpx2.Client", "httpx2.AsyncClient",
            "httpx2.get", "httpx2.post", "httpx2.request", "http.request", "http.stream", "http.send",
            "http.get", "http.post", "HTTPConnection", "HTTPSConnection", "urlopen", "PoolManager", "ClientSession", "requests.get",
            "requests.post",
        }),
        frozenset({"client", "webhook"}),
    ),
    "sockets": (
        frozenset({
            "socket.socket", "socket.create_connection", "socket.getaddrinfo", "socket.gethostbyname", "open_connection", "wrap_socket",
            "look_up",
        }),
        frozenset({"webhook", "names"}),
    ),
    "stored files": (frozenset({"os.fsync"}), frozenset({"files"})),
    "fast index": (frozenset({"fast.search"}), frozenset({"search"})),
    "sandbox": (frozenset({"self._birth"}), frozenset({"sandbox"})),
}  # fmt: skip

# file and function: why the call is bare there
EXCUSED: Mapping[tuple[str, str], str] = {
    ("ledger/session.py", "_engine"): "makes the engine; its connections are asked for behind the table",
    ("foundation/keyspace.py", "client"): "makes the client whose every command is behind the table",
    ("foundation/keyspace.py", "loop_client"): "likewise",
    ("foundation/keyspace.py", "limits_client"): "for the limiter, which has its own breaker of the table around it",
    ("foundation/keyspace.py", "limits_loop_client"): "likewise",
    ("foundation/resilience/limiter.py", "__init__"): "only registers the script; asking is under its own breaker of the table",
    ("foundation/resilience/limiter.py", "take"): "under its own breaker, row `limits`",
    ("foundation/resilience/limiter.py", "take_in_loop"): "likewise",
    ("api/limits.py", "of"): "makes the clients of the limiter",
    ("api/cli/connection.py", "__init__"): "makes the client of the command line; its requests are behind the table",
    ("api/cli/up.py", "listening"): "a socket that listens calls nobody",
    ("api/cli/up.py", "free_port"): "likewise",
    ("api/cli/up.py", "is_ready"): "asks a process that was just started, again and again until it answers",
    ("api/cli/up.py", "is_open"): "likewise",
    ("api/cli/redis_server.py", "answers"): "likewise",
    ("api/grpc/server.py", "_this_machine_only"): "looks up the address it will listen on",
    ("workers/cad/sandbox/zygote.py", "main"): "the ends of pairs that were handed over",
    ("workers/cad/sandbox/zygote.py", "_serve"): "likewise",
    ("foundation/sealing.py", "_kept"): "once an installation, when the first process starts; without it none does",
    ("ledger/files.py", "_sync_folder"): "called by `Incoming.keep` alone, behind the row `files`",
    ("ledger/trail/lines.py", "write"): "a sink of the audit trail beside the database, which holds up nothing",
    ("workers/index/snapshot.py", "save"): "a cache: what cannot be kept is made anew",
    ("workers/index/snapshot.py", "_write"): "likewise",
    ("workers/webhooks/address.py", "dial"): "called by `send` alone, behind the row `webhook`",
    ("workers/webhooks/address.py", "is_own"): "connecting UDP sends nothing",
    ("workers/webhooks/address.py", "connected"): "called by `send` alone, behind the row `webhook`",
    ("workers/webhooks/send.py", "_exchange"): "writes HTTP on a socket that `connected` made, behind the row `webhook`",
    ("tasks/addresses.py", "resolve"): "its look-up is given by `address.connected`, which runs it behind the row `names`",
}


@dataclass(frozen=True, slots=True)
class Bare:
    """A call of a client that nothing of the table stands around."""

    library: str
    function: str
    line: int
    call: str


def _dotted(node: ast.expr) -> str:
    match node:
        case ast.Name():
            return node.id
        case ast.Attribute():
            return f"{_dotted(node.value)}.{node.attr}"
        case ast.Call():
            return _dotted(node.func)
        case _:
            return ""


def _library(called: str) -> str | None:
    for library, (names, _) in CLIENTS.items():
        if any(called == name or called.endswith(f".{name}") for name in names):
            return library
    return None


def _row(node: ast.expr, known: Mapping[str, str]) -> str | None:
    """The row that `guard(...)`, `protect(...)` or a variable that holds one names."""
    if isinstance(node, ast.Call) and _dotted(node.func).rpartition(".")[2] in ("guard", "protect") and node.args:
        return node.args[0].value if isinstance(node.args[0], ast.Constant) else None  # type: ignore[return-value]
    return known.get(node.id) if isinstance(node, ast.Name) else None


def bare(tree: ast.AST, function: str = "<module>", around: frozenset[str] = frozenset()) -> Iterator[Bare]:
    """Calls of clients that stand in no `with guard(...)` and no function under `@protect(...)` of a row for that library."""
    known: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
            targets = node.targets[0].elts if isinstance(node.targets[0], ast.Tuple) else node.targets
            known |= {
                target.id: row for target, value in zip(targets, values, strict=False)
                if isinstance(target, ast.Name) and (row := _row(value, {}))
            }  # fmt: skip
    yield from _bare(tree, function, around, known)


def _bare(node: ast.AST, function: str, around: frozenset[str], known: Mapping[str, str]) -> Iterator[Bare]:
    for child in ast.iter_child_nodes(node):
        inside, within = function, around
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            inside, within = child.name, frozenset(row for each in child.decorator_list if (row := _row(each, known)))
        if isinstance(child, ast.With | ast.AsyncWith):
            for item in child.items:  # a call among the items is behind the guards before it
                yield from _bare(ast.Expr(item.context_expr), inside, within, known)
                within = within | {row for row in [_row(item.context_expr, known)] if row}
            for statement in child.body:
                yield from _bare(ast.Module([statement], []), inside, within, known)
            continue
        if isinstance(child, ast.Call) and (library := _library(called := _dotted(child.func))) and not within & CLIENTS[library][1]:
            yield Bare(library, inside, child.lineno, called)
        yield from _bare(child, inside, within, known)


@functools.cache
def found() -> dict[tuple[str, str], list[Bare]]:
    places: dict[tuple[str, str], list[Bare]] = {}
    for path in WRITTEN:
        for one in bare(ast.parse(path.read_text())):
            places.setdefault((path.relative_to(ROOT).as_posix(), one.function), []).append(one)
    return places


def test_no_client_is_called_outside_of_the_table() -> None:
    wrong = [
        f"{file}:{call.line} in {name}: {call.call} ({call.library})"
        for (file, name), calls in found().items()
        if (file, name) not in EXCUSED
        for call in calls
    ]
    assert not wrong, "\n".join(wrong)


def test_every_excuse_is_still_needed() -> None:
    assert not EXCUSED.keys() - found().keys()


def test_every_row_of_the_table_stands_around_something() -> None:
    used: set[str] = set()
    for path in WRITTEN:
        if path.name == "policies.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and (row := _row(node, {})):
                used.add(row)
            if isinstance(node, ast.Subscript) and _dotted(node.value) == "TABLE" and isinstance(node.slice, ast.Constant):
                used.add(str(node.slice.value))
    assert used == set(TABLE)


@pytest.mark.parametrize(
    ("code", "calls"),
    [
        ("def f(engine):\n    engine.connect()", ["engine.connect"]),
        ("def f(self):\n    with self.engine.connect() as c: pass", ["self.engine.connect"]),
        ("def f(self):\n    with guard('database-connect'), self.engine.connect() as c: pass", []),
        ("def f(self):\n    with self.engine.connect() as c, guard('database-connect'): pass", ["self.engine.connect"]),
        ("def f(self):\n    with guard('redis'):\n        self.engine.connect()", ["self.engine.connect"]),
        ("import redis\nclient = redis.Redis(host='x')", ["redis.Redis"]),
        ("import redis\ndef f():\n    return redis.asyncio.Redis.from_url('x')", ["redis.asyncio.Redis.from_url"]),
        ("def f(app):\n    app.send_task('x')", ["app.send_task"]),
        ("def f(app):\n    with guard('broker'):\n        app.send_task('x')", []),
        ("import httpx2\ndef f():\n    httpx2.get('x')", ["httpx2.get"]),
        ("@protect('client')\ndef f(self):\n    return self.http.get('x')", []),
        ("@protect('broker')\ndef f(self):\n    return self.http.get('x')", ["self.http.get"]),
        ("async def f():\n    call = guard('client')\n    async with call:\n        await self.http.get('x')", []),
        ("import socket\ndef f():\n    return [socket.create_connection(a) for a in b]", ["socket.create_connection"]),
        ("from urllib.request import urlopen\ndef f():\n    return lambda: urlopen('x')", ["urlopen"]),
    ],
)  # fmt: skip
def test_a_bare_call_is_found(code: str, calls: list[str]) -> None:
    assert [one.call for one in bare(ast.parse(code))] == calls
