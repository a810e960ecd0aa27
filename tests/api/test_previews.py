"""Previews over real HTTP, and the page of them that the command line writes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.api.test_parts import assert_problem
from tests.stack import ROOT, SAMPLES, Stack

DRAWING = SAMPLES / "dxf" / "wrench.dxf"
MESH = SAMPLES / "stl" / "angle_block.STL"
PNG = b"\x89PNG\r\n\x1a\n"


def extract(stack: Stack, *parts: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    job = stack.submit("extraction", {"parts": [part["id"] for part in parts], "feature_version": "v4", "previews": True, **more})
    stack.wait(job["id"])
    return stack.items(job["id"])


def preview(stack: Stack, part: dict[str, Any], kind: str = "png", **how: Any) -> httpx2.Response:
    return stack.http.get(f"/api/v1/parts/{part['id']}/preview.{kind}", **how)


@pytest.fixture(scope="module")
def part(stack: Stack) -> dict[str, Any]:
    """An extracted part."""
    (part,) = stack.upload(MESH)
    (item,) = extract(stack, part)
    assert item["result"]["preview_seconds"] > 0
    return part


def test_an_extracted_part_has_pictures_in_two_sizes(stack: Stack, part: dict[str, Any]) -> None:
    for size, asked in ((512, {}), (512, {"size": "512"}), (128, {"size": "128"})):
        answer = preview(stack, part, params=asked)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "image/png"
        assert answer.content.startswith(PNG)
        assert [int.from_bytes(answer.content[at : at + 4], "big") for at in (16, 20)] == [size, size]


def test_an_svg_may_run_nothing_and_is_taken_for_nothing_else(stack: Stack, part: dict[str, Any]) -> None:
    answer = preview(stack, part, "svg")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/svg+xml"
    assert answer.headers["content-security-policy"].split(";")[0] == "sandbox"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.text.startswith("<svg ")


def test_a_picture_that_is_known_is_not_sent_again(stack: Stack, part: dict[str, Any]) -> None:
    first = preview(stack, part)
    assert first.headers["cache-control"] == "private, no-cache"
    assert first.headers["vary"] == "X-API-Key"
    for known in (first.headers["etag"], f'"other", W/{first.headers["etag"]}'):
        again = preview(stack, part, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert preview(stack, part, headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_part_links_to_its_pictures_once_there_are_some(stack: Stack) -> None:
    # a comment makes it a file that no other test has extracted
    fresh = b"999\nnever seen before\n" + DRAWING.read_bytes()
    (part,) = stack.http.post("/api/v1/parts", params={"name": "fresh.dxf"}, content=fresh).json()["parts"]
    here = f"/api/v1/parts/{part['id']}"
    assert stack.http.get(here).json()["links"] == {"self": here}
    problem = assert_problem(preview(stack, part), 404, "PREVIEW_NOT_FOUND")
    assert "extraction" in problem["remedy"]
    assert_problem(preview(stack, part, "svg"), 404, "PREVIEW_NOT_FOUND")
    extract(stack, part)
    links = stack.http.get(here).json()["links"]
    assert set(links) == {"self", "preview_png", "preview_svg"}
    for name in ("preview_png", "preview_svg"):
        assert stack.http.get(links[name]).status_code == 200


def test_a_file_that_cannot_be_read_has_no_picture(stack: Stack) -> None:
    (part,) = stack.upload(SAMPLES / "bad" / "nan_inf.stl")
    (item,) = extract(stack, part)
    assert item["error"]["code"] == "GEOMETRY_INVALID"
    assert_problem(preview(stack, part), 404, "PREVIEW_NOT_FOUND")


def test_other_sizes_are_refused(stack: Stack, part: dict[str, Any]) -> None:
    for size in ("0", "129", "100000", "x"):
        assert_problem(preview(stack, part, params={"size": size}), 422, "REQUEST_INVALID")


def test_pictures_are_drawn_once_and_anew_when_forced(stack: Stack, part: dict[str, Any]) -> None:
    (file,) = (stack.directory / "files" / "previews").rglob(f"{part['sha256']}.*.512.png")
    drawn = file.read_bytes()
    file.write_bytes(b"marked")
    # another version of the features: the file is read again, its pictures are not
    stack.wait(stack.submit("extraction", {"parts": [part["id"]], "feature_version": "v1"})["id"])
    assert preview(stack, part).content == b"marked"
    extract(stack, part, force=True)
    assert preview(stack, part).content == drawn


def test_a_stranger_sees_no_picture_not_even_of_the_same_file(stack: Stack, part: dict[str, Any]) -> None:
    """Whether somebody else has extracted a file is nobody's business."""
    with stack.as_tenant("stranger") as other:
        stranger = other.http
        assert_problem(stranger.get(f"/api/v1/parts/{part['id']}/preview.png"), 404, "PART_NOT_FOUND")
        (own,) = stranger.post("/api/v1/parts", files=[("files", ("mine.stl", MESH.read_bytes()))]).json()["parts"]
        assert own["sha256"] == part["sha256"]
        assert_problem(stranger.get(f"/api/v1/parts/{own['id']}/preview.png"), 404, "PREVIEW_NOT_FOUND")
        assert set(stranger.get(f"/api/v1/parts/{own['id']}").json()["links"]) == {"self"}
    no_key = httpx2.get(f"{stack.url}/api/v1/parts/{part['id']}/preview.png", trust_env=False)
    assert_problem(no_key, 401, "API_KEY_MISSING")


def test_the_command_line_writes_a_page_of_pictures_and_trusts_no_name(stack: Stack, tmp_path: Path) -> None:
    evil = tmp_path / "<img src=x onerror=alert(1)>.stl"
    evil.write_bytes(MESH.read_bytes())
    page = tmp_path / "sheet.html"
    files = [str(evil), str(DRAWING), str(SAMPLES / "bad" / "nan_inf.stl")]
    told = subprocess.run(
        [sys.executable, "-m", "api.cli.main", "submit", *files, "--wait", "--contact-sheet", str(page), "--url", stack.url],
        cwd=ROOT,
        env=os.environ | {"CADMILL_API_KEY": stack.key},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert told.returncode == 3, told.stdout + told.stderr
    assert f"contact sheet of 2 pictures: {page}" in told.stdout
    text = page.read_text()
    assert text.count("data:image/png;base64,") == 2
    assert text.count("<figure>") == 3
    assert "GEOMETRY_INVALID" in text
    assert "<img src=x" not in text
    assert not re.search(r"<script|https?://", text)


def test_a_contact_sheet_needs_the_end_of_the_job_and_a_page(tmp_path: Path) -> None:
    for arguments in (["--contact-sheet", "a.html"], ["--wait", "--contact-sheet", "a.png"]):
        told = subprocess.run(
            [sys.executable, "-m", "api.cli.main", "submit", str(DRAWING), *arguments],
            cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert told.returncode == 2
        assert "contact sheet" in told.stderr
