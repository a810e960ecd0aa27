"""What a file is: by its first bytes and its size, never by its name. Standard library only; the API uses it too."""

from __future__ import annotations

import codecs
import math
import re
import struct
from itertools import dropwhile
from operator import not_

from tasks.vocabulary import Format

HEAD_BYTES = 4096
BINARY_DXF = b"AutoCAD Binary DXF\r\n\x1a\x00"

_STL_HEADER, _STL_TRIANGLE = 84, 50
# comments, then the first tag, as nearly all writers have them
_DXF_BEGIN = re.compile(r"\s*(?:999[ \t]*\r?\n[^\r\n]*\r?\n[ \t]*)*0[ \t]*\r?\n[ \t]*(?:SECTION|EOF)[ \t]*\r?\n")
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_EXTENSIONS = {"dxf": Format.DXF, "stl": Format.STL, "step": Format.STEP, "stp": Format.STEP, "igs": Format.IGES, "iges": Format.IGES}


def recognise(head: bytes, size: int) -> Format:
    """The format of a file of `size` bytes that begins with `head` (its first 4096 bytes or all of it)."""
    head = head[:HEAD_BYTES]
    text = _text(head)
    if text.lstrip()[:12].upper() == "ISO-10303-21":
        return Format.STEP
    if head.startswith(BINARY_DXF[:18]) or _dxf_text(text, size > len(head)):
        return Format.DXF
    if _iges(head):
        return Format.IGES
    if binary_stl(head, size) or text.lstrip()[:5].lower() == "solid":
        return Format.STL
    return Format.UNKNOWN


def claimed(name: str) -> Format | None:
    """The format that the extension of a file name claims, None when it claims none of ours."""
    _, dot, extension = name.rpartition(".")
    return _EXTENSIONS.get(extension.lower()) if dot else None


def encoding(head: bytes) -> str | None:
    """The encoding that a byte order mark announces, None without one."""
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    return "utf-16" if head.startswith(_UTF16) else None


def binary_stl(head: bytes, size: int) -> bool:
    """Whether this is a binary STL: its size says so, or, for a cut or padded file, its first triangles do.

    The size is asked before the word `solid`, with which many binary files begin too.
    """
    if len(head) < _STL_HEADER:
        return False
    triangles = int.from_bytes(head[80:84], "little")
    if size == _STL_HEADER + _STL_TRIANGLE * triangles:
        return True
    text = head.lstrip()[:5].lower() == b"solid"
    return triangles > 0 and not (text and b"\0" not in head) and _plausible_triangles(head)


def broken(head: bytes, fmt: Format) -> bool:
    """Whether unrecognised bytes look like a damaged file of the format `fmt` rather than like something else."""
    if fmt is Format.DXF:
        first = _text(head).lstrip().splitlines()[:1]
        return bool(first) and first[0].strip().isdecimal()
    return fmt is Format.STL and 0 < len(head) < _STL_HEADER


def _text(head: bytes) -> str:
    mark = encoding(head)
    if mark == "utf-16":
        return head[: len(head) // 2 * 2].decode(mark, errors="replace")
    return head[3:].decode("latin-1") if mark else head.decode("latin-1")


def _dxf_text(text: str, more: bool) -> bool:
    """Whether the first tag that is no comment is `0 SECTION`, or `0 EOF` of an empty drawing."""
    if _DXF_BEGIN.match(text):
        return True
    lines = dropwhile(not_, map(str.strip, text.replace("\r\n", "\n").replace("\r", "\n").split("\n")))
    comments = False
    for code, value in zip(lines, lines, strict=False):
        if not code.isdecimal():
            return False
        if int(code) != 999:
            return int(code) == 0 and value.upper() in ("SECTION", "EOF")
        comments = True
    # nothing but comments so far: believe them when the file goes on
    return more and comments


def _iges(head: bytes) -> bool:
    """Whether the first 80-column record is the first of the start section: `S` in column 73, then its number."""
    return head[72:73] in (b"S", b"C") and head[73:80].strip().lstrip(b"0") == b"1" and b"\n" not in head[:72] and b"\0" not in head[:80]


def _plausible_triangles(head: bytes) -> bool:
    """Whether each whole triangle in the head has a normal of length 0 or about 1 and coordinates of this world."""
    seen = 0
    for at in range(_STL_HEADER, len(head) - _STL_TRIANGLE + 1, _STL_TRIANGLE):
        numbers = struct.unpack_from("<12f", head, at)
        if not all(math.isfinite(number) and (number == 0 or 1e-12 < abs(number) < 1e12) for number in numbers[3:]):
            return False
        length = math.hypot(*numbers[:3])
        if not (length < 1e-3 or 0.5 < length < 1.5):
            return False
        seen += any(numbers)
    return seen > 0
