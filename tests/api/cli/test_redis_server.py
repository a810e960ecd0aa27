"""The embedded Redis, for real."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import redis

from api.cli.redis_server import RedisServer, embedded


def start(server: RedisServer) -> subprocess.Popen[bytes]:
    running = subprocess.Popen(server.process.argv, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 10
    while not server.answers():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return running


def stop(running: subprocess.Popen[bytes]) -> None:
    running.terminate()
    running.wait(timeout=10)


def test_redis_is_found_started_on_a_socket_and_remembers_over_a_restart(tmp_path: Path) -> None:
    server = embedded(tmp_path)
    assert not server.answers()
    for round_ in (1, 2):
        running = start(server)
        try:
            with redis.Redis(unix_socket_path=str(server.socket)) as client:
                assert client.incr("rounds") == round_
                assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        finally:
            stop(running)
    server.remove_socket()
    assert not server.socket.exists()


def test_the_socket_of_a_killed_redis_is_no_obstacle(tmp_path: Path) -> None:
    server = embedded(tmp_path)
    running = start(server)
    running.kill()
    running.wait(timeout=10)
    assert server.socket.exists()
    assert not server.answers()
    stop(start(server))


def test_a_folder_too_long_for_a_socket_gets_a_short_private_one_that_is_removed_again(tmp_path: Path) -> None:
    server = embedded(tmp_path / ("long" * 30))
    assert len(str(server.socket)) < 100
    assert server.temporary is not None
    assert server.temporary.stat().st_mode & 0o777 == 0o700
    stop(start(server))
    server.remove_socket()
    assert not server.temporary.exists()


def test_a_folder_with_characters_of_addresses_gets_a_plain_socket(tmp_path: Path) -> None:
    server = embedded(tmp_path / "my parts?")
    assert "?virtual_host=0" in server.url
    assert " " not in server.url
    server.remove_socket()
