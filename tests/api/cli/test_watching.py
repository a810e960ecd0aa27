"""What `cadmill watch` says of a job that waits."""

from __future__ import annotations

import pytest

from api.cli.show import Watched


def test_a_job_that_waits_is_shown_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    counts = {"total": 3, "succeeded": 0, "failed": 0, "cancelled": 0, "pending": 3}
    watched = Watched(None)
    watched.update({"state": "queued", "counts": counts, "waiting": {"sentence": "behind 41 chunk(s); starts in about 12 s"}})
    assert capsys.readouterr().out == "queued: behind 41 chunk(s); starts in about 12 s\n"
