"""An API process of a campaign: `python -m tests.faults.campaign.api FD`."""

from __future__ import annotations

import sys

import uvicorn

from tests.faults.campaign import inside

if __name__ == "__main__":
    inside.prepare()
    from api.app import create

    uvicorn.run(create(), fd=int(sys.argv[1]), log_level="warning", timeout_graceful_shutdown=5)
