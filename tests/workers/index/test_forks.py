"""A forked worker never hangs, whatever its parent did with faiss: it uses no OpenMP threads, and gives the same answers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.stack import ROOT

PROGRAM = """
import os, signal, sys
import numpy as np
import faiss

rows = np.random.default_rng(1).normal(size=(3000, 24)).astype(np.float32)
keys = [f"{n:064x}" for n in range(len(rows))]
faiss.omp_set_num_threads(4)
parents = faiss.IndexFlatL2(24)
parents.add(rows)
parents.search(rows[:500], 10)  # the parent's threads are there now, and no child has them

def searched():
    from workers.index.approximate import ApproximateIndex
    from workers.index.parallel import Parallel

    found = []
    for flat_max in (10_000, 1_000):  # flat, and lists that have to be learned
        index = ApproximateIndex(24, flat_max)
        index.add(keys, rows)
        index.remove(keys[:100])
        index.add(keys[:50], rows[50:100])
        found.append(Parallel(50, 4, processors=lambda: 4).search(rows[:400], lambda run: index.search(run, 10)))
        assert found[-1] == index.search(rows[:400], 10)
    return found

before = searched() if sys.argv[1] == "parent too" else None
for _ in range(3):
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        found = searched()
        os._exit(0 if before in (None, found) and len(found[0]) == 400 else 3)
    _, status = os.waitpid(child, 0)
    assert status == 0, status
print("alive")
"""


@pytest.mark.parametrize("before", ["child only", "parent too"])
def test_a_child_of_a_process_that_used_faiss_searches_and_does_not_hang(before: str, tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-c", PROGRAM, before], cwd=ROOT, capture_output=True, text=True, timeout=150, check=False,
        env={"PATH": "", "CADMILL_STORAGE_DIRECTORY": str(tmp_path)},
    )  # fmt: skip
    assert told.stdout.strip() == "alive", told.stderr
