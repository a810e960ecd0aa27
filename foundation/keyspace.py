"""The one Redis client and every key name we own or read. The broker's own keys are kombu's; we only read them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from foundation.settings import RedisSettings

if TYPE_CHECKING:
    from redis.asyncio import Redis as AsyncRedis

SEPARATOR = "\x06\x16"  # kombu's, between a queue's name and its step; the default, like the steps, so that Flower agrees
STEPS = (0, 3, 6, 9)
UNACKED = "unacked"
UNACKED_INDEX = "unacked_index"
LIVE = "cadmill.live"
"""The stream of live events."""


def queue_key(queue: str, step: int) -> str:
    """The list that holds a queue's messages of one step."""
    return f"{queue}{SEPARATOR}{step}" if step else queue


def chaos_key(number: str) -> str:
    """Held for a while by the process that took a fault."""
    return f"cadmill.{number}"


def client(settings: RedisSettings, seconds: float | None = None) -> redis.Redis:
    """A client that gives up after `seconds` (default: what publishing may take) and never retries by itself."""
    timeout = seconds or settings.publish_seconds
    options = {"socket_timeout": timeout, "socket_connect_timeout": timeout, "retry": Retry(NoBackoff(), 0), "health_check_interval": 0}
    url = settings.url
    if url.startswith("redis+socket://"):
        split = urlsplit(url)
        database = parse_qs(split.query).get("virtual_host", ["0"])[0]
        return redis.Redis(unix_socket_path=split.path, db=int(database), **options)  # type: ignore[arg-type]
    return redis.Redis.from_url(url, **options)


def async_client(settings: RedisSettings, seconds: float) -> AsyncRedis:
    """The same for asyncio; imported by who needs it."""
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry as AsyncRetry

    options = {"socket_timeout": seconds, "socket_connect_timeout": seconds, "retry": AsyncRetry(NoBackoff(), 0)}
    url = settings.url
    if url.startswith("redis+socket://"):
        split = urlsplit(url)
        database = parse_qs(split.query).get("virtual_host", ["0"])[0]
        return Redis(unix_socket_path=split.path, db=int(database), **options)  # type: ignore[arg-type]
    return Redis.from_url(url, **options)  # type: ignore[arg-type]
