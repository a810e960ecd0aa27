"""The one Redis client and every key name we own or read. The broker's own keys are kombu's; we only read them."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import redis
import redis.asyncio
import redis.asyncio.retry
from redis.asyncio.client import Pipeline as LoopPipeline
from redis.backoff import NoBackoff
from redis.client import Pipeline
from redis.retry import Retry

from foundation.resilience.protection import Refused, guard, protect
from foundation.settings import RedisSettings

SEPARATOR = "\x06\x16"  # kombu's, between a queue's name and its step; the default, like the steps, so that Flower agrees
STEPS = (0, 3, 6, 9)
UNACKED = "unacked"
UNACKED_INDEX = "unacked_index"
LIVE = "cadmill.live"
"""The stream of live events."""
LIMIT_REPLICAS = "cadmill.limit.replicas"
LIMIT_EPOCH = "cadmill.limit.epoch"

_LOOP_CONNECTIONS = 16


def queue_key(queue: str, step: int) -> str:
    """The list that holds a queue's messages of one step."""
    return f"{queue}{SEPARATOR}{step}" if step else queue


def chaos_key(number: str) -> str:
    """Held for a while by the process that took a fault."""
    return f"cadmill.{number}"


def limit_key(name: str, subject: str) -> str:
    """What a rate limit has counted of a subject."""
    return f"cadmill.limit.{name}.{subject}"


READS = frozenset({"PING", "GET", "EXISTS", "LRANGE", "LLEN", "HVALS", "HLEN", "ZCARD", "XRANGE", "XREVRANGE", "XINFO STREAM"})
"""Commands that may be sent again when nobody knows whether they were carried out."""

_TRIED = protect("redis")


class Client(redis.Redis):
    """Redis behind the table of policies. What is refused there looks as if Redis did not answer, which is what callers know to handle."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        try:
            if args[0] in READS:
                return _TRIED.run(super().execute_command, *args, **options)
            with guard("redis"):
                return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except Refused as refused:
            raise redis.ConnectionError(str(refused)) from refused

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Pipeline:
        return _Pipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


class _Pipeline(Pipeline):
    def execute(self, raise_on_error: bool = True) -> list[Any]:
        try:
            with guard("redis"):
                return super().execute(raise_on_error)
        except Refused as refused:
            raise redis.ConnectionError(str(refused)) from refused


class LoopClient(redis.asyncio.Redis):
    """The same for the one who reads live events in an event loop."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        try:
            async with guard("live"):
                return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except Refused as refused:
            raise redis.ConnectionError(str(refused)) from refused

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> LoopPipeline:
        raise NotImplementedError("reading live events needs none, so none is behind the table")


def client(settings: RedisSettings, seconds: float | None = None) -> redis.Redis:
    """A client that gives up after `seconds` (default: what publishing may take) and never retries by itself."""
    return Client.from_url(_address(settings.url), retry=Retry(NoBackoff(), 0), **_patience(seconds or settings.publish_seconds))


def loop_client(settings: RedisSettings, seconds: float) -> redis.asyncio.Redis:
    """The same for one who reads live events in an event loop."""
    return LoopClient.from_url(_address(settings.url), retry=redis.asyncio.retry.Retry(NoBackoff(), 0), **_patience(seconds))


def limits_client(settings: RedisSettings, seconds: float) -> redis.Redis:
    """For the limiter, which has its breaker around it: it must know what it says."""
    return redis.Redis.from_url(_address(settings.url), retry=Retry(NoBackoff(), 0), **_patience(seconds))


def limits_loop_client(settings: RedisSettings, seconds: float) -> redis.asyncio.Redis:
    """The same for the event loop that first uses it. Callers wait for one of a few connections: more are no faster."""
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        _address(settings.url), retry=redis.asyncio.retry.Retry(NoBackoff(), 0), max_connections=_LOOP_CONNECTIONS, timeout=seconds,
        **_patience(seconds),
    )  # fmt: skip
    return redis.asyncio.Redis.from_pool(pool)


def _patience(seconds: float) -> dict[str, Any]:
    return {"socket_timeout": seconds, "socket_connect_timeout": seconds, "health_check_interval": 0}


def _address(url: str) -> str:
    """As redis-py writes it: kombu has a word of its own for Unix sockets."""
    if not url.startswith("redis+socket://"):
        return url
    split = urlsplit(url)
    return f"unix://{split.path}?db={parse_qs(split.query).get('virtual_host', ['0'])[0]}"
