"""What `cadmill up` decides before it starts anything."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from api.cli.processes import Shape, table
from api.cli.up import free_port, listening, one_run
from foundation.errors import Failure

ROOT = Path(__file__).parents[3]


def cadmill(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "api.cli.main", *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_taken_port_is_told_by_its_number(tmp_path: Path) -> None:
    with listening("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        ended = cadmill("up", "--dir", str(tmp_path), "--port", str(port))
        assert ended.returncode == 1
        assert ended.stderr.startswith("PORT_TAKEN: ")
        assert f"port: {port}" in ended.stderr
        assert "Choose another with --port" in ended.stderr
        with pytest.raises(Failure, match="PORT_TAKEN"):
            free_port("127.0.0.1", port)


def test_a_second_up_in_one_directory_is_refused_and_names_the_first(tmp_path: Path) -> None:
    with one_run(tmp_path):
        ended = cadmill("up", "--dir", str(tmp_path), "--port", "0")
    assert ended.returncode == 1
    assert ended.stderr.startswith("DIRECTORY_IN_USE: ")
    assert f"process: {os.getpid()}" in ended.stderr
    assert ended.stderr.count("\n") == 1
    with one_run(tmp_path):
        """The lock went with its holder."""


def test_an_unknown_host_is_told() -> None:
    with pytest.raises(Failure, match="CONFIG_INVALID"), listening("no-such-host.invalid", 0):
        raise AssertionError("unreachable")


def test_a_listener_answers_nobody_but_keeps_them_waiting_until_the_api_takes_it() -> None:
    with listening("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname(), timeout=2) as caller:
        assert caller.getpeername() == listener.getsockname()


def test_two_stacks_have_different_node_names_and_without_flower_no_events(tmp_path: Path) -> None:
    with_flower = table(Shape(tmp_path, 3, 8001, 2, ("extraction", "similarity"), ("upkeep",), 5555))
    without = table(Shape(tmp_path, 3, 8002, 2, ("extraction", "similarity"), ("upkeep",), None))
    assert [process.name for process in with_flower] == ["api", "compute", "courier", "beat", "flower"]
    assert [process.name for process in without] == ["api", "compute", "courier", "beat"]
    assert "-E" in with_flower[1].argv
    assert "-E" not in without[1].argv
    assert not {part for part in with_flower[1].argv if "@" in part} & {part for part in without[1].argv if "@" in part}
