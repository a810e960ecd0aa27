"""The page in the hands of a person: a real browser, a real stack, real files."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.pages.conftest import Visitor
from tests.stack import SAMPLES, Stack

GOOD = (SAMPLES / "dxf" / "ae.r2000a.dxf", SAMPLES / "dxf" / "ae.r2013b.dxf", SAMPLES / "stl" / "angle_block.STL")
BAD = SAMPLES / "bad" / "self_insert.dxf"
PAGES = ("/", "/parts", "/duplicates", "/jobs", "/queues", "/errors", "/me")


@pytest.fixture(scope="module")
def job(visitor: Visitor, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of the job for three samples and a bad file in a folder, dropped with labels."""
    folder = tmp_path_factory.mktemp("drop") / "drawings"
    (folder / "deeper").mkdir(parents=True)
    for path in (*GOOD[1:], BAD):
        shutil.copy(path, folder / "deeper" / path.name)
    page = visitor.page
    page.goto("/")
    page.fill("#labels", "project=alpha, checked")
    page.select_option("#version", "v4")
    visitor.drop(GOOD[0], folder)
    page.wait_for_url(re.compile("/jobs/job_"))
    seen = [page.text_content(".counts")]
    page.wait_for_selector("#job:not([hx-get])")  # it asks no more: the job has ended
    seen.append(page.text_content(".counts"))
    assert "4 of 4 done" in str(seen[-1])
    assert "1 failed" in str(seen[-1])
    return str(page.url)


def open_part(visitor: Visitor, name: str) -> None:
    visitor.page.goto(f"/parts?q={name}")
    visitor.page.click(f".card:has-text('{name}')")
    visitor.page.wait_for_selector(".part")


def test_files_and_folders_dropped_on_it_are_sent_read_and_followed_to_the_end(visitor: Visitor, job: str, stack: Stack) -> None:
    page = visitor.page
    page.goto(job)
    assert page.text_content("#job h1 .badge") == "partial"
    assert page.locator(".items img.drawing").count() == 3
    told = stack.job(job.rpartition("/")[2])
    assert told["labels"] == {"project": "alpha", "checked": "yes"}
    assert told["input"]["feature_version"] == "v4"
    assert told["counts"]["total"] == 4
    visitor.looks()


def test_a_bad_file_tells_what_was_wrong_and_what_to_do(visitor: Visitor, job: str) -> None:
    page = visitor.page
    page.goto(job)
    page.click(".tabs a:has-text('failed')")
    problem = page.inner_text(".items .problem")
    assert "A block of this file contains itself." in problem
    assert "Audit the drawing in your CAD system" in problem
    assert "CAD_CYCLIC_REFERENCE" in problem
    page.goto("/errors")
    assert "A block of this file contains itself." in page.inner_text(".errors")
    page.click(".errors a:has-text('1 job')")
    assert page.locator("tbody tr").count() == 1
    visitor.looks()


def test_a_part_shows_its_picture_its_facts_and_where_its_unit_comes_from(visitor: Visitor, job: str) -> None:
    page = visitor.page
    open_part(visitor, "angle_block")
    assert page.evaluate("document.querySelector('.part img').complete && document.querySelector('.part img').naturalWidth") == 512
    facts = page.inner_text(".part .facts")
    assert "assumed: the file names none" in facts
    assert "project=alpha" in facts
    assert page.locator(".slots div").count() == 24
    visitor.looks()


def test_similar_parts_stand_side_by_side_with_their_score_and_slots(visitor: Visitor, job: str) -> None:
    page = visitor.page
    open_part(visitor, "ae.r2000a")
    page.click("text=Find similar parts")
    page.wait_for_selector("#hits:not([hx-get]) .pair")
    first = page.locator(".pair").first
    assert "1.0000" in first.inner_text()
    assert "ae.r2013b.dxf" in first.inner_text()
    assert first.locator("img.drawing").count() == 2
    visitor.looks()


def test_duplicates_are_run_shown_and_marked(visitor: Visitor, job: str) -> None:
    page = visitor.page
    page.goto("/duplicates")
    page.click("text=/Compare (all parts|again)/")
    page.wait_for_selector(".group")
    group = page.locator(".group:has-text('ae.r2013b.dxf')").first
    assert group.locator("img.drawing").count() == 2
    group.get_by_role("button", name=re.compile("^Confirm")).click()
    page.wait_for_selector(".group .badge.confirmed")
    page.click("text=undo")
    page.wait_for_selector(".group button:has-text('Reject')")
    page.locator(".group:has-text('ae.r2013b.dxf')").first.get_by_role("button", name=re.compile("^Reject")).click()
    page.wait_for_selector("text=1 rejected")
    assert page.locator(".group:has-text('ae.r2013b.dxf')").count() == 0
    page.click("text=show what was rejected")
    page.wait_for_selector(".group .badge.rejected")
    page.click("text=undo")
    page.wait_for_selector(".group button:has-text('Reject')")
    visitor.looks()


def test_a_job_is_paused_resumed_and_cancelled_while_it_runs(visitor: Visitor, stack: Stack) -> None:
    page = visitor.page
    running = stack.submit("probe", {"items": 400, "ms": 100})
    page.goto(f"/jobs/{running['id']}")
    page.click("button:has-text('Pause')")
    page.wait_for_selector("h1 .badge.paused")
    page.click("button:has-text('Resume')")
    page.wait_for_selector("button:has-text('Pause')")
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.click("button:has-text('Cancel')")
    assert stack.job(running["id"])["state"] != "cancelled", "who says no has not cancelled"
    page.once("dialog", lambda dialog: dialog.accept())
    page.click("button:has-text('Cancel')")
    page.wait_for_selector("h1 .badge.cancelled")
    assert stack.job(running["id"])["state"] == "cancelled"
    visitor.looks()


def test_what_is_seen_of_a_running_job_moves_by_itself_and_is_said_aloud(visitor: Visitor, stack: Stack) -> None:
    page = visitor.page
    running = stack.submit("probe", {"items": 60, "ms": 50})
    with page.expect_response("**/events") as told:
        page.goto(f"/jobs/{running['id']}")
    assert told.value.headers["content-type"].startswith("text/event-stream"), "it is told, and need not ask"
    page.wait_for_selector("#job:not([hx-get])")
    assert page.text_content("h1 .badge") == "succeeded"
    page.wait_for_selector("#said:has-text('succeeded')", state="attached")
    visitor.looks()


def test_a_job_is_followed_to_its_end_where_no_events_come_through(visitor: Visitor, stack: Stack) -> None:
    page = visitor.page
    page.route("**/events", lambda route: route.abort())
    try:
        running = stack.submit("probe", {"items": 20, "ms": 50})
        # less than the 10 s after which every page looks
        with page.expect_request(lambda asked: "hx-request" in asked.headers, timeout=9_000):
            page.goto(f"/jobs/{running['id']}", wait_until="commit")
        page.wait_for_selector("#job:not([hx-get])")
    finally:
        page.unroute("**/events")
    visitor.wrong[:] = [line for line in visitor.wrong if "ERR_FAILED" not in line]  # the browser tells of what we broke
    visitor.looks()


def test_everything_is_reached_by_keyboard(visitor: Visitor, job: str) -> None:
    page = visitor.page
    page.goto("/jobs")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("?")
    assert page.is_visible("#help")
    page.keyboard.press("Escape")
    assert not page.is_visible("#help")
    page.keyboard.press("g")
    page.keyboard.press("p")
    page.wait_for_url("**/parts")
    page.keyboard.press("/")
    page.keyboard.type("ae.r project=alpha")
    page.keyboard.press("Enter")
    page.wait_for_url("**/parts?q=*")
    assert page.locator(".card").count() == 2
    page.locator("body").press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert "ae.r2000a" in page.evaluate("document.activeElement.textContent")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    page.wait_for_selector(".part")
    assert "ae.r2013b" in page.inner_text("h1")
    visitor.looks()


def test_dark_is_one_press_away_and_stays(visitor: Visitor) -> None:
    page = visitor.page
    page.goto("/")
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(ground)
    page.click(".theme button")
    dark = page.evaluate(ground)
    page.reload()
    assert light != dark == page.evaluate(ground)
    page.click(".theme button")
    assert page.evaluate(ground) == light
    visitor.looks()


def test_no_page_is_wider_than_a_small_phone(visitor: Visitor, job: str) -> None:
    page = visitor.page
    page.set_viewport_size({"width": 360, "height": 740})
    try:
        for path in (*PAGES, job.removeprefix(visitor.url)):
            page.goto(path)
            assert page.evaluate("document.documentElement.scrollWidth") == 360, path
    finally:
        page.set_viewport_size({"width": 1280, "height": 860})


@pytest.mark.parametrize(("theme", "paths"), [("light", ("/", "job")), ("dark", ("/duplicates",))])
def test_axe_finds_no_barrier_of_level_aa(visitor: Visitor, job: str, theme: str, paths: tuple[str, ...]) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page, axe = visitor.page, Axe()
    visitor.context.add_cookies([{"name": "cadmill_theme", "value": theme, "url": visitor.url}])
    only = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
    found: list[str] = []
    for path in paths:
        page.goto(job if path == "job" else path)
        violations: list[dict[str, Any]] = axe.run(page, options=only).response["violations"]
        found += [f"{path}: {one['id']}: {node['html'][:120]}" for one in violations for node in one["nodes"][:2]]
    visitor.context.clear_cookies(name="cadmill_theme")
    assert found == []


def test_a_wrong_key_is_told_and_the_right_one_leads_on(browser: Any, stack: Stack) -> None:
    visitor = Visitor(browser, stack.url)
    page = visitor.page
    page.goto("/queues")
    page.wait_for_url("**/sign-in?then=%2Fqueues")
    page.fill("#key", "cadmill_nobody_" + "0" * 64)
    page.click("main button")
    assert "The API key is not known here." in page.inner_text(".problem")
    page.fill("#key", stack.key)
    page.click("main button")
    page.wait_for_url("**/queues")
    assert stack.key not in str(visitor.context.cookies())
    page.goto("/me")
    page.click("text=Sign out")
    page.goto("/parts")
    page.wait_for_url("**/sign-in?then=%2Fparts")
    assert [line for line in visitor.wrong if "401" not in line] == []  # a browser tells of every 401
    assert visitor.elsewhere == []
    visitor.context.close()


def test_a_revoked_key_ends_the_session_in_the_middle_of_a_page(browser: Any, stack: Stack) -> None:
    key = stack.new_key("somebody to be shut out")
    visitor = Visitor(browser, stack.url)
    visitor.sign_in(key)
    visitor.page.wait_for_selector("#upload")
    visitor.page.goto("/queues")  # which asks again by itself
    with stack.as_tenant("somebody to be shut out", key) as somebody:
        assert somebody.http.delete(f"/api/v1/keys/{key.split('_')[1]}").status_code == 204
    visitor.page.wait_for_url("**/sign-in?*")
    assert "API key" in visitor.page.inner_text(".problem")
    visitor.context.close()


def test_without_scripts_files_are_sent_by_a_plain_form_and_followed_by_reload(browser: Any, stack: Stack) -> None:
    visitor = Visitor(browser, stack.url, java_script_enabled=False)
    page = visitor.page
    visitor.sign_in(stack.new_key("somebody without scripts"))
    page.wait_for_selector("#upload")
    page.set_input_files("input[name=files]", [str(path) for path in GOOD[:2]])
    page.click("#upload button.plain")
    page.wait_for_url(re.compile("/jobs/job_"))
    stack_job = page.url.rpartition("/")[2]
    for _ in range(200):
        page.reload()
        if page.locator("h1 .badge").inner_text() == "succeeded":
            break
        page.wait_for_timeout(100)
    assert page.locator(".items img.drawing").count() == 2, stack_job
    page.goto("/parts")
    assert page.locator(".card").count() == 2
    visitor.looks()
    visitor.context.close()


def test_a_file_that_is_too_large_is_told_and_its_neighbours_get_through(visitor: Visitor, tmp_path: Path) -> None:
    page = visitor.page
    (tmp_path / "huge.stl").write_bytes(b"solid huge\n" + b" " * 2_000_001)
    page.goto("/")
    visitor.drop(tmp_path / "huge.stl", GOOD[2])
    page.wait_for_selector("text=Follow the job")
    assert "huge.stl The file is larger than this server accepts." in page.inner_text("#refused")
    page.click("text=Follow the job")
    page.wait_for_url(re.compile("/jobs/job_"))
    visitor.looks()
