"""Batches of queries over real HTTP: what they may ask, the pairs and clusters they answer, and marks that people set on pairs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from tasks.catalogue import catalogue
from tests.api.test_parts import assert_problem
from tests.stack import SAMPLES, Stack

DRAWINGS = ("ae.r12a.dxf", "ae.r2000a.dxf", "ae.r2013b.dxf", "wrench.dxf")
Json = dict[str, Any]
Compare = Callable[..., Json]


def upload(stack: Stack, pile: str, *names: str) -> list[Json]:
    """Files under a label of their own, so that other tests' parts stay out of sight."""
    files = [("files", (name.rpartition("/")[2], (SAMPLES / name).read_bytes())) for name in names]
    answer = stack.http.post("/api/v1/parts", files=files, data={"labels": json.dumps({"pile": pile})})
    assert answer.status_code == 201, answer.text
    return list(answer.json()["parts"])


def compare(stack: Stack, pile: str, **more: Any) -> Json:
    """A job over the pile alone that has ended."""
    among = {"labels": {"pile": pile}} | more.pop("filters", {})
    asked = {"queries": {"labels": {"pile": pile}}, "filters": among, "feature_version": "v4", **more}
    return stack.wait(stack.submit("similarity", asked)["id"])


@pytest.fixture(scope="module")
def drawings(stack: Stack) -> list[Json]:
    return upload(stack, "drawings", *(f"dxf/{name}" for name in DRAWINGS), "dxf/wrench.dxf")


@pytest.fixture(scope="module")
def first(stack: Stack, drawings: list[Json]) -> Json:
    """A job whose queries had no vectors when it began."""
    return compare(stack, "drawings", scale_invariant=True)


@pytest.fixture(scope="module")
def job(stack: Stack, first: Json) -> Json:
    return compare(stack, "drawings", scale_invariant=True)


def pairs(stack: Stack, job: Json, **asked: Any) -> list[Json]:
    """All pairs of a job, two a page."""
    found: list[Json] = []
    cursor = None
    while True:
        page = stack.http.get(f"/api/v1/jobs/{job['id']}/pairs", params={"limit": 2, **asked, **({"cursor": cursor} if cursor else {})})
        assert page.status_code == 200, page.text
        found += page.json()["pairs"]
        cursor = page.json()["next_cursor"]
        if cursor is None:
            return found


def names(pair: Json) -> tuple[str, str]:
    first, second = sorted((pair["first"]["name"], pair["second"]["name"]))
    return first, second


def test_queries_are_chosen_by_label_and_each_sees_all_others(stack: Stack, drawings: list[Json], job: Json) -> None:
    assert (job["state"], job["counts"]["total"]) == ("succeeded", 5)
    for item in stack.items(job["id"]):
        catalogue()["similarity"].answers.model_validate(item["result"])
        assert {hit["part_id"] for hit in item["result"]["hits"]} == {part["id"] for part in drawings} - {item["part_id"]}
        assert item["result"]["unseen"] == 0


def test_queries_without_a_vector_are_extracted_and_no_pair_is_missed_by_both_sides(
    stack: Stack, drawings: list[Json], first: Json, job: Json
) -> None:
    assert [one["feature_version"] for one in stack.http.get(f"/api/v1/parts/{drawings[0]['id']}").json()["vectors"]] == ["v4"]
    assert {names(pair) for pair in pairs(stack, first)} == {names(pair) for pair in pairs(stack, job)}
    # what could not be seen yet is told with each answer
    assert all(len(item["result"]["hits"]) + item["result"]["unseen"] == 4 for item in stack.items(first["id"]))


def test_a_shorter_version_is_cut_from_what_is_there_and_nothing_is_extracted_when_not_wanted(stack: Stack) -> None:
    (part,) = upload(stack, "cut", "stl/cylinder.stl")
    refused = compare(stack, "cut", extract=False)
    assert [item["error"]["code"] for item in stack.items(refused["id"])] == ["DATA_NOT_FOUND"]
    assert compare(stack, "cut")["state"] == "succeeded"
    assert compare(stack, "cut", feature_version="v1", extract=True)["state"] == "succeeded"
    vectors = {one["feature_version"]: one["result"]["vector"] for one in stack.http.get(f"/api/v1/parts/{part['id']}").json()["vectors"]}
    assert vectors["v1"] == vectors["v4"][:8]


def test_a_bad_file_and_an_unknown_id_fail_alone(stack: Stack) -> None:
    good, bad = upload(stack, "bad", "stl/cylinder.stl", "bad/nan_inf.stl")
    ended = stack.wait(stack.submit("similarity", {"queries": [good["id"], bad["id"], "part_of_nobody"], "feature_version": "v4"})["id"])
    codes = [(item["error"] or {}).get("code") for item in stack.items(ended["id"])]
    assert (ended["state"], codes) == ("partial", [None, "GEOMETRY_INVALID", "PART_NOT_FOUND"])


def test_a_selector_that_selects_nothing_or_names_nothing_is_refused(stack: Stack) -> None:
    for queries in ({"labels": {"pile": "of nobody"}}, {}, {"label": {}}):
        refused = stack.http.post("/api/v1/jobs", json={"kind": "similarity", "input": {"queries": queries}})
        assert_problem(refused, 422, "REQUEST_INVALID")


def test_each_pair_is_told_once_with_its_evidence_however_it_is_paged(stack: Stack, job: Json) -> None:
    found = pairs(stack, job)
    assert len(found) == len({frozenset((pair["first"]["part_id"], pair["second"]["part_id"])) for pair in found}) == 10
    told = {names(pair): pair for pair in found}
    releases = told["ae.r2000a.dxf", "ae.r2013b.dxf"]
    assert (releases["label"], releases["equal"], releases["score"], releases["slots"]) == ("same", True, 1.0, [])
    assert told["wrench.dxf", "wrench.dxf"]["label"] == "exact"
    old = told["ae.r12a.dxf", "ae.r2000a.dxf"]
    assert (old["label"], old["likely"], old["units_suspected"]) == ("near", True, True)
    assert old["size_ratio"] == pytest.approx(25.4, rel=0.01)
    assert 0 < sum(slot["share"] for slot in old["slots"]) <= 1
    assert told["ae.r12a.dxf", "wrench.dxf"]["likely"] is False


def test_pairs_are_streamed_as_lines_and_as_a_table_and_chosen_by_label_and_score(stack: Stack, job: Json) -> None:
    here = f"/api/v1/jobs/{job['id']}/pairs"
    whole = pairs(stack, job)
    assert [json.loads(text) for text in stack.http.get(f"{here}.jsonl").text.splitlines()] == whole
    rows = list(csv.DictReader(io.StringIO(stack.http.get(f"{here}.csv").text)))
    assert [(row["first_name"], row["second_name"], float(row["score"])) for row in rows] == [
        (pair["first"]["name"], pair["second"]["name"], pair["score"]) for pair in whole
    ]
    assert {pair["label"] for pair in pairs(stack, job, label=["exact", "same"])} == {"exact", "same"}
    assert all(pair["likely"] for pair in pairs(stack, job, label="likely"))
    assert all(pair["score"] >= 0.95 for pair in pairs(stack, job, threshold=0.95))


def test_a_pair_of_which_only_one_part_saw_the_other_is_told_once_too(stack: Stack, drawings: list[Json]) -> None:
    found = pairs(stack, compare(stack, "drawings", scale_invariant=True, top_k=1))
    both = [(pair["first"]["part_id"], pair["second"]["part_id"]) for pair in found]
    assert len(both) == len({frozenset(pair) for pair in both})
    assert {part for pair in both for part in pair} == {part["id"] for part in drawings}


def test_clusters_say_what_is_in_them_and_by_which_hits(stack: Stack, job: Json) -> None:
    def clusters(**asked: Any) -> Json:
        answer = stack.http.get(f"/api/v1/jobs/{job['id']}/clusters", params=asked)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    found = clusters()
    assert sorted(tuple(part["name"] for part in one["parts"]) for one in found["clusters"]) == [
        ("ae.r2000a.dxf", "ae.r2013b.dxf"), ("wrench.dxf", "wrench.dxf")
    ]  # fmt: skip
    assert {tuple(one["labels"].items()) for one in found["clusters"]} == {(("same", 1),), (("exact", 1),)}
    wider = clusters(label=["same", "likely"])["clusters"]
    assert [part["name"] for part in wider[0]["parts"]] == list(DRAWINGS[:3])
    assert {pair["label"] for pair in wider[0]["evidence"]} == {"same", "near"}
    first = clusters(limit=1)
    assert [one["id"] for one in first["clusters"] + clusters(limit=1, cursor=first["next_cursor"])["clusters"]] == [
        one["id"] for one in found["clusters"]
    ]
    assert clusters(limit=1, cursor=first["next_cursor"])["next_cursor"] is None


def test_where_contents_count_copies_are_asked_for_once(stack: Stack, drawings: list[Json]) -> None:
    found = compare(stack, "drawings", distinct=True)
    assert found["counts"]["total"] == 4
    assert "exact" not in {pair["label"] for pair in pairs(stack, found)}


def test_only_hits_with_the_wanted_format_label_and_match_are_shown(stack: Stack, drawings: list[Json]) -> None:
    assert pairs(stack, compare(stack, "drawings", filters={"format": "stl"})) == []
    assert pairs(stack, compare(stack, "drawings", filters={"labels": {"pile": "another"}})) == []
    assert {pair["label"] for pair in pairs(stack, compare(stack, "drawings", filters={"matches": ["same"]}))} == {"same"}


def test_a_part_is_a_hit_of_itself_when_asked_for_and_never_a_pair(stack: Stack, drawings: list[Json]) -> None:
    with_self = compare(stack, "drawings", include_self=True)
    for item in stack.items(with_self["id"]):
        assert [hit["label"] for hit in item["result"]["hits"] if hit["part_id"] == item["part_id"]] == ["exact"]
    assert not [pair for pair in pairs(stack, with_self) if pair["first"]["part_id"] == pair["second"]["part_id"]]


def test_a_rejected_pair_is_left_out_and_counted_a_confirmed_one_says_so_and_all_are_shown_on_request(stack: Stack) -> None:
    upload(stack, "reviewed", *(f"dxf/{name}" for name in DRAWINGS))
    job = compare(stack, "reviewed", scale_invariant=True)
    by_names = {names(pair): pair for pair in pairs(stack, job)}

    def mark(mark: str, *of: str) -> Json:
        pair = by_names[of[0], of[1]]
        # one side by its id, the other by its content
        review = {"first": pair["second"]["part_id"], "second": pair["first"]["sha256"], "mark": mark, "note": "seen", "by": "Ada"}
        answer = stack.http.put("/api/v1/reviews", json={"reviews": [review]})
        assert answer.status_code == 200, answer.text
        return {side: answer.json()["reviews"][0][side] for side in ("first", "second")}

    marked = [
        mark("rejected", "ae.r2000a.dxf", "ae.r2013b.dxf"), mark("ignored", "ae.r12a.dxf", "wrench.dxf"),
        mark("confirmed", "ae.r12a.dxf", "ae.r2000a.dxf"),
    ]  # fmt: skip
    try:
        page = stack.http.get(f"/api/v1/jobs/{job['id']}/pairs", params={"limit": 100}).json()
        assert page["left_out"] == {"rejected": 1, "ignored": 1, "deleted": 0}
        assert {names(pair) for pair in page["pairs"]} == set(by_names) - {
            ("ae.r2000a.dxf", "ae.r2013b.dxf"),
            ("ae.r12a.dxf", "wrench.dxf"),
        }
        (confirmed,) = [pair["review"] for pair in page["pairs"] if pair["review"]]
        assert (confirmed["mark"], confirmed["by"], confirmed["note"]) == ("confirmed", "Ada", "seen")
        assert len(pairs(stack, job, reviewed="include")) == len(by_names)
        clusters = stack.http.get(f"/api/v1/jobs/{job['id']}/clusters").json()
        assert (clusters["clusters"], clusters["left_out"]) == ([], {"rejected": 1, "ignored": 0})
        listed = stack.http.get("/api/v1/reviews", params={"mark": "rejected"}).json()["reviews"]
        assert [{side: one[side] for side in ("first", "second")} for one in listed] == marked[:1]
    finally:
        for one in marked:
            assert stack.http.delete("/api/v1/reviews", params=one).status_code == 204
    assert len(pairs(stack, job)) == len(by_names)
    assert_problem(stack.http.delete("/api/v1/reviews", params=marked[0]), 404, "REVIEW_NOT_FOUND")
    refused = {"first": "part_of_nobody", "second": marked[0]["first"], "mark": "rejected"}
    assert_problem(stack.http.put("/api/v1/reviews", json={"reviews": [refused]}), 404, "PART_NOT_FOUND")


def test_only_a_similarity_job_has_pairs_and_a_wrong_cursor_is_told(stack: Stack, job: Json) -> None:
    other = stack.submit("probe", {"items": 1})
    for what in ("pairs", "pairs.csv", "pairs.jsonl", "clusters"):
        assert_problem(stack.http.get(f"/api/v1/jobs/{other['id']}/{what}"), 409, "JOB_WITHOUT_HITS")
        assert_problem(stack.http.get(f"/api/v1/jobs/job_of_nobody/{what}"), 404, "JOB_NOT_FOUND")
    for cursor in ("!", "YWJj", "MS54"):
        assert_problem(stack.http.get(f"/api/v1/jobs/{job['id']}/pairs", params={"cursor": cursor}), 400, "CURSOR_INVALID")
