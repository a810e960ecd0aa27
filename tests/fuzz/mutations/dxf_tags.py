"""DXF as a list of tags and back, text and binary. A tag is its group code and the bytes of its value."""

from __future__ import annotations

import struct
from typing import Protocol

from tasks.recognition import BINARY_DXF
from workers.cad.dxf.fast.binary import binary_tags, version_of
from workers.cad.dxf.fast.tags import HEX, INTEGER, KIND, LARGEST_CODE, REAL, NotCovered

Tag = tuple[int, bytes]
Tags = list[Tag]


class NotTags(Exception):
    """These bytes are too broken to be mutated tag by tag."""


class Encoding(Protocol):
    """How tags stand in a file."""

    def written(self, tags: Tags) -> bytes:
        """The whole file."""

    def number(self, code: int, text: bytes) -> bytes:
        """The number `text` as the value of a tag."""


class Text:
    def __init__(self, end: bytes) -> None:
        self._end = end

    def written(self, tags: Tags) -> bytes:
        return b"".join(b"%3d%b%b%b" % (code, self._end, value, self._end) for code, value in tags)

    def number(self, code: int, text: bytes) -> bytes:
        return text


class Binary:
    """The values of numbers stay as wide as they were; a new group code may make them too wide or too narrow, which is as good a slip."""

    def __init__(self, short: bool) -> None:
        self._short = short

    def written(self, tags: Tags) -> bytes:
        parts = [BINARY_DXF]
        for code, value in tags:
            wide = not self._short or not 0 <= code < 255
            parts.append((b"\xff" if self._short and wide else b"") + (code & 0xFFFF).to_bytes(2 if wide else 1, "little"))
            kind = kind_of(code)
            parts.append(bytes([len(value) & 255]) + value if kind == HEX else value if kind in (REAL, INTEGER) else value + b"\0")
        return b"".join(parts)

    def number(self, code: int, text: bytes) -> bytes:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if kind_of(code) == REAL:
            return struct.pack("<d", value)
        whole = int(value) if abs(value) < 1e30 else -1
        width = 4 if 90 <= code < 100 or 420 <= code < 460 or code == 1071 else 8 if 160 <= code < 170 else 1 if 290 <= code < 300 else 2
        return (whole & ((1 << 8 * width) - 1)).to_bytes(width, "little")


def kind_of(code: int) -> int:
    return int(KIND[code]) if 0 <= code <= LARGEST_CODE else -1


def is_number(code: int) -> bool:
    return kind_of(code) in (REAL, INTEGER)


def parsed(data: bytes) -> tuple[Tags, Encoding]:
    """At least one tag that begins something. Raises `NotTags`."""
    if data.startswith(BINARY_DXF):
        try:
            found = binary_tags(data)
        except NotCovered as error:
            raise NotTags from error
        return _begun([(int(code), found.value(at)) for at, code in enumerate(found.codes.tolist())]), Binary(version_of(data) <= b"AC1009")
    end = b"\r\n" if b"\r\n" in data[:200] else b"\n"
    lines = data.split(end)
    try:
        tags = [(int(code), value) for code, value in zip(lines[::2], lines[1::2], strict=False)]
    except ValueError as error:
        raise NotTags from error
    return _begun(tags), Text(end)


def _begun(tags: Tags) -> Tags:
    if all(code for code, _ in tags):
        raise NotTags
    return tags
