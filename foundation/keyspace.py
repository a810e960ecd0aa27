"""The one Redis client and every key name we own or read. The broker's own keys are kombu's; we only read them."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import redis
import redis.asyncio
import redis.asyncio.retry
from redis.backoff import NoBackoff
from redis.retry import Retry

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


def client(settings: RedisSettings, seconds: float | None = None) -> redis.Redis:
    """A client that gives up after `seconds` (default: what publishing may take) and never retries by itself."""
    timeout = seconds or settings.publish_seconds
    options = {"socket_timeout": timeout, "socket_connect_timeout": timeout, "health_check_interval": 0}
    return redis.Redis.from_url(_address(settings.url), retry=Retry(NoBackoff(), 0), **options)


def async_client(settings: RedisSettings, seconds: float) -> redis.asyncio.Redis:
    """The same for one who reads in an event loop."""
    retry = redis.asyncio.retry.Retry(NoBackoff(), 0)
    return redis.asyncio.Redis.from_url(_address(settings.url), retry=retry, socket_timeout=seconds, socket_connect_timeout=seconds)


def loop_client(settings: RedisSettings, seconds: float) -> redis.asyncio.Redis:
    """The same for an event loop, and for the loop that first uses it. Callers wait for one of a few connections: more are no faster."""
    options = {"socket_timeout": seconds, "socket_connect_timeout": seconds, "health_check_interval": 0, "timeout": seconds}
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        _address(settings.url), retry=redis.asyncio.retry.Retry(NoBackoff(), 0), max_connections=_LOOP_CONNECTIONS, **options
    )
    return redis.asyncio.Redis.from_pool(pool)


def _address(url: str) -> str:
    """As redis-py writes it: kombu has a word of its own for Unix sockets."""
    if not url.startswith("redis+socket://"):
        return url
    split = urlsplit(url)
    return f"unix://{split.path}?db={parse_qs(split.query).get('virtual_host', ['0'])[0]}"
