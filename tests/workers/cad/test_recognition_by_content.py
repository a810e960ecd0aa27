"""What a file is comes from its bytes; what its name claims is only compared."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.recognition import BINARY_DXF, binary_stl, claimed, recognise
from tasks.vocabulary import Format

DRAWING = b"  0\nSECTION\n  2\nENTITIES\n  0\nENDSEC\n  0\nEOF\n"
TRIANGLE = struct.pack("<12fH", 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0)


def solid(triangles: int, claim: int | None = None, header: bytes = b"mesh") -> bytes:
    return header.ljust(80, b"\0") + struct.pack("<I", triangles if claim is None else claim) + TRIANGLE * triangles


@pytest.mark.parametrize(
    ("content", "format"),
    [
        (DRAWING, Format.DXF),
        (DRAWING.replace(b"\n", b"\r\n"), Format.DXF),
        (DRAWING.replace(b"\n", b"\r"), Format.DXF),
        (b"\xef\xbb\xbf" + DRAWING, Format.DXF),
        (b"999\nmade by hand\n 999\nyes\n" + DRAWING, Format.DXF),
        (b"00\nSECTION\n2\nHEADER\n", Format.DXF),
        (b"\xff\xfe" + DRAWING.decode().encode("utf-16-le"), Format.DXF),
        (BINARY_DXF + b"\0\0SECTION\0", Format.DXF),
        (solid(2), Format.STL),
        (solid(0), Format.STL),
        (solid(2, header=b"solid but binary"), Format.STL),
        (solid(2) + b"trailing", Format.STL),
        (solid(2, claim=1000), Format.STL),
        (b"  SoLiD part\nfacet normal 0 0 1\n", Format.STL),
        (b"ISO-10303-21;\nHEADER;", Format.STEP),
        (b"\n ISO-10303-21;", Format.STEP),
        (b"a wire box".ljust(72) + b"S      1\n", Format.IGES),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 100, Format.UNKNOWN),
        (b"<html><body>404</body></html>", Format.UNKNOWN),
        (b"PK\x03\x04" + b"\0" * 200, Format.UNKNOWN),
        (b"AC1015" + b"\0" * 200, Format.UNKNOWN),
        (b"", Format.UNKNOWN),
        (b"\0" * 500, Format.UNKNOWN),
        (b"0\nLINE\n", Format.UNKNOWN),
    ],
)
def test_content_decides_the_format(content: bytes, format: Format) -> None:
    assert recognise(content[:4096], len(content)) is format


def test_a_long_comment_does_not_hide_a_drawing() -> None:
    content = b"999\n" + b"x" * 5000 + b"\n" + DRAWING
    assert recognise(content[:4096], len(content)) is Format.DXF


def test_size_tells_binary_from_text_when_both_begin_with_solid() -> None:
    binary, text = solid(3, header=b"solid"), b"solid x\nfacet normal 0 0 0\n" * 10
    assert binary_stl(binary, len(binary))
    assert not binary_stl(text, len(text))


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("a.dxf", Format.DXF),
        ("A.DXF", Format.DXF),
        (".hidden.dxf", Format.DXF),
        ("two.step.dxf", Format.DXF),
        ("a.STL", Format.STL),
        ("a.stp", Format.STEP),
        ("a.step", Format.STEP),
        ("a.igs", Format.IGES),
        ("a.iges", Format.IGES),
        ("a.txt", None),
        ("dxf", None),
        ("", None),
        ("a.", None),
    ],
)
def test_the_extension_is_what_a_name_claims(name: str, format: Format | None) -> None:
    assert claimed(name) is format


@given(st.binary(max_size=400), st.integers(0, 10**9))
def test_no_bytes_make_recognition_fail(head: bytes, size: int) -> None:
    assert isinstance(recognise(head, max(size, len(head))), Format)
