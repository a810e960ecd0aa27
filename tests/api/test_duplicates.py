"""The duplicates report over real HTTP and from the command line, of a tenant of its own."""

from __future__ import annotations

import csv
import html.parser
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from api.pages.duplicates import page
from tasks.duplicates import COMPARISON
from tests.api.test_parts import assert_problem
from tests.stack import ROOT, SAMPLES, Stack

Json = dict[str, Any]
HOSTILE = '"><img src=x onerror=alert(1)>\u202e.stl'
FORMULA = "=1+1.stl"


@pytest.fixture(scope="module")
def key(stack: Stack) -> str:
    return stack.new_key("collector")


@pytest.fixture(scope="module")
def http(stack: Stack, key: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=stack.url, headers={"X-API-Key": key}, timeout=60, trust_env=False) as client:
        yield client


def cadmill(stack: Stack, key: str, *arguments: str) -> str:
    """What a command says; it must succeed."""
    told = subprocess.run(
        [sys.executable, "-m", "api.cli.main", *arguments, "--url", stack.url],
        cwd=ROOT, env=os.environ | {"CADMILL_API_KEY": key}, capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout + told.stderr
    return told.stdout


def groups(http: httpx2.Client, **asked: Any) -> dict[str, list[list[str]]]:
    """Names of the parts by kind."""
    answer = http.get("/api/v1/duplicates", params=asked)
    assert answer.status_code == 200, answer.text
    found: dict[str, list[list[str]]] = {}
    for group in answer.json()["groups"]:
        found.setdefault(group["kind"], []).append(sorted(part["name"] for part in group["parts"]))
    return found


@pytest.fixture(scope="module")
def pile(stack: Stack, http: httpx2.Client, key: str, tmp_path_factory: pytest.TempPathFactory) -> Json:
    """Files, and what `cadmill duplicates` wrote of them."""
    drawings = ("ae.r12a.dxf", "ae.r2000a.dxf", "ae.r2013b.dxf", "wrench.dxf")
    files = [(name, f"dxf/{name}") for name in drawings]
    files += [("cylinder.stl", "stl/cylinder.stl"), (FORMULA, "stl/cylinder.stl"), ("bad.stl", "bad/nan_inf.stl")]
    named = [(name, (SAMPLES / path).read_bytes()) for name, path in files]
    answer = http.post("/api/v1/parts", files=[("files", one) for one in named])
    assert answer.status_code == 201, answer.text
    # multipart would escape the quotes
    hostile = http.post("/api/v1/parts", params={"name": HOSTILE}, content=(SAMPLES / "stl/cylinder.stl").read_bytes())
    assert hostile.status_code == 201, hostile.text
    assert_problem(http.get("/api/v1/duplicates"), 404, "DUPLICATES_UNSEARCHED")
    assert groups(http, kind="content") == {"content": [sorted([FORMULA, "cylinder.stl", hostile.json()["parts"][0]["name"]])]}
    folder = tmp_path_factory.mktemp("report")
    written, table = folder / "report.html", folder / "report.csv"
    told = cadmill(stack, key, "duplicates", "--feature-version", "v4", "--html", str(written), "--csv", str(table))
    return {"told": told, "html": written.read_text(), "csv": table.read_bytes().decode(), "hostile": hostile.json()["parts"][0]["name"]}


def test_the_command_compares_shows_progress_and_groups_and_writes_files(pile: Json) -> None:
    for word in (
        "drawing",
        "1 geometry: The same geometry",
        "1 content",
        "1 units",
        " times",
        "units suspected",
        "not compared: 1 GEOMETRY_INVALID",
    ):
        assert word in pile["told"]
    assert pile["told"].count("written: ") == 2


def test_groups_have_their_evidence_sizes_units_and_pictures(http: httpx2.Client, pile: Json) -> None:
    report = http.get("/api/v1/duplicates").json()
    assert report["job"]["input"] == {
        **report["job"]["input"],
        **{name: COMPARISON[name] for name in ("distinct", "scale_invariant", "top_k")},
    }
    assert (report["not_compared"], report["stale"]["stale"]) == ({"GEOMETRY_INVALID": 1}, False)
    by_kind = {group["kind"]: group for group in report["groups"]}
    assert list(by_kind) == ["content", "geometry", "units"]
    assert sorted(part["name"] for part in by_kind["units"]["parts"]) == ["ae.r12a.dxf", "ae.r2000a.dxf", "ae.r2013b.dxf"]
    (pair,) = by_kind["units"]["evidence"]
    assert (pair["likely"], pair["units_suspected"], pair["review"]) == (True, True, None)
    assert 0.9 < pair["score"] < 1
    assert sum(slot["share"] for slot in pair["slots"]) > 0.5
    for part in by_kind["units"]["parts"]:
        assert part["units"]["name"] == ("mm" if part["name"] == "ae.r12a.dxf" else "in")
        assert len(part["size_mm"]) == 2
        assert part["subgroup"] == (None if part["name"] == "ae.r12a.dxf" else by_kind["geometry"]["id"])
        assert http.get(part["links"]["preview_png"]).status_code == 200
    assert by_kind["geometry"]["evidence"][0]["equal"]


def test_the_report_is_paged_and_chosen_by_kind_and_job(http: httpx2.Client, pile: Json) -> None:
    whole = http.get("/api/v1/duplicates").json()
    first = http.get("/api/v1/duplicates", params={"limit": 2}).json()
    second = http.get("/api/v1/duplicates", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert first["groups"] + second["groups"] == whole["groups"]
    assert second["next_cursor"] is None
    assert list(groups(http, kind=["geometry"], job=whole["job"]["id"])) == ["geometry"]
    assert_problem(http.get("/api/v1/duplicates", params={"kind": "alike"}), 422, "REQUEST_INVALID")
    assert_problem(http.get("/api/v1/duplicates", params={"job": "job_of_nobody"}), 404, "JOB_NOT_FOUND")


def test_the_table_has_a_line_for_each_part_of_each_group_and_no_formulas(http: httpx2.Client, pile: Json) -> None:
    rows = list(csv.DictReader(io.StringIO(pile["csv"])))
    assert pile["csv"] == http.get("/api/v1/duplicates.csv").text
    assert len(rows) == sum(len(group["parts"]) for group in http.get("/api/v1/duplicates").json()["groups"])
    assert {row["name"] for row in rows if row["kind"] == "content"} == {"cylinder.stl", f"'{FORMULA}", pile["hostile"]}
    assert all(row["like"] != row["name"] for row in rows)


TAGS = frozenset(("html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "p", "small", "article", "div", "figure", "img", "b"))
TAGS |= {"figcaption", "br", "a", "table", "thead", "tbody", "tr", "th", "td", "span"}


class Reader(html.parser.HTMLParser):
    """The elements of a page and their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_holds_its_pictures_runs_nothing_loads_nothing_and_believes_no_name(http: httpx2.Client, pile: Json) -> None:
    answer = http.get("/api/v1/duplicates.html")
    assert answer.text == pile["html"]
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    seen = Reader(answer.text)
    assert {tag for tag, _ in seen.seen} <= TAGS
    sources = [attributes.get("src") or "" for tag, attributes in seen.seen if tag == "img"]
    assert len(sources) == 5  # copies share one, and so do those that a surer group has shown before
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert not [attributes for _, attributes in seen.seen if any(name.startswith("on") for name in attributes)]
    assert all((attributes.get("href") or "#").startswith("#") for _, attributes in seen.seen)
    assert pile["hostile"] in seen.text


def test_every_text_of_a_page_is_told_as_text() -> None:
    evil = "<b onclick=x>'\"&\u202e\x1b]0;"
    side = {"part_id": evil, "name": evil, "sha256": evil, "format": evil}
    slot = {"slot": evil, "share": 0.5, "first": 1.0, "second": 2.0}
    pair = {
        "first": side, "second": side, "label": evil, "equal": False, "likely": False, "score": 1.0, "distance": None, "size_ratio": 1.0,
        "units_suspected": True, "slots": [slot], "review": {"mark": evil, "by": evil, "at": evil, "note": evil},
    }  # fmt: skip
    units = {"name": evil, "origin": evil, "suspected": evil}
    part = {"id": evil, "name": evil, "sha256": evil, "format": evil, "size_mm": [1.0], "units": units, "subgroup": evil}
    group = {
        "id": evil, "kind": "part", "parts": [part, part], "parts_total": 2, "evidence": [pair], "evidence_total": 1, "rejected_within": 1,
    }  # fmt: skip
    kinds = {"part": {"groups": 1, "parts": 2, "sentence": evil}}
    job = {"id": evil, "created_at": evil, "finished_at": evil}
    stale = {"stale": True, "parts_added": 1, "vectors_changed": 1}
    head = {"job": job, "stale": stale, "not_compared": {evil: 1}, "left_out": {"rejected": 1, "ignored": 1}, "kinds": kinds}
    text = "".join(page(head, [group, {**group, "kind": "part"}], 1, lambda _part: b"png"))
    seen = Reader(text)
    assert {tag for tag, _ in seen.seen} <= TAGS
    assert not [name for tag, attributes in seen.seen for name in attributes if name.startswith("on")]
    assert len([tag for tag, _ in seen.seen if tag == "b"]) == 2, "only those of the page itself"
    assert seen.text.count("<b onclick=x>'\"&??]0;") > 20
    assert "\u202e" not in text
    assert "\x1b" not in text


def test_marks_set_from_the_command_line_hide_pairs_and_are_listed_and_removed(
    stack: Stack, http: httpx2.Client, key: str, pile: Json, tmp_path: Path
) -> None:
    before = groups(http)
    (geometry,) = [group for group in http.get("/api/v1/duplicates").json()["groups"] if group["kind"] == "geometry"]
    one, other = (part["id"] for part in geometry["parts"])
    cadmill(stack, key, "review", "set", one, other, "rejected", "--note", "left and right", "--by", "Ada")
    try:
        assert "geometry" not in groups(http)
        assert "geometry" in groups(http, reviewed="include")
        assert "1 rejected pair(s)" in cadmill(stack, key, "duplicates", "--last")
        listed = cadmill(stack, key, "review", "list")
        assert "left and right" in listed
        assert "Ada" in listed
    finally:
        cadmill(stack, key, "review", "remove", other, one)
    assert groups(http) == before
    table = tmp_path / "reviews.csv"
    (copies,) = [group for group in http.get("/api/v1/duplicates").json()["groups"] if group["kind"] == "content"]
    content = copies["parts"][0]["sha256"]
    table.write_text(f"first,second,mark,note\n{content},{content},ignored,spare copies\n{one},{other},confirmed,\n")
    assert "2 pair(s) marked" in cadmill(stack, key, "review", "load", str(table))
    assert "content" not in groups(http)
    told = json.loads(cadmill(stack, key, "duplicates", "--last", "--json"))
    assert [group["evidence"][0]["review"]["mark"] for group in told["groups"] if group["kind"] == "geometry"] == ["confirmed"]
    assert told["left_out"] == {"rejected": 0, "ignored": 1}
    for pair in ((content, content), (one, other)):
        assert http.delete("/api/v1/reviews", params=dict(zip(("first", "second"), pair, strict=True))).status_code == 204


def test_a_part_that_comes_later_makes_the_report_stale(stack: Stack, http: httpx2.Client, pile: Json) -> None:
    assert http.post("/api/v1/parts?name=late.stl", content=(SAMPLES / "stl/round.stl").read_bytes()).status_code == 201
    assert http.get("/api/v1/duplicates").json()["stale"] == {"parts_added": 1, "vectors_changed": 0, "stale": True}
    assert "out of date" in http.get("/api/v1/duplicates.html").text
