"""What the text of a STEP file (ISO 10303-21) tells without a geometry kernel, and whether it may be shown to one.

Open CASCADE drops what it does not understand without a word, and dies of some slips (lists that are never closed, lists nested
too deep). So the text is checked first with numpy, no parser: one pass finds the marks (quotes, lists, ends, numbers of entities),
all judgements are made on these.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foundation.engine_settings import CadSettings
from foundation.errors import Failure
from workers.cad.shape import Finding, FindingCode, Flags, Integers

Bytes = NDArray[np.uint8]

_END = b"END-ISO-10303-21"
_DATA = re.compile(rb";\s*DATA\s*[;(]")
_STRING_OR_COMMENT = re.compile(rb"'[^']*'|/\*.*?\*/", re.DOTALL)
_STRING = re.compile(rb"'[^']*'")
_WORD = re.compile(rb"(?:nan|inf(?:inity)?)\s*[,)]", re.IGNORECASE)
_NO_NUMBER = re.compile(rb"'[^']*'|[(,]\s*[+-]?(?:nan|inf(?:inity)?)\s*[,)]", re.IGNORECASE)
_QUOTE, _OPEN, _CLOSE, _SEMICOLON, _HASH, _EQUALS, _ZERO = b"'();#=0"
_A, _F, _I, _N, _SLASH, _STAR = b"afin/*"
_BLANKS = b" \t\r\n"
# how much deeper each byte leads into lists
_NESTING = np.zeros(256, dtype=np.int8)
_NESTING[[_OPEN, _CLOSE]] = 1, -1
# what stands before a number
_BEFORE_NUMBER = b"(,+-\v\f" + _BLANKS
# 18 digits fit into 64 bits, and no file has so many entities
_DIGITS = 18
_BLOCK, _TAIL = 1 << 16, 1 << 12


@dataclass(frozen=True, slots=True, eq=False)
class Marks:
    """What stands where outside of strings, in the order of the text."""

    at: Integers  # (m,) places of quotes, lists, semicolons and hashes
    kinds: Bytes  # (m,) which of them
    names: Integers  # (h,) the number behind each hash
    after: Integers  # (h,) where the first byte that is no blank stands behind it
    defining: Flags  # (h,) whether that is an equals sign


@dataclass(frozen=True, slots=True, eq=False)
class StepText:
    """A text that may be shown to the kernel: comments are gone, the end is there."""

    data: bytes
    numbers: Integers  # of its entities, ascending
    equals: Integers  # where the equals sign of each stands
    findings: tuple[Finding, ...]
    marks: Marks

    @property
    def records(self) -> int:
        """How many entities it defines."""
        return len(self.numbers)

    def entity(self, number: bytes) -> bytes:
        """What stands between the equals sign of an entity and the next semicolon; nothing where no entity has this number."""
        wanted = int(number[-_DIGITS:])  # longer ones can only stand within strings
        at = int(self.numbers.searchsorted(wanted))
        if at == len(self.numbers) or self.numbers[at] != wanted:
            return b""
        start = int(self.equals[at]) + 1
        return self.data[start : self.data.index(b";", start)]


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
    at, marks = _marks(letters, limits)
    # the whole text is copied only where it ends in a waste of blanks
    tail = body[-_TAIL:].rstrip(_BLANKS) or body.rstrip(_BLANKS)
    if not tail.endswith(b";"):
        raise _corrupt("it ends within an entity")
    _check_lists(marks, limits)
    if section is None:
        raise _corrupt("it has no data section")
    if not tail[:-1].rstrip().endswith(b"ENDSEC") and not findings:
        findings.append(Finding.of(FindingCode.FILE_REPAIRED))
    _check_numbers(body, letters)
    names, after, defining = _references(letters, at.compress(marks == _HASH))
    numbers, equals, dangling = _check_references(names, after, defining, limits)
    if dangling:
        findings.append(Finding.of(FindingCode.REFERENCES_DANGLING, dangling))
    return StepText(body + _END + b";\n", numbers, equals, tuple(findings), Marks(at, marks, names, after, defining))


def _corrupt(reason: str, **more: int) -> Failure:
    return Failure("FILE_CORRUPT", {"format": "step", "reason": reason, **more})


def _without_comments(data: bytes) -> bytes:
    if not _commented(np.frombuffer(data, dtype=np.uint8)):
        return data
    # most writers comment the header only, and all that follows the last comment is plain
    cut = data.rfind(b"*/") + 2
    # strings are matched too, so that what looks like a comment within one stays
    body = _STRING_OR_COMMENT.sub(lambda found: found[0] if found[0][:1] == b"'" else b" ", data[:cut]) + data[cut:]
    if _commented(np.frombuffer(body, dtype=np.uint8)) and b"/*" in _STRING.sub(b"", body):
        raise _corrupt("a comment has no end")
    return body


def _commented(letters: Bytes) -> bool:
    """Whether a comment begins somewhere; several times faster than to search for two bytes."""
    slashes = (letters[:-1] == _SLASH).nonzero()[0]
    return bool(np.count_nonzero(letters.take(slashes + 1) == _STAR))


def _blocks(letters: Bytes, overlap: int = 0) -> Iterator[tuple[int, Bytes]]:
    """The text in pieces, and where each begins: what is computed of a piece stays in the cache and needs no fresh memory."""
    for start in range(0, max(len(letters), 1), _BLOCK):
        yield start, letters[start : start + _BLOCK + overlap]


def _wanted(letters: Bytes) -> Flags:
    # quotes and both brackets stand side by side in ASCII; what would be below zero becomes large
    found = (letters - _QUOTE) <= _CLOSE - _QUOTE
    found |= letters == _SEMICOLON
    found |= letters == _HASH
    return np.asarray(found)


def _none(letters: Bytes) -> Integers:
    """Where the letters nan or inf begin, capital or not."""
    small = letters | 0x20
    n = small == _N
    nan, inf = small[1:-1] == _A, small[:-2] == _I
    nan &= n[:-2]
    nan &= n[2:]
    inf &= n[1:-1]
    inf &= small[2:] == _F
    nan |= inf
    return np.asarray(nan.nonzero()[0])


def _marks(letters: Bytes, limits: CadSettings) -> tuple[Integers, Bytes]:
    """Where the marks outside of strings stand, and which they are. A doubled quote within a string closes and opens it again: no harm."""
    at = np.concatenate([_wanted(block).nonzero()[0] + start for start, block in _blocks(letters)])
    marks = letters.take(at)
    quote = marks == _QUOTE
    quotes = at.compress(quote)
    if len(quotes) % 2:
        raise _corrupt("a string has no end")
    longest = int((quotes[1::2] - quotes[::2]).max(initial=0))
    if longest > limits.max_string:
        raise Failure("CAD_LIMIT", {"limit": "CADMILL_CAD_MAX_STRING", "allowed": limits.max_string, "found": longest})
    inside = np.bitwise_xor.accumulate(quote)
    inside |= quote
    outside = (~inside).nonzero()[0]
    return at.take(outside), marks.take(outside)


def _check_lists(marks: Bytes, limits: CadSettings) -> None:
    """Every list is closed within its entity, none is nested too deep."""
    depth = _NESTING.take(marks).cumsum(dtype=np.int32)
    deepest = int(depth.max(initial=0))
    if deepest > limits.max_nesting:
        raise Failure("CAD_LIMIT", {"limit": "CADMILL_CAD_MAX_NESTING", "allowed": limits.max_nesting, "found": deepest})
    wrong = int(np.count_nonzero(depth.compress(marks == _SEMICOLON)) + np.count_nonzero(depth < 0))
    if wrong:
        raise _corrupt("lists are not closed where they should be", places=wrong)


def _check_numbers(body: bytes, letters: Bytes) -> None:
    sites = [start + at for start, block in _blocks(letters, 2) for at in _none(block).tolist()]
    if any(body[at - 1] in _BEFORE_NUMBER and _WORD.match(body, at) for at in sites):
        # matched from string to string, so that what looks like a number within one stays
        wrong = sum(found[0][:1] != b"'" for found in _NO_NUMBER.finditer(body))
        if wrong:
            raise _corrupt("a number is none", places=wrong)


def _references(letters: Bytes, hashes: Integers) -> tuple[Integers, Integers, Flags]:
    """The number behind each hash, where that ends and blanks end, and whether an entity is defined there.

    A semicolon must follow each hash somewhere.
    """
    after = hashes + 1
    names = np.zeros(len(hashes), dtype=np.int64)
    for _ in range(_DIGITS):
        digits = letters.take(after) - _ZERO  # below zero becomes large: the bytes have no sign
        reading = digits < 10
        count = np.count_nonzero(reading)
        if not count:
            break
        if count == len(names):  # as the first digits of all are
            names *= 10
            names += digits
            after += 1
        else:
            names = np.where(reading, names * 10 + digits, names)
            after += reading
    following = letters.take(after)
    if np.count_nonzero(after == hashes + 1) or np.count_nonzero((following - _ZERO) < 10):
        raise _corrupt("an entity number is none or absurdly large")
    blank = _blank(following).nonzero()[0]
    while len(blank):
        after[blank] += 1
        following[blank] = letters[after[blank]]
        blank = blank[_blank(following[blank])]
    return names, after, following == _EQUALS


def _check_references(names: Integers, after: Integers, defining: Flags, limits: CadSettings) -> tuple[Integers, Integers, int]:
    """The numbers of all entities, ascending, where the equals sign of each stands, and how many references lead nowhere."""
    numbers, equals, used = names.compress(defining), after.compress(defining), names.compress(~defining)
    if not (numbers[1:] > numbers[:-1]).all():  # most writers count
        order = np.argsort(numbers)
        numbers, equals = numbers[order], equals[order]
    doubled = int(np.count_nonzero(numbers[1:] == numbers[:-1]))
    if len(numbers) - doubled > limits.max_records:
        found = len(numbers) - doubled
        raise Failure("CAD_LIMIT", {"limit": "CADMILL_CAD_MAX_RECORDS", "allowed": limits.max_records, "found": found})
    if doubled:
        # which of the two is meant nobody can say, and the kernel takes one without telling
        raise _corrupt("entity numbers are defined twice", numbers=doubled)
    if not len(numbers) or numbers[-1] > 4 * len(names):
        return numbers, equals, int(np.count_nonzero(~np.isin(used, numbers)))
    known = np.zeros(int(numbers[-1]) + 2, dtype=bool)  # the last stands for all that are larger
    known[numbers] = True
    return numbers, equals, int(np.count_nonzero(~known.take(used, mode="clip")))


def _blank(letters: Bytes) -> Flags:
    return np.asarray((letters == _BLANKS[0]) | (letters == _BLANKS[1]) | (letters == _BLANKS[2]) | (letters == _BLANKS[3]))
