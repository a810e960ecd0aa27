"""The table of fault points is whole, nothing of a production process reaches it, and each point does what it says."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from celery import Celery
from kombu import Producer

from foundation import keyspace
from foundation.errors import Failure
from ledger.files import FileStore, Incoming
from tasks.ring import BackgroundDoorbell, Doorbell, Ring
from tests.faults import points
from tests.faults.campaign import inside
from tests.faults.points import POINTS, Armoury
from tests.stack import ROOT, RedisServer

PRODUCT = ("foundation", "ledger", "tasks", "workers", "api")
WRITES = {
    "commit": "database",
    "batch": "broker", "send_task": "broker", "apply_async": "broker", "publish": "broker",
    "request": "http", "urlopen": "http",
    "replace": "files", "rename": "files", "link": "files",
}  # fmt: skip
"""Methods that make a write final, with what they write to. Of `replace`, `rename` and `link` those of `os` are meant."""
EXCUSED = {
    "workers/index/snapshot.py:save": "a copy that is made anew without being missed; test_degradation.py dies in it",
    "foundation/sealing.py:_kept": "the first start of an installation, before anything is accepted; test_sealing.py dies in it",
    "workers/worker.py:_tell_of_engine": "live news, which may be lost (foundation/progress.py); test_progress.py takes its Redis away",
}


def sources(*folders: str) -> Iterator[tuple[Path, ast.Module]]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path, ast.parse(path.read_text())


def writes(tree: ast.AST, inside_of: tuple[str, ...] = ()) -> Iterator[str]:
    """Qualified names of functions that make a write final."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from writes(node, (*inside_of, node.name))
            continue
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in WRITES:
            owner = ast.unparse(node.func.value)
            if WRITES[node.func.attr] != "files" or owner == "os":
                yield ".".join(inside_of)
        yield from writes(node, inside_of)


def test_every_place_that_makes_a_write_final_is_a_point() -> None:
    """The command line is a client and a supervisor: it writes to no database, broker or receiver of ours."""
    found = {
        f"{path.relative_to(ROOT)}:{name}"
        for path, tree in sources(*PRODUCT)
        if "cli" not in path.parts and "versions" not in path.parts
        for name in writes(tree)
    }
    assert EXCUSED.keys() <= found, "excused, and not there any more"
    found -= EXCUSED.keys()
    announced = {point.place for point in POINTS}
    assert found <= announced, f"places without a point: {sorted(found - announced)}"
    assert announced - found == {"tasks/ring.py:BackgroundDoorbell.ring"}, "a point where nothing is written (this one is before an answer)"
    assert {place.partition("/")[0] for place in found} == {"ledger", "tasks", "workers"}


def test_the_search_for_writes_finds_them() -> None:
    program = "class A:\n def b(self):\n  self.c.commit()\ndef d():\n os.replace(a, b)\n 'x'.replace('x', 'y')\n with p.batch(): pass"
    assert list(writes(ast.parse(program))) == ["A.b", "d", "d"]


def test_no_setting_and_no_variable_leads_a_production_process_to_a_point(tmp_path: Path) -> None:
    variables = {inside.DIRECTORY: str(tmp_path), inside.ROLE: "api", inside.MUTATION: "fence", "CADMILL_PROBE": "1"}
    Armoury(tmp_path).always("database.commit", "undone_told_failed", True)
    program = (
        "import sys, api.app, api.cli.main, workers.celery, workers.run, workers.webhooks.send; "
        "from kombu import Producer; from sqlalchemy.engine import RootTransaction; from ledger import jobs, repair; "
        "print(sorted(name for name in list(sys.modules) if name.partition('.')[0] == 'tests')); "
        "print([one.__module__ for one in (RootTransaction.commit, Producer.batch, jobs.ours, repair.rering)])"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=os.environ | variables, capture_output=True, text=True, timeout=60, check=True
    )
    assert told.stdout.splitlines() == ["[]", "['sqlalchemy.engine.base', 'kombu.messaging', 'ledger.jobs', 'ledger.repair']"]


def test_the_product_imports_nothing_of_the_tests_and_names_no_point() -> None:
    for path, tree in sources(*PRODUCT):
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.partition(".")[0] == "tests"], path
        assert "CAMPAIGN_" not in path.read_text(), path


@pytest.fixture
def armoury(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Armoury:
    for owner, name in ((Producer, "batch"), (Doorbell, "ring"), (BackgroundDoorbell, "ring"), (Incoming, "keep")):
        monkeypatch.setattr(owner, name, getattr(owner, name))
    for module, name, _ in points.MOVES:
        monkeypatch.setattr(module, name, getattr(module, name))
    return Armoury(tmp_path / "points")


@pytest.fixture
def doorbell(own_redis: RedisServer) -> Iterator[Callable[[], Doorbell]]:
    with Celery(broker=own_redis.url) as app:
        yield lambda: Doorbell(app)


def rings(redis_url: str) -> list[int]:
    with redis.Redis.from_url(redis_url) as client:
        return [client.llen(keyspace.queue_key("probe", step)) for step in keyspace.STEPS]  # type: ignore[misc]


def test_publishing_told_failed_is_done_or_not_as_armed(armoury: Armoury, doorbell: Callable[[], Doorbell], own_redis: RedisServer) -> None:
    points.set_publishing(armoury, "test")
    one = [Ring("probe", "job.0", "probe", 0)]
    armoury.arm("broker.publish", "undone_told_failed")
    assert doorbell().ring(one) is False
    assert sum(rings(own_redis.url)) == 0
    armoury.arm("broker.publish", "done_told_failed")
    assert doorbell().ring(one) is False
    assert sum(rings(own_redis.url)) == 1
    armoury.arm("broker.double", "twice")
    assert doorbell().ring(one) is True
    assert sum(rings(own_redis.url)) == 3
    assert doorbell().ring(one) is True
    assert sum(rings(own_redis.url)) == 4, "what is not armed does as ever"
    assert len(armoury.bites()) == 3


def test_a_file_told_failed_is_there_whole_or_not_at_all_and_can_be_sent_again(armoury: Armoury, tmp_path: Path) -> None:
    points.set_files(armoury, "test")
    store = FileStore(tmp_path)

    def send() -> str:
        with store.receive(100) as incoming:
            incoming.write(b"bytes")
            return incoming.keep()

    for mode, there in (("undone_told_failed", False), ("done_told_failed", True)):
        armoury.arm("files.keep", mode)  # type: ignore[arg-type]
        with pytest.raises(Failure, match="STORAGE_FULL"):
            send()
        found = [path for path in store.directory.rglob("*") if path.is_file()]
        assert [path.read_bytes() for path in found] == ([b"bytes"] if there else [])
    assert store.path(send()).read_bytes() == b"bytes"
    assert not list(store.incoming.iterdir())


def test_a_point_bites_one_process_of_the_role_it_is_armed_for(armoury: Armoury) -> None:
    armoury.arm("database.commit", "delay", "api")
    assert armoury.taken("database.commit", "compute") is None
    assert armoury.taken("broker.publish", "api") is None
    assert armoury.taken("database.commit", "api") == "delay"
    assert armoury.taken("database.commit", "api") is None
    armoury.always("database.commit", "delay", True)
    assert [armoury.taken("database.commit", "api") for _ in range(2)] == ["delay", "delay"]
    assert armoury.disarm() == 1
