"""Files that kill, or keep, the process that reads them, in a real worker."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from tests.faults.conftest import NewStack
from tests.stack import SAMPLES, Stack, wait_until


def start_misbehaving(stack: Stack) -> None:
    argv = [*stack._table["compute"].argv]
    argv[argv.index("workers")] = "tests.workers.cad.misbehaving_worker"
    stack.spawn("compute", argv)


def upload(stack: Stack, folder: Path, *names: str) -> list[str]:
    """The same cube under names that say what its reader will do."""
    paths = [Path(shutil.copy(SAMPLES / "stl" / "20mm-xyz-cube.stl", folder / f"{name}.stl")) for name in names]
    return [part["id"] for part in stack.upload(*paths)]


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def sandboxed(stack: Stack) -> list[int]:
    """The processes that read files: children of the zygotes of the pool's processes."""
    zygotes = [zygote for process in children(stack.pid("compute")) for zygote in children(process)]
    return [reader for zygote in zygotes for reader in children(zygote)]


def test_a_file_that_kills_its_reader_ends_alone_and_the_worker_lives(new_stack: NewStack, tmp_path: Path) -> None:
    """Its chunk stays its own while it waits: one of the files takes longer than a lease without a heartbeat."""
    one_chunk = {"CADMILL_QUEUE_CHUNK_PER_JOB_MIN": 1, "CADMILL_QUEUE_LEASE_SECONDS": 3}
    stack, evidence = new_stack("api", queues=["extraction"], **one_chunk)
    start_misbehaving(stack)
    parts = upload(stack, tmp_path, "good one", "nap 4", "segv now", "good three", "garbage now", "good four")
    first = stack.submit("extraction", {"parts": [parts[0], parts[3]], "force": True})["id"]
    assert stack.wait(first)["state"] == "succeeded"
    pool = children(stack.pid("compute"))
    job = stack.submit("extraction", {"parts": parts, "force": True})["id"]
    assert stack.wait(job)["state"] == "partial"
    codes = [item["error"] and item["error"]["code"] for item in stack.items(job)]
    assert codes == [None, None, "ENGINE_CRASH", None, "ENGINE_DEFECT", None]
    assert stack.job(job)["counts"] == {"total": 6, "succeeded": 4, "failed": 2, "cancelled": 0, "pending": 0}
    assert {chunk.attempt for chunk in evidence.chunks(job)} == {1}
    assert children(stack.pid("compute")) == pool
    wait_until(lambda: not sandboxed(stack), 20)  # one waits a while for more of its job


def test_cancelling_ends_the_reader_of_a_file_that_does_not_end(new_stack: NewStack, tmp_path: Path) -> None:
    stack, evidence = new_stack("api", queues=["extraction"], CADMILL_QUEUE_LEASE_SECONDS=60)
    start_misbehaving(stack)
    job = stack.submit("extraction", {"parts": upload(stack, tmp_path, "deaf now")})["id"]
    (reader,) = wait_until(lambda: sandboxed(stack))
    time.sleep(1)
    assert sandboxed(stack) == [reader], "the fault did not bite: the file was read"
    assert stack.http.post(f"/api/v1/jobs/{job}/cancel").is_success
    wait_until(lambda: not Path(f"/proc/{reader}").exists(), 5)
    assert stack.job(job)["state"] == "cancelled"
    assert evidence.trail(job, "chunk.stale")


def test_a_worker_that_is_killed_takes_its_readers_along(new_stack: NewStack, tmp_path: Path) -> None:
    stack, _ = new_stack("api", queues=["extraction"], TMPDIR=tmp_path)
    start_misbehaving(stack)
    stack.submit("extraction", {"parts": upload(stack, tmp_path, "deaf now")})
    (reader,) = wait_until(lambda: sandboxed(stack))
    assert list(tmp_path.glob("cadmill-*/*"))
    stack.kill("compute")
    wait_until(lambda: not Path(f"/proc/{reader}").exists(), 5)
    wait_until(lambda: not list(tmp_path.glob("cadmill-*")), 5)


def test_a_worker_that_serves_no_queue_of_files_loads_its_readers_when_a_search_needs_one(new_stack: NewStack) -> None:
    stack, _ = new_stack("api", "compute", queues=["similarity", "probe"])

    def zygotes() -> list[int]:
        return [zygote for process in children(stack.pid("compute")) for zygote in children(process)]

    assert stack.wait(stack.submit("probe", {"items": 1})["id"])["state"] == "succeeded"
    assert zygotes() == []
    (part,) = stack.upload(SAMPLES / "stl" / "20mm-xyz-cube.stl")
    assert stack.wait(stack.submit("similarity", {"queries": [part["id"]]})["id"])["state"] == "succeeded"
    assert len(zygotes()) == 1
