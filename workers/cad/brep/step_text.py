"""What the text of a STEP file (ISO 10303-21) tells without a geometry kernel, and whether it may be shown to one.

Open CASCADE drops what it does not understand without a word, and dies of some slips (lists that are never closed, lists nested
too deep). So the text is checked first: one pass over its bytes with numpy, no parser.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foundation.errors import Failure
from foundation.settings import CadSettings
from workers.cad.shape import Finding, FindingCode, Flags

Bytes = NDArray[np.uint8]

_END = b"END-ISO-10303-21"
_DATA = re.compile(rb";\s*DATA\s*[;(]")
_STRING_OR_COMMENT = re.compile(rb"'[^']*'|/\*.*?\*/", re.DOTALL)
_STRING = re.compile(rb"'[^']*'")
_NO_NUMBER = re.compile(rb"[(,]\s*[+-]?(?:nan|inf(?:inity)?)\s*[,)]")
_QUOTE, _OPEN, _CLOSE, _SEMICOLON, _HASH, _EQUALS, _ZERO = b"'();#=0"
_BLANKS = np.frombuffer(b" \t\r\n", dtype=np.uint8)
# 18 digits fit into 64 bits, and no file has so many entities
_DIGITS = 18


@dataclass(frozen=True, slots=True)
class StepText:
    """A text that may be shown to the kernel: comments are gone, the end is there."""

    data: bytes
    records: int  # numbered entities
    findings: tuple[Finding, ...]


def checked(data: bytes, limits: CadSettings) -> StepText:
    """Raises `Failure` FILE_CORRUPT, CAD_LIMIT."""
    findings = []
    end = data.rfind(_END)
    if end < 0:
        findings.append(Finding.of(FindingCode.FILE_REPAIRED))
        end = len(data)
    elif surplus := len(data[end + len(_END) :].strip(b"; \t\r\n\0")):
        findings.append(Finding.of(FindingCode.BYTES_IGNORED, surplus))
    body = _without_comments(data[:end])
    if b"\0" in body:
        raise _corrupt("it holds zero bytes")
    section = _DATA.search(body)
    letters = np.frombuffer(body, dtype=np.uint8)
    outside = _outside_strings(letters, limits)
    _check_lists(letters, outside, limits)
    if section is None:
        raise _corrupt("it has no data section")
    if not re.search(rb"ENDSEC\s*;\s*$", body) and not findings:
        findings.append(Finding.of(FindingCode.FILE_REPAIRED))
    _check_numbers(body, outside)
    records, dangling = _check_references(letters, outside, limits)
    if dangling:
        findings.append(Finding.of(FindingCode.REFERENCES_DANGLING, dangling))
    return StepText(body + _END + b";\n", records, tuple(findings))


def _corrupt(reason: str, **more: int) -> Failure:
    return Failure("FILE_CORRUPT", {"format": "step", "reason": reason, **more})


def _without_comments(data: bytes) -> bytes:
    if b"/*" not in data:
        return data
    # most writers comment the header only, and all that follows the last comment is plain
    cut = data.rfind(b"*/") + 2
    # strings are matched too, so that what looks like a comment within one stays
    body = _STRING_OR_COMMENT.sub(lambda found: found[0] if found[0][:1] == b"'" else b" ", data[:cut]) + data[cut:]
    if b"/*" in body and b"/*" in _STRING.sub(b"", body):
        raise _corrupt("a comment has no end")
    return body


def _outside_strings(letters: Bytes, limits: CadSettings) -> Flags:
    """For each byte whether it is outside of strings. A doubled quote within one closes and opens it again: no harm."""
    quotes = np.flatnonzero(letters == _QUOTE)
    if len(quotes) % 2:
        raise _corrupt("a string has no end")
    longest = int((quotes[1::2] - quotes[::2]).max(initial=0))
    if longest > limits.max_string:
        raise Failure("CAD_LIMIT", {"limit": "CADMILL_CAD_MAX_STRING", "allowed": limits.max_string, "found": longest})
    inside = np.bitwise_xor.accumulate(letters == _QUOTE)
    return np.asarray(~inside)


def _check_lists(letters: Bytes, outside: Flags, limits: CadSettings) -> None:
    """Every list is closed within its entity, none is nested too deep, the last entity is complete."""
    at = np.flatnonzero(((letters == _OPEN) | (letters == _CLOSE) | (letters == _SEMICOLON)) & outside)
    marks = letters[at]
    depth = np.cumsum((marks == _OPEN).astype(np.int64) - (marks == _CLOSE))
    deepest = int(depth.max(initial=0))
    if deepest > limits.max_nesting:
        raise Failure("CAD_LIMIT", {"limit": "CADMILL_CAD_MAX_NESTING", "allowed": limits.max_nesting, "found": deepest})
    ends = marks == _SEMICOLON
    if not ends.any() or not np.isin(letters[at[ends][-1] + 1 :], _BLANKS).all():
        raise _corrupt("it ends within an entity")
    wrong = int((depth[ends] != 0).sum() + (depth < 0).sum())
    if wrong:
        raise _corrupt("lists are not closed where they should be", places=wrong)


def _check_numbers(body: bytes, outside: Flags) -> None:
    small = body.lower()
    if b"nan" in small or b"inf" in small:
        wrong = sum(bool(outside[found.start()]) for found in _NO_NUMBER.finditer(small))
        if wrong:
            raise _corrupt("a number is none", places=wrong)


def _check_references(letters: Bytes, outside: Flags, limits: CadSettings) -> tuple[int, int]:
    """How many entities are defined, and how many references lead nowhere."""
    at = np.flatnonzero((letters == _HASH) & outside)
    padded = np.append(letters, np.zeros(_DIGITS + 2, dtype=np.uint8))
    names = np.zeros(len(at), dtype=np.int64)
    reading = np.arange(len(at))
    after = at + 1
    for _ in range(_DIGITS + 1):
        digits = padded[after[reading]].astype(np.int64) - _ZERO
        reading = reading[(digits >= 0) & (digits <= 9)]
        if not len(reading):
            break
        names[reading] = names[reading] * 10 + (padded[after[reading]].astype(np.int64) - _ZERO)
        after[reading] += 1
    if len(reading) or (after == at + 1).any():
        raise _corrupt("an entity number is none or absurdly large")
    blank = np.arange(len(at))
    while len(blank := blank[np.isin(padded[after[blank]], _BLANKS)]):
        after[blank] += 1
    defining = padded[after] == _EQUALS
    defined = np.unique(names[defining])
    if len(defined) > limits.max_records:
        raise Failure("CAD_LIMIT", {"limit": "CADMILL_CAD_MAX_RECORDS", "allowed": limits.max_records, "found": len(defined)})
    doubled = int(defining.sum()) - len(defined)
    if doubled:
        # which of the two is meant nobody can say, and the kernel takes one without telling
        raise _corrupt("entity numbers are defined twice", numbers=doubled)
    return len(defined), int((~np.isin(names[~defining], defined)).sum())
