"""What the 80-column records of an IGES file tell without a geometry kernel, and whether they may be shown to one."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from foundation.engine_settings import CadSettings
from foundation.errors import Failure
from workers.cad.brep.step_names import NAMES, text
from workers.cad.shape import MILLIMETRES_ASSUMED, Finding, FindingCode, Origin, Units

_WIDTH, _LETTER = 80, 72
# parameters of the global section, counted from 0
_PRODUCT, _SYSTEM, _PREPROCESSOR, _UNIT, _UNIT_NAME = 2, 4, 5, 13, 14
_UNITS = {1: ("in", 25.4), 2: ("mm", 1.0), 4: ("ft", 304.8), 5: ("mi", 1_609_344.0), 6: ("m", 1000.0), 7: ("km", 1e6),
          8: ("mil", 0.0254), 9: ("um", 1e-3), 10: ("cm", 10.0), 11: ("microinch", 25.4e-6)}  # fmt: skip
# flag 3: the name decides
_UNIT_NAMES = {b"IN": 1, b"INCH": 1, b"MM": 2, b"FT": 4, b"MI": 5, b"M": 6, b"KM": 7, b"MIL": 8, b"UM": 9, b"CM": 10, b"UIN": 11}
_CONFIDENCE = 0.9
_HOLLERITH = re.compile(rb"\s*(\d{1,9})H")
_STRING_START = re.compile(rb"(?:^|[,;])\s*(\d{1,20})H")
_NO_NUMBER = re.compile(rb",\s*[+-]?(?:nan|inf(?:inity)?)\s*[,;]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class IgesText:
    units: Units
    facts: dict[str, Any]
    findings: tuple[Finding, ...]


def checked(data: bytes, limits: CadSettings) -> IgesText:
    """Raises `Failure` FILE_CORRUPT, FORMAT_UNSUPPORTED, CAD_LIMIT."""
    sections = _sections(data)
    directory, parameters = sections[b"D"], sections[b"P"]
    entities = len(directory) // 2
    if entities > limits.max_records:
        raise Failure("CAD_LIMIT", {"limit": "CADMILL_CAD_MAX_RECORDS", "allowed": limits.max_records, "found": entities})
    if len(directory) % 2:
        raise _corrupt("the directory ends within an entity")
    _check_pointers(directory, len(parameters))
    _check_values(b"".join(line[:64] for line in parameters))
    findings = [Finding.of(FindingCode.FILE_REPAIRED, slips)] if (slips := _slips(sections)) else []
    told = _global(b"".join(line[:_LETTER] for line in sections[b"G"]))
    units = _units(told)
    if units.origin is Origin.ASSUMED:
        findings.append(Finding.of(FindingCode.UNITS_ASSUMED))
    facts: dict[str, Any] = {
        "records": entities,
        "records_by_type": dict(Counter(text(line[:8]) for line in directory[::2]).most_common(NAMES)),
    }
    for name, at in (("product", _PRODUCT), ("originating_system", _SYSTEM), ("preprocessor", _PREPROCESSOR)):
        if len(told) > at and (value := text(told[at])):
            facts[name] = value
    return IgesText(units, facts, tuple(findings))


def _corrupt(reason: str, **more: int) -> Failure:
    return Failure("FILE_CORRUPT", {"format": "iges", "reason": reason, **more})


def _sections(data: bytes) -> dict[bytes, list[bytes]]:
    """Records by the letter in column 73. Old systems write them without line ends."""
    lines = data.splitlines() if re.search(rb"[\r\n]", data) else [data[at : at + _WIDTH] for at in range(0, len(data), _WIDTH)]
    sections: dict[bytes, list[bytes]] = {letter: [] for letter in (b"S", b"G", b"D", b"P", b"T")}
    strange = 0
    for line in lines:
        letter = line[_LETTER : _LETTER + 1]
        if letter in sections:
            sections[letter].append(line)
        elif letter in (b"C", b"B"):
            raise Failure("FORMAT_UNSUPPORTED", {"format": "compressed or binary iges"})
        else:
            strange += bool(line.strip())
        if letter == b"T":
            break
    if strange:
        raise _corrupt("records name no section in column 73", records=strange)
    return sections


def _check_pointers(directory: list[bytes], parameters: int) -> None:
    wrong = 0
    for first, second in zip(directory[::2], directory[1::2], strict=True):
        start, count = _integer(first[8:16]), _integer(second[24:32])
        wrong += start is None or count is None or start + max(count, 1) - 1 > parameters
    if wrong:
        raise _corrupt("the directory points to parameters that do not exist", entities=wrong)


def _check_values(values: bytes) -> None:
    """No string may claim to be longer than what is left, and no number may be none."""
    if any(int(found[1]) > len(values) - found.end() for found in _STRING_START.finditer(values)):
        raise _corrupt("a string claims to be longer than the file")
    wrong = len(_NO_NUMBER.findall(values))
    if wrong:
        raise _corrupt("a number is none", places=wrong)


def _slips(sections: dict[bytes, list[bytes]]) -> int:
    """Records whose number is not their place, and counts that the last record has wrong."""
    slips = 0
    for lines in sections.values():
        slips += sum(_integer(line[_LETTER + 1 : _WIDTH]) != place for place, line in enumerate(lines, 1))
    last = sections[b"T"]
    if not last:
        return slips + 1
    for place, letter in enumerate((b"S", b"G", b"D", b"P")):
        slips += _integer(last[0][8 * place + 1 : 8 * place + 8]) != len(sections[letter])
    return slips


def _integer(field: bytes) -> int | None:
    field = field.strip()
    return int(field) if field.isdigit() and len(field) <= 9 else None


def _global(values: bytes) -> list[bytes]:
    """The parameters of the global section; the first two name the marks that part them."""
    comma, end = b",", b";"
    told: list[bytes] = []
    at = 0
    while at < len(values) and len(told) < 30:
        string = _HOLLERITH.match(values, at)
        if string:
            stop = string.end() + int(string[1])
            told.append(values[string.end() : stop])
        else:
            stops = [place for mark in (comma, end) if (place := values.find(mark, at)) >= 0]
            stop = min(stops, default=len(values))
            told.append(values[at:stop].strip())
        if len(told) == 1:
            comma = told[0][:1] or comma
        elif len(told) == 2:
            end = told[1][:1] or end
        if values[stop : stop + 1] == end:
            break
        at = stop + 1
    return told


def _units(told: list[bytes]) -> Units:
    flag = _integer(told[_UNIT]) if len(told) > _UNIT else None
    if flag == 3 and len(told) > _UNIT_NAME:
        flag = _UNIT_NAMES.get(told[_UNIT_NAME].strip().upper())
    known = _UNITS.get(flag) if flag else None
    return Units(*known, Origin.FILE, _CONFIDENCE) if known else MILLIMETRES_ASSUMED
