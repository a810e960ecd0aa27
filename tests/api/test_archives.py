"""Zip archives over real HTTP: honest ones stand for their files, hostile ones get a code and leave nothing behind."""

from __future__ import annotations

import io
import random
import stat
import struct
import zipfile
from typing import Any

import httpx2
import pytest

from tests.api.conftest import CAPS
from tests.stack import SAMPLES, Stack

DRAWING = (SAMPLES / "dxf" / "ae.r2000a.dxf").read_bytes()
MESH = (SAMPLES / "stl" / "angle_block.STL").read_bytes()
FILES, FILE = int(CAPS["MAX_FILES"]), int(CAPS["MAX_FILE_BYTES"])


def packed(*files: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return out.getvalue()


def special(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, mode << 16
    return info


def send(capped: Stack, *files: tuple[str, bytes], **data: str) -> httpx2.Response:
    return capped.http.post("/api/v1/parts", files=[("files", file) for file in files], data=data)


def only(answer: httpx2.Response) -> dict[str, Any]:
    (told,) = answer.json()["parts"]
    return dict(told)


def test_an_archive_stands_for_its_files_between_its_neighbours(capped: Stack) -> None:
    archive = packed(
        ("a.dxf", DRAWING), ("left/", b""), ("left/b.stl", MESH), ("left/deep/c.dxf", b"no drawing"), ("__MACOSX/._a.dxf", b"x")
    )
    answer = send(capped, ("first.dxf", DRAWING), ("all.zip", archive), ("last.stl", MESH), labels='{"folder": "mine", "project": "p"}')
    assert answer.status_code == 201
    told = answer.json()["parts"]
    assert [(part["name"], part["format"]) for part in told] == [
        ("first.dxf", "dxf"), ("a.dxf", "dxf"), ("b.stl", "stl"), ("c.dxf", "unknown"), ("last.stl", "stl"),
    ]  # fmt: skip
    assert [part.get("folder") for part in told] == [None, None, "left", "left/deep", None]
    labels = capped.http.get(f"/api/v1/parts/{told[2]['id']}").json()["labels"]
    assert labels == {"archive": "all.zip", "folder": "mine", "project": "p"}  # what the user says of a part counts more
    assert told[0]["sha256"] == told[1]["sha256"]


def test_a_step_file_in_a_zip_is_a_step_file(capped: Stack) -> None:
    step = next((SAMPLES / "step").glob("*.st*p")).read_bytes()
    answer = capped.http.post("/api/v1/parts?name=part.stpz", content=packed(("part.stp", step)))
    assert (only(answer)["name"], only(answer)["format"]) == ("part.stp", "step")


def test_a_zipped_document_of_another_program_stays_one_file(capped: Stack) -> None:
    body = packed(("[Content_Types].xml", b"<x/>"), ("3D/3dmodel.model", b"<model/>"))
    assert only(send(capped, ("box.3mf", body)))["format"] == "unknown"


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ("../../etc/cron.d/x", "ARCHIVE_UNSAFE_PATH"),
        ("a/../../x.dxf", "ARCHIVE_UNSAFE_PATH"),
        ("/etc/passwd", "ARCHIVE_UNSAFE_PATH"),
        ("C:\\windows\\x.dxf", "ARCHIVE_UNSAFE_PATH"),
        ("..\\..\\x.dxf", "ARCHIVE_UNSAFE_PATH"),
        (special("link.dxf", stat.S_IFLNK | 0o777), "ARCHIVE_UNSAFE_PATH"),
        (special("disk.dxf", stat.S_IFBLK | 0o600), "ARCHIVE_UNSAFE_PATH"),
        (special("pipe.dxf", stat.S_IFIFO | 0o600), "ARCHIVE_UNSAFE_PATH"),
        ("again.zip", "ARCHIVE_LIMIT"),
        ("huge.dxf", "FILE_TOO_LARGE"),
    ],
    ids=lambda value: value.filename if isinstance(value, zipfile.ZipInfo) else value,
)
def test_a_bad_entry_is_refused_alone_and_its_neighbours_get_through(capped: Stack, entry: str | zipfile.ZipInfo, code: str) -> None:
    name = entry if isinstance(entry, str) else entry.filename
    data = (
        packed(("x.dxf", DRAWING))
        if name == "again.zip"
        else DRAWING * (FILE // len(DRAWING) + 1)
        if name == "huge.dxf"
        else b"/etc/passwd"
    )
    answer = send(capped, ("all.zip", packed(("a.dxf", DRAWING), (entry, data), ("b.stl", MESH))))
    good, bad, other = answer.json()["parts"]
    assert (good["name"], other["name"]) == ("a.dxf", "b.stl")
    assert bad["error"]["code"] == code
    assert "/" not in bad["name"]
    assert "\\" not in bad["name"]


def flag(archive: bytes, *, encrypted: bool = False, size: int | None = None, method: int | None = None) -> bytes:
    """Both headers of the first entry, changed."""
    changed = bytearray(archive)
    for signature, flags, methods, sizes in ((b"PK\x03\x04", 6, 8, 22), (b"PK\x01\x02", 8, 10, 24)):
        at = archive.index(signature)
        if encrypted:
            changed[at + flags] |= 1
        if size is not None:
            struct.pack_into("<I", changed, at + sizes, size)
        if method is not None:
            struct.pack_into("<H", changed, at + methods, method)
    return bytes(changed)


def quoted() -> bytes:
    """Two entries of the catalogue that mean the same bytes: what a bomb of overlapping files is made of."""
    archive = packed(("a.dxf", DRAWING))
    first, end = archive.index(b"PK\x01\x02"), archive.index(b"PK\x05\x06")
    entry, tail = archive[first:end], bytearray(archive[end:])
    struct.pack_into("<HHII", tail, 8, 2, 2, 2 * len(entry), first)
    return archive[:first] + entry * 2 + bytes(tail)


def catalogue(entries: int) -> bytes:
    """An archive whose catalogue is long and whose end says it is short."""
    archive = packed(*((f"{n}.dxf", b"") for n in range(entries)), method=zipfile.ZIP_STORED)
    changed = bytearray(archive)
    struct.pack_into("<HH", changed, len(archive) - 22 + 8, 1, 1)
    return bytes(changed)


def flipped() -> bytes:
    """Bytes in the middle of a file are not what they were."""
    archive = packed(("a.dxf", DRAWING))
    at = archive.index(b"PK\x01\x02") // 2
    return archive[:at] + bytes(byte ^ 0xFF for byte in archive[at : at + 8]) + archive[at + 8 :]


HOSTILE: dict[str, tuple[bytes, str]] = {
    "bomb": (packed(("bomb.dxf", bytes(2_900_000)), ("x", b"")), "ARCHIVE_LIMIT"),
    "too much in all": (packed(*((f"{n}.stl", random.randbytes(60_000) + bytes(2_800_000)) for n in range(4))), "ARCHIVE_LIMIT"),
    "too many entries": (packed(*((f"{n}.dxf", b"x") for n in range(FILES + 1))), "ARCHIVE_LIMIT"),
    "a catalogue that lies": (catalogue(8_000), "ARCHIVE_LIMIT"),
    "overlapping entries": (quoted(), "ARCHIVE_CORRUPT"),
    "encrypted": (flag(packed(("a.dxf", DRAWING)), encrypted=True), "ARCHIVE_ENCRYPTED"),
    "another method": (flag(packed(("a.dxf", DRAWING)), method=12), "ARCHIVE_CORRUPT"),
    "longer than it says": (flag(packed(("a.dxf", DRAWING)), size=1000), "ARCHIVE_CORRUPT"),
    "shorter than it says": (flag(packed(("a.dxf", DRAWING)), size=len(DRAWING) + 1000), "ARCHIVE_CORRUPT"),
    "cut": (packed(("a.dxf", DRAWING))[:-30], "ARCHIVE_CORRUPT"),
    "nothing but a beginning": (b"PK\x03\x04" + bytes(1000), "ARCHIVE_CORRUPT"),
    "flipped": (flipped(), "ARCHIVE_CORRUPT"),
    "empty": (packed(), "FILE_EMPTY"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_archive_gets_its_code(capped: Stack, kind: str) -> None:
    body, code = HOSTILE[kind]
    answer = send(capped, ("bad.zip", body))
    assert answer.status_code == 422
    assert only(answer)["error"]["code"] == code, only(answer)


def test_nothing_is_left_in_the_spool_nor_written_beside_it(capped: Stack) -> None:
    for body, _ in HOSTILE.values():
        send(capped, ("bad.zip", body))
    send(capped, ("bad.zip", packed(("../../../cadmill-was-here", b"x"))))
    assert list((capped.directory / "files" / "incoming").iterdir()) == []
    assert not list(capped.directory.parent.rglob("cadmill-was-here"))
    stored = [path.name for path in (capped.directory / "files").rglob("*") if path.is_file()]
    assert all(len(name) == 64 for name in stored)


def test_an_archive_counts_its_files_against_those_of_the_request(capped: Stack) -> None:
    half = packed(*((f"{n}.dxf", DRAWING) for n in range(FILES // 2 + 1)))
    told = send(capped, ("one.zip", half), ("two.zip", half)).json()["parts"]
    assert len(told) == FILES // 2 + 2
    assert told[-1]["error"]["code"] == "ARCHIVE_LIMIT"
