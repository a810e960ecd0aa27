"""An API process that is killed between the commit of a job and its ring: `python -m tests.faults.api_that_dies FD`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace

import uvicorn

from api.app import create
from api.house import build
from foundation.settings import settings
from tasks.celery import app as celery_app
from tasks.ring import Doorbell, Ring


class DeadlyDoorbell(Doorbell):
    """Whoever touches it is gone: no clean-up, no answer, no ring."""

    def ring(self, rings: Sequence[Ring]) -> bool:
        os.kill(os.getpid(), signal.SIGKILL)
        return False


if __name__ == "__main__":
    uvicorn.run(create(replace(build(settings()), doorbell=DeadlyDoorbell(celery_app))), fd=int(sys.argv[1]), log_level="warning")
