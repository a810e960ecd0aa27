"""Redis by its client, and what Celery speaks with it by."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import billiard.exceptions
import kombu.exceptions
import redis
from celery import Celery
from kombu import Connection, Exchange, Queue
from kombu.serialization import dumps, loads

from tests.foundation.provoked.case import Case, Place, thrown

_AWAY, _REFUSED, _FULL = ("BROKER_UNAVAILABLE", True), ("BROKER_REFUSED", False), ("BROKER_FULL", True)
_DEAD = "redis://user:secret@127.0.0.1:1/0"


@contextlib.contextmanager
def _client(address: str, **more: Any) -> Iterator[Any]:
    client = redis.Redis.from_url(address, socket_timeout=2, retry=None, **more)
    try:
        yield client
    finally:
        client.close()


def _do(*command: Any, before: tuple[Any, ...] = ()) -> Callable[[Place], Any]:
    def run(place: Place) -> None:
        with _client(place.redis) as client:
            client.flushall()
            for one in before:
                client.execute_command(*one)
            client.execute_command(*command)

    return run


def _set(name: str, value: object, then: Callable[[Any], Any]) -> Callable[[Place], Any]:
    """With another setting of the server for as long as it takes."""

    def run(place: Place) -> None:
        with _client(place.redis) as client:
            old = client.config_get(name)[name]
            client.config_set(name, value)
            try:
                then(client)
            finally:
                client.config_set(name, old)

    return run


def _answered(*lines: bytes) -> Callable[[Place], Any]:
    """What a Redis says in a state that this machine's cannot be brought into in a moment, on a real connection."""

    def run(_: Place) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def serve() -> None:
                link, _ = listener.accept()
                with link:
                    for line in lines:
                        link.recv(4096)
                        link.sendall(line)

            thread = threading.Thread(target=serve)
            thread.start()
            try:
                address = f"redis://:secret@127.0.0.1:{listener.getsockname()[1]}/0"
                with _client(address.replace(":secret@", ""), driver_info=None, protocol=2) as client:
                    client.get("x")
            finally:
                thread.join(5)

    return run


def _slow(_: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = redis.Redis(port=listener.getsockname()[1], socket_timeout=0.05, retry=None)
        try:
            client.get("x")
        finally:
            client.close()


def _replica(place: Place) -> None:
    with _client(place.redis) as client:
        client.execute_command("REPLICAOF", "127.0.0.1", "1")
        try:
            client.set("x", 1)
        finally:
            client.execute_command("REPLICAOF", "NO", "ONE")


def _watched(place: Place) -> None:
    with _client(place.redis) as client, client.pipeline() as pipe:
        pipe.watch("x")
        client.set("x", 2)
        pipe.multi()
        pipe.set("x", 3)
        pipe.execute()


def _without_right(place: Place) -> None:
    with _client(place.redis) as client:
        client.execute_command("ACL", "SETUSER", "small", "on", ">small-secret", "~*", "+ping", "+hello", "+client", "+select")
        with _client(place.redis.replace("redis://", "redis://small:small-secret@")) as small:
            small.set("x", 1)


def _pool_empty(place: Place) -> None:
    with _client(place.redis, max_connections=1) as client:
        with client.pubsub() as listener:
            listener.subscribe("x")
            client.get("x")


def _publish(connection: Connection, **how: Any) -> None:
    with connection, connection.channel() as channel:
        channel.connection.client.ensure_connection(max_retries=0, timeout=1)
        producer = connection.Producer(channel)
        producer.publish({"x": 1}, routing_key="x", **how)


def _nothing_there(place: Place) -> None:
    with Connection(place.redis) as connection, contextlib.closing(connection.SimpleQueue("nothing")) as waiting:
        waiting.get(block=False)


def _too_many(place: Place) -> None:
    with Connection(place.redis) as connection:
        pool = connection.Pool(limit=1)
        one = pool.acquire()
        try:
            pool.acquire(block=False)
        finally:
            one.release()
            pool.force_close_all()


def _send(_: Place) -> None:
    app = Celery(broker=_DEAD, broker_connection_retry=False)
    app.conf.broker_transport_options = {"socket_connect_timeout": 0.5, "max_retries": 0}
    try:
        app.send_task("x", retry=False, ignore_result=True)
    finally:
        app.close()


def _declare(_: Place) -> None:
    with Connection(_DEAD) as connection:
        Queue("x", Exchange("x"), routing_key="x")(connection.channel()).declare()


CASES = [
    Case("redis nobody listens", lambda _: redis.Redis.from_url(_DEAD, retry=None).get("x"), *_AWAY),
    Case("redis no such host", lambda _: redis.Redis(host="nowhere.invalid", retry=None).get("x"), *_AWAY),
    Case("redis no such socket", lambda place: redis.Redis(unix_socket_path=str(place.folder / "no"), retry=None).get("x"), *_AWAY),
    Case("redis slow", _slow, *_AWAY),
    Case("redis another type", _do("LPUSH", "x", 1, before=(("SET", "x", 1),)), *_REFUSED),
    Case("redis no such command", _do("NONSENSE"), *_REFUSED),
    Case("redis too few arguments", _do("SET", "x"), *_REFUSED),
    Case("redis not a number", _do("INCR", "x", before=(("SET", "x", "a"),)), *_REFUSED),
    Case("redis no such database", _do("SELECT", 99), *_REFUSED),
    Case("redis not a value", lambda place: _do("SET", "x", object())(place), *_REFUSED),
    Case("redis script fails", _do("EVAL", "return nothing.x", 0), *_REFUSED),
    Case("redis no such script", _do("EVALSHA", "0" * 40, 0), *_AWAY),
    Case("redis memory full", _set("maxmemory", 1, lambda client: client.set("x", "y")), *_FULL),
    Case("redis full in a script", _set("maxmemory", 1, lambda client: client.eval("return redis.call('SET', 'x', 'y')", 0)), *_FULL),
    Case("redis too few replicas", _set("min-replicas-to-write", 1, lambda client: client.set("x", "y")), *_AWAY),
    Case("redis wrong password", _answered(b"-WRONGPASS invalid username-password pair or user is disabled.\r\n" * 3), *_REFUSED),
    Case("redis unknown user", lambda place: redis.Redis.from_url(place.redis.replace("//", "//u:p@"), retry=None).get("x"), *_REFUSED),
    Case("redis no password", _answered(b"-NOAUTH Authentication required.\r\n" * 3), *_REFUSED),
    Case("redis no right", _without_right, *_REFUSED),
    Case("redis a replica", _replica, *_AWAY),
    Case("redis changed meanwhile", _watched, *_AWAY),
    Case("redis no connection left", _pool_empty, *_AWAY),
    *(Case(f"redis says {said.split()[0].decode()}", _answered(b"-" + said + b"\r\n"), *what) for said, what in (
        (b"LOADING Redis is loading the dataset in memory", _AWAY),
        (b"BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.", _AWAY),
        (b"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", _AWAY),
        (b"CLUSTERDOWN The cluster is down", _AWAY),
        (b"TRYAGAIN Multiple keys request during rehashing of slot", _AWAY),
        (b"READONLY You can't write against a read only replica.", _AWAY),
        (b"OOM command not allowed when used memory > 'maxmemory'.", _FULL),
        (b"MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.", _FULL),
        (b"EXECABORT Transaction discarded because of previous errors.", _REFUSED),
        (b"ERR max number of clients reached", _AWAY),
    )),
    Case("redis talks nonsense", _answered(b"what?\r\n"), *_AWAY),
    Case("redis hangs up", _answered(b"$10\r\nabc"), *_AWAY),
    Case("kombu nobody listens", lambda _: Connection(_DEAD).ensure_connection(max_retries=0, timeout=1), *_AWAY),
    Case("kombu declares to nobody", _declare, *_AWAY),
    Case("kombu nothing there", _nothing_there, "READ_TIMEOUT", True),
    Case("kombu too many connections", _too_many, *_AWAY),
    Case("kombu no such serializer", lambda place: _publish(Connection(place.redis), serializer="nonsense"), "INTERNAL", False),
    Case("kombu cannot be written", lambda _: dumps(object(), serializer="json"), "INTERNAL", False),
    Case("kombu cannot be read", lambda _: loads("{", "application/json", "utf-8"), "DATA_INVALID", False),
    Case("kombu no pickles", lambda _: loads(b"x", "application/x-python-serialize", "binary", accept=["json"]), "DATA_INVALID", False),
    Case("celery sends to nobody", _send, *_AWAY),
    Case("celery no such task", lambda _: Celery().tasks["nothing"], "INTERNAL", False),
    Case("billiard process is lost", thrown(billiard.exceptions.WorkerLostError("signal 9")), "ENGINE_CRASH", False),
    Case("billiard time is up", thrown(billiard.exceptions.SoftTimeLimitExceeded()), "ENGINE_TIMEOUT", False),
    Case("queue is full", lambda _: [queue.Queue(1).put(1, block=False), (q := queue.Queue(1)).put(1), q.put(2, block=False)],
         "RESOURCE_EXHAUSTED", True),
]  # fmt: skip
CLASSES = (redis.ConnectionError, redis.ResponseError, redis.ReadOnlyError, kombu.exceptions.OperationalError)
