"""The user's own kit against a running stack."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from api.cli.chaos import plan
from foundation import keyspace
from foundation.settings import DatabaseSettings, RedisSettings
from ledger.files import FileStore
from ledger.inspection.findings import Patience
from ledger.session import Ledger
from tasks import inspection
from tests.faults.conftest import NewStack
from tests.faults.evidence import check_each_item_ended_once
from tests.stack import ROOT, RedisServer, Stack, wait_until

TOKEN = "only for tests"


def inflict(stack: Stack, fault: str, seconds: float = 1.0) -> Any:
    def asked() -> Any:
        answer = stack.http.post("/api/v1/chaos", json={"fault": fault, "seconds": seconds}, headers={"X-Admin-Token": TOKEN})
        if answer.status_code == 409:  # the worker has not connected yet
            assert answer.json()["code"] == "CHAOS_UNHEARD"
            return None
        assert answer.status_code == 202, answer.text
        return answer.json()["hit"]

    return wait_until(asked)


@pytest.mark.parametrize("dialect", ["postgresql"])
def test_what_chaos_breaks_is_mended_and_the_doctor_finds_nothing(new_stack: NewStack, own_redis: RedisServer, dialect: str) -> None:
    stack, evidence = new_stack("api", "compute", dialect=dialect, CADMILL_CHAOS=1, ADMIN_TOKEN=TOKEN, CADMILL_QUEUE_LEASE_SECONDS=2)
    store = Ledger(stack.environment["CADMILL_DATABASE_URL"], DatabaseSettings())
    broker = keyspace.client(RedisSettings(url=own_redis.url))
    look = inspection.Store(store, FileStore(stack.directory), broker, Patience(lease=60, ring=60))
    job = stack.submit("probe", {"items": 60, "ms": 150})["id"]
    stack.wait_for_progress(job, 1)
    inflict(stack, "empty_queues")
    inflict(stack, "pause_compute", 3.0)
    inflict(stack, "kill_child")
    assert inspection.inspect(look).healthy, "work in flight is no fault"
    inflict(stack, "kill_compute")
    stack._running["compute"].wait(30)
    stack.kill("compute")
    stack.start("compute")
    inflict(stack, "drop_rings", 0.5)
    assert stack.wait(job)["state"] == "succeeded"
    check_each_item_ended_once(stack, evidence, job, succeeded=60)
    assert evidence.most_rings(job) >= 2, "the queues were not emptied"
    assert evidence.trail(job, "chunk.rescued"), "nobody was killed"
    assert [fault for fault in ("kill_child", "kill_compute", "pause_compute") if not evidence.trail(fault, "chaos.inflicted")] == []
    report = inspection.inspect(look, deep=True)
    assert report.healthy, report.told()
    assert report.looked["items"] == 60
    assert 'cadmill_ledger_inconsistencies{kind="counters_differ"} 0' in stack.http.get("/metrics").text
    store.close()
    broker.close()


def test_without_the_flag_the_address_does_not_exist_and_nothing_of_it_is_loaded(tmp_path: Path) -> None:
    program = (
        "import sys; from api.app import create; import workers.celery; app = create(); "
        "print(sorted(path for path in app.openapi()['paths'] if 'chaos' in path), "
        "[name for name in list(sys.modules) if name.endswith('.chaos')])"  # a list: the doorbell's thread may still be loading
    )
    environment = {"CADMILL_STORAGE_DIRECTORY": str(tmp_path), "PATH": ""}
    for flag, paths in (("0", "[] []"), ("1", "['/api/v1/chaos', '/api/v2/chaos']")):
        told = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, env=environment | {"CADMILL_CHAOS": flag},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert told.stdout.strip().startswith(paths), told.stderr


def test_the_schedule_of_a_seed_is_the_same_each_time_and_has_every_fault() -> None:
    assert plan(2, 7) == plan(2, 7) != plan(2, 8)
    assert {blow.fault for blow in plan(2, 7)} == {
        "kill_child", "kill_compute", "kill_courier", "pause_compute", "pause_courier", "empty_queues", "drop_rings",
    }  # fmt: skip
    assert all(blow.at < 120 for blow in plan(2, 7))


def test_the_doctor_of_the_command_line_tells_plants_and_mends(new_stack: NewStack) -> None:
    """Exit code 1 while something is wrong, 0 when it is mended; --json for programs."""
    import json

    from sqlalchemy import text

    stack, evidence = new_stack("api", "compute")
    job = stack.submit("probe", {"items": 3})["id"]
    stack.wait(job)
    with Ledger(stack.environment["CADMILL_DATABASE_URL"], DatabaseSettings()).write() as tx:
        tx.execute(text("UPDATE jobs SET succeeded = 1 WHERE id = :job").bindparams(job=job))

    def doctor(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "api.cli.main", "doctor", *options], cwd=ROOT, env=os.environ | stack.environment,
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    found = doctor("--json")
    assert found.returncode == 1, found.stderr
    told = json.loads(found.stdout)
    assert told["found"] == {"counters_differ": 1}
    assert job in told["findings"][0]["message"]
    assert stack.job(job)["counts"]["succeeded"] == 1, "without --fix nothing is changed"
    mended = doctor("--store", "--fix")
    assert mended.returncode == 0, mended.stderr
    assert "counters_differ: 1 found, 1 mended, 0 left" in mended.stdout
    assert stack.job(job)["counts"]["succeeded"] == 3
    assert evidence.trail(job, "mended.counters_differ")
    elsewhere = subprocess.run(
        [sys.executable, "-m", "api.cli.main", "doctor", "--store", "--dir", str(stack.directory / "nowhere")], cwd=ROOT,
        env=os.environ | {"CADMILL_DATABASE_URL": ""}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert elsewhere.returncode == 1
    assert elsewhere.stderr.startswith("STORE_NOT_FOUND")
