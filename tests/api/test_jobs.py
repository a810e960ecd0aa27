"""Jobs over real HTTP, done by a real worker."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tasks.catalogue import catalogue
from tests.api.conftest import JSON_LIMIT
from tests.api.test_parts import assert_problem, post
from tests.stack import SAMPLES, Stack, wait_until

PROBE = {"kind": "probe", "input": {"items": 3}}


def test_a_submitted_job_is_accepted_and_done(stack: Stack) -> None:
    answer = stack.http.post("/api/v1/jobs", json={**PROBE, "labels": {"project": "x"}, "priority": "urgent"})
    assert answer.status_code == 202
    job = answer.json()
    assert job["state"] == "queued"
    assert job["counts"] == {"total": 3, "succeeded": 0, "failed": 0, "cancelled": 0, "pending": 3}
    assert answer.headers["location"] == job["links"]["self"] == f"/api/v1/jobs/{job['id']}"
    assert answer.headers["x-request-id"].startswith("req_")
    ended = stack.wait(job["id"])
    assert (ended["state"], ended["labels"], ended["priority"]) == ("succeeded", {"project": "x"}, "urgent")
    assert ended["created_at"] <= ended["started_at"] <= ended["finished_at"]


def test_bad_files_end_their_own_items_each_with_its_own_code(stack: Stack) -> None:
    bad = SAMPLES / "bad"
    good = SAMPLES / "dxf" / "ae.r2000a.dxf"
    files = [bad / "empty.dxf", bad / "png_named.dxf", bad / "truncated.dxf", good]
    parts = [part["id"] for part in stack.upload(*files)]
    asked = [*parts[:3], "part_unknown", parts[3]]
    job = stack.submit("extraction", {"parts": asked})
    assert stack.wait(job["id"])["state"] == "partial"
    items = stack.items(job["id"])
    codes = [item["error"] and item["error"]["code"] for item in items]
    assert codes == ["FILE_EMPTY", "FORMAT_MISMATCH", "FILE_CORRUPT", "PART_NOT_FOUND", None]
    assert all(item["error"]["remedy"] for item in items[:4])
    assert items[4]["result"]["feature_version"] == "v3"
    assert len(items[4]["result"]["vector"]) == 22


def test_a_result_has_the_shape_it_promises_and_reading_it_again_takes_no_work(stack: Stack) -> None:
    parts = stack.upload(SAMPLES / "stl" / "angle_block.STL", SAMPLES / "dxf" / "ae.r2000a.dxf")
    asked = {"parts": [part["id"] for part in parts], "feature_version": "v2"}
    first = stack.submit("extraction", asked)
    assert stack.wait(first["id"])["state"] == "succeeded"
    results = [item["result"] for item in stack.items(first["id"])]
    for result in results:
        catalogue()["extraction"].answers.model_validate(result)
    assert [result["family"] for result in results] == ["3d", "2d"]
    again = stack.submit("extraction", asked)
    stack.wait(again["id"])
    assert [item["result"] for item in stack.items(again["id"])] == results
    forced = stack.submit("extraction", {**asked, "force": True})
    stack.wait(forced["id"])
    assert [item["result"]["vector"] for item in stack.items(forced["id"])] == [result["vector"] for result in results]
    assert stack.http.get(f"/api/v1/parts/{parts[0]['id']}").json()["vectors"][0]["feature_version"] == "v2"


def test_a_job_may_say_what_unit_its_files_are_in_and_each_question_has_its_own_answer(stack: Stack) -> None:
    parts = [part["id"] for part in stack.upload(SAMPLES / "stl" / "idler_riser.STL")]

    def extracted(**units: str) -> dict[str, Any]:
        job = stack.submit("extraction", {"parts": parts, "feature_version": "v2", **units})
        assert stack.wait(job["id"])["state"] == "succeeded"
        (item,) = stack.items(job["id"])
        result: dict[str, Any] = item["result"]
        return result

    bare, inches, again = extracted(), extracted(default_units="in"), extracted(default_units="in")
    assert (bare["units"]["origin"], bare["units"]["suspected"]) == ("assumed", "in")
    assert (inches["units"]["origin"], inches["units"]["name"]) == ("given", "in")
    # the stored answer for the same question, another one for another question
    assert again == inches
    assert extracted()["vector"] == bare["vector"]
    refused = stack.http.post("/api/v1/jobs", json={"kind": "extraction", "input": {"parts": parts, "units": "cubit"}})
    assert_problem(refused, 422, "REQUEST_INVALID")


def test_the_same_drawing_in_two_dxf_versions_is_found_and_so_is_the_same_file_twice(stack: Stack) -> None:
    names = ("ae.r2000a.dxf", "ae.r2013b.dxf", "wrench.dxf", "wrench.dxf", "1002_tray_bottom.DXF")
    parts = [part["id"] for part in stack.upload(*(SAMPLES / "dxf" / name for name in names))]
    stack.wait(stack.submit("extraction", {"parts": parts, "feature_version": "v4"})["id"])
    found = stack.submit("similarity", {"queries": parts[:3], "top_k": 50, "threshold": 0.99, "feature_version": "v4"})
    assert stack.wait(found["id"])["state"] == "succeeded"
    results = [item["result"] for item in stack.items(found["id"])]
    for result in results:
        catalogue()["similarity"].answers.model_validate(result)
        assert (result["engine"], result["epoch"] > 0) == ("approximate", True)
    mine = [[(hit["name"], hit["label"]) for hit in result["hits"] if hit["part_id"] in parts] for result in results]
    assert mine == [[("ae.r2013b.dxf", "same")], [("ae.r2000a.dxf", "same")], [("wrench.dxf", "exact")]]
    none = stack.submit("similarity", {"queries": parts[:1], "feature_version": "v1", "extract": False})
    stack.wait(none["id"])
    assert stack.items(none["id"])[0]["error"]["code"] == "DATA_NOT_FOUND"


def test_queries_of_one_batch_are_searched_together_and_in_parallel_where_there_are_processors(stack: Stack) -> None:
    before = stack.metric("batch_similarity_parallel_savings_seconds_count")
    copies = [part["id"] for part in stack.upload(*[SAMPLES / "stl" / "round.stl"] * 60)]
    stack.wait(stack.submit("extraction", {"parts": copies[:1], "feature_version": "v2"})["id"])
    batch = stack.submit("similarity", {"queries": copies, "top_k": 3, "feature_version": "v2"})
    ended = stack.wait(batch["id"])
    assert ended["counts"]["succeeded"] == 60
    many = len(os.sched_getaffinity(0)) > 1
    assert ended["summary"]["searched_parallel" if many else "searched_serially_one_processor"] == 60
    assert ("parallel_saved_milliseconds" in ended["summary"]) is many
    for item in stack.items(batch["id"]):
        oldest = [part for part in sorted(copies) if part != item["part_id"]][:3]
        assert [(hit["part_id"], hit["label"]) for hit in item["result"]["hits"]] == [(part, "exact") for part in oldest]
    assert stack.metric("batch_similarity_parallel_savings_seconds_count") - before == int(many)


def test_migration_cuts_down_extracts_up_and_a_dry_run_stores_nothing(stack: Stack) -> None:
    parts = [part["id"] for part in stack.upload(SAMPLES / "stl" / "plate_holes.STL", SAMPLES / "dxf" / "LM2.dxf")]
    stack.wait(stack.submit("extraction", {"parts": parts, "feature_version": "v3"})["id"])

    def migrate(**told: Any) -> list[dict[str, Any]]:
        job = stack.submit("migration", {"from": "v3", "selector": {"parts": parts}, **told})
        assert stack.wait(job["id"])["state"] == "succeeded"
        return [item["result"] for item in stack.items(job["id"])]

    def versions() -> dict[str, list[float]]:
        vectors = stack.http.get(f"/api/v1/parts/{parts[0]}").json()["vectors"]
        return {vector["feature_version"]: vector["result"]["vector"] for vector in vectors}

    assert [(one["way"], one["delta"], one["stored"]) for one in migrate(to="v1", dry_run=True)] == [("prefix", -14, False)] * 2
    assert set(versions()) == {"v3"}
    assert {(one["way"], one["stored"]) for one in migrate(to="v1")} == {("prefix", True)}
    assert {(one["way"], one["delta"]) for one in migrate(to="v4")} == {("extraction", 2)}
    assert {(one["way"], one["stored"]) for one in migrate(to="v4")} == {("present", False)}
    held = versions()
    assert held["v1"] == held["v3"][:8]
    assert held["v4"][:22] == held["v3"]


def test_prewarm_loads_the_hottest_vectors_up_to_its_limit(stack: Stack) -> None:
    parts = [part["id"] for part in stack.upload(*sorted((SAMPLES / "stl").iterdir())[:4])]
    stack.wait(stack.submit("extraction", {"parts": parts, "feature_version": "v3"})["id"])
    job = stack.submit("prewarm", {"max": 3, "selector": {"feature_version": "v3"}})
    assert stack.wait(job["id"])["state"] == "succeeded"
    (item,) = stack.items(job["id"])
    catalogue()["prewarm"].answers.model_validate(item["result"])
    assert len(item["result"]["workers"]) == 2
    assert {one["loaded"] + one["skipped"] for one in item["result"]["workers"]} == {3}
    assert item["result"]["silent"] == []


def test_submitting_twice_with_one_key_is_one_job(stack: Stack) -> None:
    headers = {"Idempotency-Key": "one-key"}
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: stack.http.post("/api/v1/jobs", json=PROBE, headers=headers), range(6)))
    accepted = {answer.json()["id"] for answer in answers if answer.status_code == 202}
    assert len(accepted) == 1
    assert {answer.status_code for answer in answers} <= {202, 409}
    again = stack.http.post("/api/v1/jobs", json=PROBE, headers=headers)
    assert again.json()["id"] in accepted
    other = stack.http.post("/api/v1/jobs", json={**PROBE, "priority": "low"}, headers=headers)
    assert_problem(other, 422, "IDEMPOTENCY_KEY_REUSED")
    assert_problem(stack.http.post("/api/v1/jobs", json=PROBE, headers={"Idempotency-Key": "x" * 256}), 400, "IDEMPOTENCY_KEY_INVALID")


def test_a_key_in_flight_is_409_and_a_refused_request_frees_its_key(stack: Stack) -> None:
    from foundation.settings import Settings
    from ledger import idempotency
    from ledger.session import Ledger

    ledger = Ledger(f"sqlite:///{stack.directory / 'cadmill.db'}", Settings().database)
    from tasks.submit import JobRequest, body_hash

    hashed = body_hash(JobRequest.model_validate(PROBE))
    with ledger.write() as tx:
        idempotency.claim(tx, stack.tenant_id, "in flight", hashed, 60)
    ledger.close()
    answer = stack.http.post("/api/v1/jobs", json=PROBE, headers={"Idempotency-Key": "in flight"})
    assert_problem(answer, 409, "IDEMPOTENCY_KEY_IN_FLIGHT")
    assert answer.headers["retry-after"] == "1"
    wrong = {"kind": "probe", "input": {"items": 0}}
    assert_problem(stack.http.post("/api/v1/jobs", json=wrong, headers={"Idempotency-Key": "freed"}), 422, "REQUEST_INVALID")
    assert stack.http.post("/api/v1/jobs", json=PROBE, headers={"Idempotency-Key": "freed"}).status_code == 202


@pytest.mark.parametrize(
    ("body", "code", "named"),
    [
        ({"kind": "extraction", "input": {}}, "REQUEST_INVALID", "parts"),
        ({"kind": "extraction", "input": {"parts": []}}, "REQUEST_INVALID", "parts"),
        ({"kind": "extraction", "input": {"parts": ["x"], "feature_version": "v9"}}, "REQUEST_INVALID", "feature_version"),
        ({"kind": "extraction", "input": {"parts": ["x"], "surprise": 1}}, "REQUEST_INVALID", "surprise"),
        ({"kind": "probe", "input": {}, "priority": "highest"}, "REQUEST_INVALID", "priority"),
        ({"kind": "probe", "input": {}, "max_concurrency": 0}, "REQUEST_INVALID", "max_concurrency"),
        ({"kind": "cooking", "input": {}}, "KIND_UNKNOWN", "cooking"),
        ({"kind": "probe", "input": {}, "callback_url": "ftp://example.com"}, "WEBHOOK_URL_FORBIDDEN", ""),
        ({"kind": "probe", "input": {}, "callback_url": "http://169.254.169.254/"}, "WEBHOOK_URL_FORBIDDEN", ""),
        ([], "REQUEST_INVALID", ""),
    ],
)
def test_a_request_that_cannot_be_done_is_refused_with_what_is_wrong(stack: Stack, body: Any, code: str, named: str) -> None:
    assert named in json.dumps(assert_problem(stack.http.post("/api/v1/jobs", json=body), 422, code)["context"])


def test_every_way_of_being_nobody_or_nowhere_has_its_code(stack: Stack) -> None:
    assert_problem(stack.http.get("/api/v1/jobs", headers={"X-API-Key": ""}), 401, "API_KEY_MISSING")
    assert_problem(stack.http.get("/api/v1/jobs", headers={"X-API-Key": "cadmill_x_y"}), 401, "API_KEY_UNKNOWN")
    assert_problem(stack.http.get("/api/v1/nothing"), 404, "ROUTE_NOT_FOUND")
    assert_problem(stack.http.put("/api/v1/jobs"), 405, "METHOD_NOT_ALLOWED")
    for path in ("", "/items", "/result", "/result.csv", "/result.jsonl", "/deliveries"):
        assert_problem(stack.http.get(f"/api/v1/jobs/job_unknown{path}"), 404, "JOB_NOT_FOUND")
    for path in ("/cancel", "/retry"):
        assert_problem(stack.http.post(f"/api/v1/jobs/job_unknown{path}"), 404, "JOB_NOT_FOUND")
    nested = stack.http.post("/api/v1/jobs", content=b"{" * 10_000, headers={"content-type": "application/json"})
    assert_problem(nested, 422, "REQUEST_INVALID")
    assert_problem(stack.http.post("/api/v1/jobs", content=b" " * (JSON_LIMIT + 1)), 413, "BODY_TOO_LARGE")


def test_a_running_job_can_be_cancelled_and_stays_so(stack: Stack) -> None:
    for _ in range(5):  # a cancel between two chunks has no attempt to overtake
        job = stack.submit("probe", {"items": 200, "ms": 50})
        stack.wait_for_progress(job["id"], 1)
        time.sleep(0.3)  # into the middle of a chunk, of 1.25 s: both workers end theirs together
        cancelled = stack.http.post(f"/api/v1/jobs/{job['id']}/cancel")
        assert cancelled.json()["state"] == "cancelled"
        counts = cancelled.json()["counts"]
        assert counts["cancelled"] > 0
        assert counts["succeeded"] > 0
        assert counts["pending"] == 0
        with contextlib.suppress(AssertionError):
            wait_until(lambda: stack.metric("stale_commit_total") > 0, 5)
            break
    assert stack.metric("stale_commit_total") > 0
    assert stack.job(job["id"])["counts"] == counts
    assert_problem(stack.http.post(f"/api/v1/jobs/{job['id']}/cancel"), 409, "JOB_FINISHED")
    assert_problem(stack.http.post(f"/api/v1/jobs/{job['id']}/retry"), 409, "JOB_NOT_RETRYABLE")


def test_failed_items_are_done_again_when_asked(stack: Stack) -> None:
    job = stack.submit("probe", {"items": 10, "faults": {"2": "fail", "7": "raise"}})
    assert stack.wait(job["id"])["counts"]["failed"] == 2
    again = stack.http.post(f"/api/v1/jobs/{job['id']}/retry")
    assert again.status_code == 202
    assert (again.json()["state"], again.json()["generation"]) == ("queued", 2)
    assert again.json()["counts"] == {"total": 10, "succeeded": 8, "failed": 0, "cancelled": 0, "pending": 2}
    assert stack.wait(job["id"])["counts"]["failed"] == 2
    codes = {item["index"]: item["error"]["code"] for item in stack.items(job["id"]) if item["error"]}
    assert codes == {2: "PROBE_FAILED", 7: "ENGINE_DEFECT"}


def test_a_passing_fault_is_tried_again_by_itself_until_it_is_given_up(stack: Stack) -> None:
    job = stack.submit("probe", {"items": 10, "faults": {"3": "unsteady"}})
    assert stack.wait(job["id"])["state"] == "succeeded"
    assert [item["attempts"] for item in stack.items(job["id"])].count(2) == 1


def test_a_job_waits_for_its_time(stack: Stack) -> None:
    begin = time.time() + 1.5
    job = stack.submit("probe", {"items": 1}, run_after=begin)
    ended = stack.wait(job["id"])
    from datetime import datetime

    assert datetime.fromisoformat(ended["started_at"]).timestamp() >= begin


def test_an_urgent_job_overtakes_the_low_ones_that_wait(stack: Stack) -> None:
    low = stack.submit("probe", {"items": 60, "ms": 100, "bytes": 10**9}, priority="low")
    stack.wait_for_progress(low["id"], 2)
    urgent = stack.wait(stack.submit("probe", {"items": 1}, priority="urgent")["id"], 10)
    assert urgent["state"] == "succeeded"
    assert stack.job(low["id"])["state"] == "running"
    stack.http.post(f"/api/v1/jobs/{low['id']}/cancel")


def test_max_concurrency_bounds_the_chunks_that_run_at_once(stack: Stack) -> None:
    job = stack.submit("probe", {"items": 6, "ms": 100, "bytes": 10**9}, max_concurrency=1)
    ended = stack.wait(job["id"])
    assert ended["state"] == "succeeded"
    from datetime import datetime

    took = datetime.fromisoformat(ended["finished_at"]) - datetime.fromisoformat(ended["started_at"])
    assert took.total_seconds() >= 0.6


def test_results_come_as_json_lines_and_a_table_that_no_spreadsheet_runs(stack: Stack) -> None:
    drawing = (SAMPLES / "dxf" / "ae.r2000a.dxf").read_bytes()
    parts = post(stack, ("=cmd().dxf", drawing), ("empty.dxf", b"")).json()["parts"]
    job = stack.submit("extraction", {"parts": [part["id"] for part in parts], "feature_version": "v4"})
    stack.wait(job["id"])
    here = f"/api/v1/jobs/{job['id']}/result"
    whole = stack.http.get(here).json()
    assert whole["job"]["id"] == job["id"]
    lines = [json.loads(line) for line in stack.http.get(f"{here}.jsonl").text.splitlines()]
    assert lines == whole["items"]
    rows = list(csv.DictReader(io.StringIO(stack.http.get(f"{here}.csv").text)))
    assert [row["name"] for row in rows] == ["'=cmd().dxf", "empty.dxf"]
    assert rows[0]["surface_count"] == str(lines[0]["result"]["surface_count"])
    assert float(rows[0]["slot_log_length"]) == lines[0]["result"]["slots"]["log_length"]
    assert rows[1]["code"] == "FILE_EMPTY"


def test_jobs_are_listed_newest_first_and_filtered(stack: Stack) -> None:
    made = [stack.submit("probe", {"items": 1})["id"] for _ in range(3)]
    for job in made:
        stack.wait(job)
    page = stack.http.get("/api/v1/jobs", params={"limit": 2, "kind": "probe"}).json()
    assert [job["id"] for job in page["jobs"]] == made[::-1][:2]
    follow = stack.http.get("/api/v1/jobs", params={"limit": 1, "kind": "probe", "cursor": page["next_cursor"]}).json()
    assert [job["id"] for job in follow["jobs"]] == made[:1]
    assert stack.http.get("/api/v1/jobs", params={"kind": "probe", "state": "queued"}).json()["jobs"] == []


def test_health_and_metrics_tell_how_it_stands(stack: Stack) -> None:
    assert stack.http.get("/health/live").json() == {"status": "live"}
    assert stack.http.get("/health/ready").json() == {"status": "ready", "database": "up", "redis": "up"}
    stack.wait(stack.submit("probe", {"items": 4})["id"])
    assert stack.metric('cadmill_items_total{kind="probe",outcome="succeeded"}'.partition("{")[0]) >= 4
    assert stack.metric("cadmill_http_seconds_count") > 0


def test_the_openapi_document_tells_every_address(stack: Stack) -> None:
    document = stack.http.get("/openapi.json").json()
    assert {"/api/v1/parts", "/api/v1/jobs", "/api/v1/jobs/{job_id}/result.csv", "/health/ready", "/metrics"} <= set(document["paths"])
    assert stack.http.get("/docs").status_code == 200


def test_a_deadline_that_cannot_be_kept_is_refused_and_one_that_can_is_told(stack: Stack) -> None:
    for deadline in (-5, 1_500_000_000, "2001-01-01T00:00:00Z", "2300-01-01T00:00:00", "soon"):
        answer = stack.http.post("/api/v1/jobs", json={**PROBE, "deadline": deadline})
        assert_problem(answer, 422, "REQUEST_INVALID")
    later = time.time() + 50
    answer = stack.http.post("/api/v1/jobs", json={**PROBE, "deadline": 20, "run_after": later})
    assert_problem(answer, 422, "REQUEST_INVALID")
    for deadline in (3600, "2099-01-01T00:00:00+02:00", 4_000_000_000):
        job = stack.submit("probe", {"items": 1}, deadline=deadline)
        assert job["deadline"] > job["created_at"]
        assert stack.wait(job["id"])["state"] == "succeeded"
