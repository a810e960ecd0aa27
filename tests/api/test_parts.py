"""Parts over real HTTP."""

from __future__ import annotations

import hashlib
import json
import socket
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.api.conftest import FILE_LIMIT
from tests.stack import SAMPLES, Stack, wait_until

DRAWING = SAMPLES / "dxf" / "ae.r2000a.dxf"


def post(stack: Stack, *files: tuple[str, bytes], **data: str) -> httpx2.Response:
    return stack.http.post("/api/v1/parts", files=[("files", file) for file in files], data=data)


def assert_problem(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """The one shape of every error."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert {"type", "title", "status", "code", "stage", "message", "context", "timestamp"} <= set(body)
    assert (body["status"], body["code"]) == (status, code)
    return dict(body)


def test_many_files_in_one_request_are_answered_one_by_one_in_order(stack: Stack) -> None:
    mesh = SAMPLES / "stl" / "angle_block.STL"
    answer = post(stack, ("a.dxf", DRAWING.read_bytes()), ("empty.dxf", b""), ("b.stl", mesh.read_bytes()))
    assert answer.status_code == 201
    one, empty, two = answer.json()["parts"]
    assert one["name"] == "a.dxf"
    assert one["sha256"] == hashlib.sha256(DRAWING.read_bytes()).hexdigest()
    assert (one["format"], two["format"], empty["format"]) == ("dxf", "stl", "unknown")
    assert (one["bytes"], empty["bytes"]) == (DRAWING.stat().st_size, 0)


def test_a_file_as_raw_body_is_a_part_too(stack: Stack) -> None:
    answer = stack.http.post("/api/v1/parts?name=raw.dxf", content=DRAWING.read_bytes())
    assert answer.status_code == 201
    (part,) = answer.json()["parts"]
    assert (part["name"], part["format"]) == ("raw.dxf", "dxf")


def test_one_file_over_the_limit_is_refused_and_its_neighbours_get_through(stack: Stack) -> None:
    answer = post(stack, ("a.dxf", b"1"), ("huge.dxf", bytes(FILE_LIMIT + 1)), ("b.dxf", b"2"))
    assert answer.status_code == 201
    one, huge, two = answer.json()["parts"]
    assert huge["error"]["code"] == "FILE_TOO_LARGE"
    assert huge["error"]["context"] == {"limit_bytes": FILE_LIMIT}
    assert "id" in one
    assert "id" in two


def test_a_request_over_the_limit_is_cut_off(stack: Stack) -> None:
    files = [(f"{n}.dxf", bytes(1_900_000)) for n in range(5)]
    assert_problem(post(stack, *files), 413, "BODY_TOO_LARGE")


def test_a_body_without_end_is_cut_off_at_the_limit(stack: Stack) -> None:
    def endless() -> Any:
        for _ in range(100):
            yield bytes(100_000)

    answer = stack.http.post("/api/v1/parts?name=x", content=endless())
    # A raw body is one file: past its limit it is refused, past the body's limit the request is.
    assert_problem(answer, 413, "BODY_TOO_LARGE")


@pytest.mark.parametrize(
    ("content_type", "body", "reason"),
    [
        ("multipart/form-data", b"x", "boundary is missing"),
        ("multipart/form-data; boundary=b", b"nonsense", ""),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\nx',
            "before its closing",
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="other"; filename="a"\r\n\r\nx\r\n--b--\r\n',
            "named 'files'",
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="labels"\r\n\r\n[1]\r\n--b--\r\n',
            "object of texts",
        ),
        ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="labels"\r\n\r\n{}\r\n--b--\r\n', "no file"),
    ],
)
def test_an_upload_that_is_none_says_why(stack: Stack, content_type: str, body: bytes, reason: str) -> None:
    answer = stack.http.post("/api/v1/parts", content=body, headers={"content-type": content_type})
    assert reason in assert_problem(answer, 400, "UPLOAD_INVALID")["context"]["reason"]


def test_nothing_is_left_of_uploads_that_broke_off(stack: Stack) -> None:
    with socket.create_connection(("127.0.0.1", stack.port)) as line:
        head = f"POST /api/v1/parts?name=x HTTP/1.1\r\nHost: x\r\nX-API-Key: {stack.key}\r\nContent-Length: 1000000\r\n\r\n"
        line.sendall(head.encode() + bytes(500_000))
    wait_until(lambda: list((stack.directory / "files" / "incoming").iterdir()) == [], 10)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\drawings\\a.dxf", "a.dxf"),
        ("a\tb.dxf", "a_b.dxf"),
        ("ümläut 図面.dxf", "ümläut 図面.dxf"),
        ("", "unnamed"),
    ],
)
def test_a_name_is_data_and_never_a_path(stack: Stack, given: str, kept: str) -> None:
    answer = stack.http.post("/api/v1/parts", params={"name": given}, content=b"x")
    assert answer.json()["parts"][0]["name"] == kept


def test_parts_are_listed_newest_first_page_by_page(stack: Stack) -> None:
    made = [part["id"] for part in post(stack, *((f"page-{n}.dxf", b"x") for n in range(5))).json()["parts"]]
    seen: list[str] = []
    cursor = None
    for _ in range(3):
        page = stack.http.get("/api/v1/parts", params={"name": "page-", "limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        seen += [part["id"] for part in page["parts"]]
        cursor = page["next_cursor"]
    assert seen == made[::-1]
    assert cursor is None
    assert_problem(stack.http.get("/api/v1/parts", params={"cursor": "not one"}), 400, "CURSOR_INVALID")


def test_a_deleted_part_is_gone_and_a_foreign_one_was_never_there(stack: Stack) -> None:
    (part,) = post(stack, ("gone.dxf", b"x"), labels=json.dumps({"project": "gone"})).json()["parts"]
    assert stack.http.get(f"/api/v1/parts/{part['id']}").json()["labels"] == {"project": "gone"}
    assert stack.http.delete(f"/api/v1/parts/{part['id']}").status_code == 204
    for name in (part["id"], "part_00000000000000000000000000"):
        assert_problem(stack.http.get(f"/api/v1/parts/{name}"), 404, "PART_NOT_FOUND")


def test_the_running_api_has_loaded_nothing_that_computes(stack: Stack, tmp_path: Path) -> None:
    """The modules of the live process, by the libraries it has mapped."""
    stack.upload(DRAWING)
    pid = stack.pid("api")
    mapped = Path(f"/proc/{pid}/maps").read_text()
    assert "site-packages/pydantic_core" in mapped
    assert not [name for name in ("numpy", "faiss", "ezdxf", "PIL") if f"site-packages/{name}" in mapped]
