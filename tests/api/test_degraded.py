"""A fleet whose faiss cannot be imported: answers are right, say so, and every door tells it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.test_engine import health
from tests.stack import SAMPLES, Stack, running, wait_until

TOKEN = "the token of whoever runs this"


@pytest.fixture
def without_faiss(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[Stack]:
    """A stack whose processes find another module under that name first."""
    folder = tmp_path_factory.mktemp("degraded")
    (folder / "faiss.py").write_text('raise ImportError("no faiss here")\n')
    variables = {"PYTHONPATH": folder, "ADMIN_TOKEN": TOKEN, "FAISS_RECOVERY_INTERVAL_SECONDS": "3000"}
    with running(folder / "stack", redis_url.removesuffix("/0") + "/6", "", "api", "compute", **variables) as stack:
        yield stack


def test_without_faiss_similarity_is_exact_and_says_degraded_until_it_is_back(without_faiss: Stack) -> None:
    stack = without_faiss
    parts = [part["id"] for part in stack.upload(*sorted((SAMPLES / "stl").iterdir())[:5])]
    stack.wait(stack.submit("extraction", {"parts": parts})["id"])

    def engines() -> set[str]:
        job = stack.submit("similarity", {"queries": parts, "top_k": 2})
        assert stack.wait(job["id"])["state"] == "succeeded"
        results = [item["result"] for item in stack.items(job["id"])]
        assert all(len(result["hits"]) == 2 for result in results)
        return {result["engine"] for result in results}

    assert engines() == {"degraded"}
    wait_until(lambda: health(stack)["recovery_status"] == "degraded")
    told = health(stack)
    assert (told["reason"], told["flapping"], told["last_recovery_attempt"]) == ("import", False, None)
    assert told["next_recovery_attempt"] is not None
    assert stack.metric("similarity_degraded_total") >= 6
    admin = {"X-Admin-Token": TOKEN}
    assert stack.http.post("/api/v1/health/faiss/recover", headers=admin).status_code == 202
    wait_until(lambda: not health(stack)["recovery"]["running"])
    assert "failed" in {one["result"] for one in health(stack)["recovery"]["answers"]}
    assert stack.metric("faiss_recovery_attempts_total") >= 1
    (stack.directory.parent / "faiss.py").unlink()
    assert stack.http.post("/api/v1/health/faiss/recover", headers=admin).status_code == 202
    wait_until(lambda: not health(stack)["recovery"]["running"])
    assert health(stack)["recovery_status"] == "healthy"
    assert engines() == {"approximate"}
