"""Pairs, clusters and the duplicates report over results written by hand, on both databases."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from foundation.clock import SYSTEM
from foundation.errors import Failure
from ledger import hits, jobs, parts, reviews
from ledger.jobs import NewItem, NewJob
from ledger.parts import NewPart
from ledger.reviews import Review
from ledger.settling import Outcome
from tasks import clusters, duplicates, pairs
from tasks.duplicates import Kind
from tasks.pairs import Asked
from tasks.similarity import Sought
from tests.ledger.conftest import Desk

EVERYTHING = {"feature_version": "v4", "all_against_all": True}


def sha(name: str) -> str:
    return name[:1] * 64


def keep(desk: Desk, *names: str) -> None:
    """Parts with these ids; those whose first letter is the same have the same content."""
    with desk.ledger.write() as tx:
        parts.add(tx, desk.tenant.id, [NewPart(name, f"{name}.stl", sha(name), 1, "stl") for name in names], {})


def hit(part: str, label: str = "same", score: float = 0.99, **more: Any) -> dict[str, Any]:
    told = {"label": label, "score": score, "equal": False, "likely": False, "distance": 0.001, "size_ratio": 1.0, "units_suspected": False}
    return {"part_id": part, "name": part, "slots": [], **told, **more}


def searched(desk: Desk, found: Mapping[str, Sequence[dict[str, Any]]], **told: Any) -> str:
    """A similarity job of one item a part that has ended with these hits."""
    job = NewJob(
        id=SYSTEM.new_id("job"), tenant_id=desk.tenant.id, kind="similarity", queue="similarity", priority="normal", step=6,
        input=EVERYTHING | told, size=desk.size, items=[NewItem(part_id=name) for name in found],
    )  # fmt: skip
    with desk.ledger.write() as tx:
        jobs.add(tx, job)
    done = 0
    while done < len(found):
        claimed = desk.must_claim(f"{job.id}.{done // 10}")
        outcomes = [Outcome(item.index, result={"hits": list(found[str(item.part_id)])}) for item in claimed.items]
        with desk.ledger.write() as tx:
            jobs.finish(tx, claimed, outcomes)
        done += len(claimed.items)
    return job.id


def told(desk: Desk, job: str, limit: int = 100, **asked: Any) -> list[tuple[str, str]]:
    found, after = [], pairs.START
    while True:
        page = pairs.page(desk.ledger, desk.tenant.id, job, Asked(**asked), limit, after)
        found += [(pair["first"]["part_id"], pair["second"]["part_id"]) for pair in page["pairs"]]
        if page["last"] is None:
            return found
        after = page["last"]


@pytest.mark.parametrize("seed", range(2))
def test_every_unordered_pair_is_told_once_whoever_saw_whom_and_however_it_is_paged(desk: Desk, seed: int) -> None:
    dice = random.Random(seed)
    names = [f"{letter}{n}" for letter in "abcd" for n in range(4)]
    keep(desk, *names)
    # some parts are hits without having been asked for, and some pairs are seen by one side only
    found = {name: [hit(other) for other in dice.sample(names, 5) if other != name] for name in dice.sample(names, 11)}
    job = searched(desk, found)
    wanted = {frozenset((name, one["part_id"])) for name, some in found.items() for one in some}
    for limit in (1, 3, 100):
        got = told(desk, job, limit)
        assert len(got) == len(wanted)
        assert {frozenset(pair) for pair in got} == wanted


def test_a_part_that_was_asked_for_twice_tells_its_pairs_once(desk: Desk) -> None:
    keep(desk, "a", "b")
    job = NewJob(
        id=SYSTEM.new_id("job"), tenant_id=desk.tenant.id, kind="similarity", queue="similarity", priority="normal", step=6,
        input=EVERYTHING, size=desk.size, items=[NewItem(part_id=name) for name in ("a", "a", "b")],
    )  # fmt: skip
    with desk.ledger.write() as tx:
        jobs.add(tx, job)
    claimed = desk.must_claim(f"{job.id}.0")
    with desk.ledger.write() as tx:
        jobs.finish(tx, claimed, [Outcome(at, result={"hits": [hit(name)]}) for at, name in enumerate(("b", "b", "a"))])
    assert told(desk, job.id) == [("a", "b")]


def test_deleted_parts_are_left_out_and_labels_and_scores_choose(desk: Desk) -> None:
    keep(desk, "a", "b", "c", "d")
    job = searched(desk, {"a": [hit("b"), hit("c", "near", 0.8, likely=True), hit("d", "near", 0.7)]})
    assert told(desk, job, matches=frozenset({Sought.LIKELY})) == [("a", "c")]
    assert told(desk, job, threshold=0.75) == [("a", "b"), ("a", "c")]
    with desk.ledger.write() as tx:
        parts.delete(tx, desk.tenant.id, "b")
    page = pairs.page(desk.ledger, desk.tenant.id, job, Asked(), 100)
    assert (len(page["pairs"]), page["left_out"]["deleted"]) == (2, 1)


def test_results_of_a_release_that_told_less_are_pairs_all_the_same(desk: Desk) -> None:
    keep(desk, "a", "b")
    old = {"part_id": "b", "name": "b", "label": "same", "score": 1.0, "size_ratio": 1.0, "units_suspected": False}
    job = searched(desk, {"a": [old]})
    (pair,) = pairs.stream(desk.ledger, desk.tenant.id, job, Asked())
    assert (pair["label"], pair["likely"], pair["slots"]) == ("same", None, [])
    assert [group["kind"] for group in report(desk)["groups"]] == ["part"]


def test_only_ended_results_of_similarity_jobs_are_read(desk: Desk) -> None:
    probe = desk.add(1)
    with desk.ledger.read() as tx:
        for job, code in ((probe, "JOB_WITHOUT_HITS"), ("job_x", "JOB_NOT_FOUND")):
            with pytest.raises(Failure, match=code):
                hits.searched(tx, desk.tenant.id, job)


def test_clusters_hang_together_by_the_surest_hits_and_not_by_rejected_ones(desk: Desk) -> None:
    keep(desk, "a", "b", "c", "d", "e")
    job = searched(desk, {"a": [hit("b"), hit("c", "scaled")], "b": [hit("c")], "d": [hit("e", "near")]})
    asked = Asked(frozenset({Sought.SAME, Sought.SCALED}))

    def found() -> list[tuple[list[str], list[str]]]:
        page = clusters.page(desk.ledger, desk.tenant.id, job, asked, 10, 0)
        return [([part["part_id"] for part in one["parts"]], [pair["label"] for pair in one["evidence"]]) for one in page["clusters"]]

    assert found() == [(["a", "b", "c"], ["same", "same"])]
    mark(desk, "b", "c", "rejected")
    assert found() == [(["a", "b", "c"], ["same", "scaled"])]
    mark(desk, "a", "b", "ignored")
    assert found() == [(["a", "c"], ["scaled"])]


def mark(desk: Desk, one: str, other: str, how: str) -> None:
    with desk.ledger.write() as tx:
        reviews.put(tx, desk.tenant.id, [Review(reviews.ordered(sha(one), sha(other)), how, "Ada", "")])


def report(desk: Desk, job: str | None = None, kinds: frozenset[Kind] = frozenset(Kind), reviewed: bool = False) -> dict[str, Any]:
    about = duplicates.report(desk.ledger, desk.tenant.id, job, kinds, reviewed)
    return about.head() | {"groups": list(duplicates.told(desk.ledger, desk.tenant.id, about, about.groups))}


def shown(told: dict[str, Any]) -> list[tuple[str, list[str]]]:
    return [(group["kind"], [part["id"] for part in group["parts"]]) for group in told["groups"]]


def test_groups_are_told_under_the_weakest_evidence_they_need_and_name_the_surer_ones_within(desk: Desk) -> None:
    keep(desk, "a1", "a2", "b", "c", "d", "e", "f", "g")
    found = {
        "a1": [hit("b", equal=True), hit("c")], "c": [hit("d", "near", likely=True)],
        "d": [hit("e", "scaled", size_ratio=25.4, units_suspected=True)], "e": [hit("f", "scaled", size_ratio=2.0), hit("g", "near")],
    }  # fmt: skip
    searched(desk, found)
    told = report(desk)
    assert shown(told) == [
        ("content", ["a1", "a2"]), ("geometry", ["a1", "a2", "b"]), ("part", ["a1", "a2", "b", "c"]),
        ("likely", ["a1", "a2", "b", "c", "d"]), ("units", ["a1", "a2", "b", "c", "d", "e"]),
        ("size", ["a1", "a2", "b", "c", "d", "e", "f"]),
    ]  # fmt: skip
    for outer, inner in zip(told["groups"][1:], told["groups"], strict=False):
        assert {part["subgroup"] for part in outer["parts"]} == {inner["id"], None}
        assert len(outer["evidence"]) == outer["evidence_total"] == 1
    assert {kind: one["groups"] for kind, one in told["kinds"].items()} == dict.fromkeys(Kind, 1)


def test_copies_are_those_of_now_and_need_no_job(desk: Desk) -> None:
    keep(desk, "a1", "b")
    only = frozenset({Kind.CONTENT})
    assert shown(report(desk, kinds=only)) == []
    with pytest.raises(Failure, match="DUPLICATES_UNSEARCHED") as refused:
        report(desk)
    assert refused.value.context["job"] == {"kind": "similarity", "input": duplicates.COMPARISON}
    keep(desk, "a2")
    assert shown(report(desk, kinds=only)) == [("content", ["a1", "a2"])]
    with desk.ledger.write() as tx:
        parts.delete(tx, desk.tenant.id, "a1")
    assert shown(report(desk, kinds=only)) == []


def test_a_deleted_part_takes_nothing_along_that_another_part_has_too(desk: Desk) -> None:
    keep(desk, "a1", "a2", "b", "c")
    searched(desk, {"a1": [hit("b")], "c": []})
    with desk.ledger.write() as tx:
        parts.delete(tx, desk.tenant.id, "a1")
    assert shown(report(desk)) == [("part", ["a2", "b"])]
    with desk.ledger.write() as tx:
        parts.delete(tx, desk.tenant.id, "b")
    assert shown(report(desk)) == []


def test_the_newest_comparison_of_everything_counts_and_what_came_since_is_told(desk: Desk) -> None:
    keep(desk, "a", "b", "c")
    first = searched(desk, {"a": [hit("b")]})
    searched(desk, {"b": [hit("c")]}, all_against_all=False)
    assert shown(report(desk)) == [("part", ["a", "b"])]
    assert report(desk)["stale"] == {"parts_added": 0, "vectors_changed": 0, "stale": False}
    desk.hand.time += 10
    keep(desk, "d")
    assert report(desk)["stale"] == {"parts_added": 1, "vectors_changed": 0, "stale": True}
    second = searched(desk, {"c": [hit("d")]})
    assert (report(desk)["job"]["id"], shown(report(desk))) == (second, [("part", ["c", "d"])])
    assert shown(report(desk, first)) == [("part", ["a", "b"])]


def test_rejected_and_ignored_pairs_are_left_out_and_counted_and_come_back_on_request(desk: Desk) -> None:
    keep(desk, "a1", "a2", "b", "c")
    searched(desk, {"a1": [hit("b"), hit("c", equal=True)]})
    mark(desk, "a1", "b", "rejected")
    mark(desk, "a1", "a2", "ignored")
    mark(desk, "a1", "c", "confirmed")
    told = report(desk)
    assert shown(told) == [("geometry", ["a1", "a2", "c"])]
    assert told["left_out"] == {"rejected": 1, "ignored": 1}
    assert told["groups"][0]["evidence"][0]["review"]["mark"] == "confirmed"
    assert [kind for kind, _ in shown(report(desk, reviewed=True))] == ["content", "geometry", "part"]


def test_a_group_says_when_a_pair_within_was_rejected(desk: Desk) -> None:
    keep(desk, "a", "b", "c")
    searched(desk, {"a": [hit("b"), hit("c")], "b": [hit("c")]})
    mark(desk, "b", "c", "rejected")
    (group,) = report(desk)["groups"]
    assert (len(group["parts"]), group["rejected_within"]) == (3, 1)
