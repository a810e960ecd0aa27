"""What the zygote lets the kernel do before it forks: enough to spare its children the first time, and nothing that forks badly."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from foundation.engine_settings import CadSettings
from tests.workers.cad.kernel_here import needs_kernel
from workers.cad.readers import read

FILE = Path(__file__).parents[2] / "data" / "step" / "6-6-6-13-13-23.step"


def first_reading() -> float:
    """CPU seconds of the first file in a new child of this process."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        started = time.process_time()
        read(FILE, FILE.name, CadSettings(step_kernel="always"))
        os.write(theirs, repr(time.process_time() - started).encode())
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours) as told:
        seconds = float(told.read())
    os.waitpid(child, 0)
    return seconds


def in_a_new_process() -> None:
    from workers.cad.brep.kernel import need_kernel

    need_kernel()
    from workers.cad.brep.rehearsal import rehearse

    # the quickest of some: a busy machine only adds
    before = min(first_reading() for _ in range(7))
    handles, threads = len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
    rehearse()
    assert len(os.listdir("/proc/self/fd")) == handles
    assert len(os.listdir("/proc/self/task")) == threads == 1
    after = min(first_reading() for _ in range(7))
    print(f"CPU of the first file of a child: {before * 1e3:.1f} ms, after a rehearsal {after * 1e3:.1f} ms")
    assert after < before


@needs_kernel
def test_a_rehearsal_spares_children_the_first_time_and_leaves_neither_handles_nor_threads() -> None:

    root = Path(__file__).parents[3]
    program = "from tests.workers.cad.test_rehearsal import in_a_new_process; in_a_new_process()"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", program], cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    print(done.stdout)
