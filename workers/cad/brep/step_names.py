"""What a STEP file says about itself beside its geometry: schema, writer, unit of length, products and how they are assembled."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Any

from workers.cad.brep.step_text import StepText
from workers.cad.shape import MILLIMETRES_ASSUMED, Origin, Units

# the most products and parts of assemblies a result carries, and the longest name
NAMES, LETTERS = 200, 200
# the writer's unit is part of the geometry, not a preference that a template may have set
_CONFIDENCE = 0.99

_STRING = rb"'((?:[^']|'')*)'"
_SCHEMA = re.compile(rb"FILE_SCHEMA\s*\(\s*\(\s*" + _STRING)
_FILE_NAME = re.compile(rb"FILE_NAME\s*\(")
_HEADER_TOKEN = re.compile(_STRING + rb"|[(),;$]")
_PRODUCT = re.compile(rb"PRODUCT\s*\(\s*" + _STRING + rb"\s*,\s*" + _STRING)
_OPTIONAL = rb"(?:" + _STRING + rb"|\$)"
_FORMATION = re.compile(rb"PRODUCT_DEFINITION_FORMATION\w*\s*\(\s*" + _STRING + rb"\s*,\s*" + _OPTIONAL + rb"\s*,\s*#(\d+)")
_DEFINITION = re.compile(rb"PRODUCT_DEFINITION(?:_WITH_\w+)?\s*\(\s*" + _STRING + rb"\s*,\s*" + _OPTIONAL + rb"\s*,\s*#(\d+)")
_USAGE = re.compile(
    rb"NEXT_ASSEMBLY_USAGE_OCCURRENCE\w*\s*\(\s*"
    + _STRING
    + rb"\s*,\s*"
    + _STRING
    + rb"\s*,\s*"
    + _OPTIONAL
    + rb"\s*,\s*#(\d+)\s*,\s*#(\d+)"
)
_DEFINED = re.compile(rb"#(\d+)\s*=\s*\(?\s*(?:\w+\s*\([^()']*\)\s*)*$")

_CONTEXT = b"GLOBAL_UNIT_ASSIGNED_CONTEXT"
_UNITS = re.compile(_CONTEXT + rb"\s*\(\s*\(([^()]*)\)")
_SI_LENGTH = re.compile(rb"SI_UNIT\s*\(\s*(\$|\.\w+\.)\s*,\s*\.METRE\.\s*\)")
_CONVERSION = re.compile(rb"CONVERSION_BASED_UNIT\s*\(\s*" + _STRING + rb"\s*,\s*#(\d+)\s*\)")
_MEASURE = re.compile(rb"LENGTH_MEASURE\s*\(\s*([-+0-9.Ee]+)\s*\)\s*,\s*#(\d+)")
_PREFIXES = {"$": ("m", 1e3), ".MILLI.": ("mm", 1.0), ".CENTI.": ("cm", 10.0), ".DECI.": ("dm", 100.0), ".MICRO.": ("um", 1e-3),
             ".NANO.": ("nm", 1e-6), ".DECA.": ("dam", 1e4), ".HECTO.": ("hm", 1e5), ".KILO.": ("km", 1e6)}  # fmt: skip
# writers spell the names of converted units as they like
_BY_SIZE = {1.0: "mm", 10.0: "cm", 1000.0: "m", 25.4: "in", 304.8: "ft", 914.4: "yd", 0.0254: "mil"}

_ESCAPE = re.compile(rb"''|\\\\|\\S\\([ -~])|\\P[A-I]\\|\\X2\\((?:[0-9A-F]{4})+)\\X0\\|\\X4\\((?:[0-9A-F]{8})+)\\X0\\|\\X\\([0-9A-F]{2})")


def text(raw: bytes) -> str:
    """A string of ISO 10303-21 without its escapes, printable and not longer than LETTERS.

    Bytes above 127 are forbidden there and yet common: UTF-8 if they are that, Latin-1 otherwise.
    """
    parts: list[str] = []
    at = 0
    for found in _ESCAPE.finditer(raw[: 16 * LETTERS]):
        parts += [_plain(raw[at : found.start()]), _unescaped(found)]
        at = found.end()
    parts.append(_plain(raw[at : 16 * LETTERS]))
    whole = "".join(parts)
    if not whole.isprintable():
        whole = "".join(filter(str.isprintable, whole))
    return whole[:LETTERS].strip()


def _plain(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _unescaped(found: re.Match[bytes]) -> str:
    shifted, wide, wider, single = found.groups()
    if shifted:
        return chr(shifted[0] + 128)
    if wide:
        # surrogates appear in pairs or not at all
        return bytes.fromhex(wide.decode()).decode("utf-16-be", errors="replace")
    if wider:
        return bytes.fromhex(wider.decode()).decode("utf-32-be", errors="replace")
    if single:
        return bytes.fromhex(single.decode()).decode("latin-1")
    return {b"''": "'", rb"\\": "\\"}.get(found[0], "")


def header(data: bytes) -> dict[str, str]:
    """Schema, when the file was written and by which systems. Names of people and paths are left where they are."""
    told = {}
    data = data[: data.find(b"ENDSEC")]
    if schema := _SCHEMA.search(data):
        told["schema"] = text(schema[1])
    if name := _FILE_NAME.search(data):
        fields = _fields(data[name.end() : name.end() + 20_000])
        for field, at in (("created", 1), ("preprocessor", 4), ("originating_system", 5)):
            if value := text(fields[at]) if at < len(fields) else "":
                told[field] = value
    return told


def _fields(data: bytes) -> list[bytes]:
    """The strings of a header entity, one for each field; the first one where a field is a list."""
    fields: list[bytes] = [b""]
    depth = 0
    for token in _HEADER_TOKEN.finditer(data):
        mark = token[0]
        depth += (mark == b"(") - (mark == b")")
        if depth < 0 or mark == b";":
            break
        if mark == b"," and depth == 0:
            fields.append(b"")
        elif token[1] and not fields[-1]:
            fields[-1] = token[1]
    return fields


def products(data: bytes) -> dict[str, Any]:
    """Names of products, and of each assembly its parts with how often it holds them; bounded, with the true numbers beside."""
    sites = _sites(data, b"PRODUCT")
    named = {_name_before(data, found): text(found[2]) or text(found[1]) for found in _matches(_PRODUCT, data, sites)}
    told: dict[str, Any] = {"products": [*dict.fromkeys(named.values())][:NAMES], "products_total": len(named)}
    usages = [(found[4], found[5]) for found in _matches(_USAGE, data, _sites(data, b"NEXT_ASSEMBLY_USAGE_OCCURRENCE"))]
    if not usages:
        return told
    product_of = {_name_before(data, found): named.get(found[3], "") for found in _matches(_FORMATION, data, sites)}
    name_of = {_name_before(data, found): product_of.get(found[3], "") for found in _matches(_DEFINITION, data, sites)}
    held = Counter((name_of.get(whole, ""), name_of.get(part, "")) for whole, part in usages)
    told["assembly"] = [{"product": whole, "part": part, "count": count} for (whole, part), count in held.most_common(NAMES)]
    told["assembly_total"] = len(usages)
    return told


def _sites(data: bytes, word: bytes) -> list[int]:
    """Where a word begins. Looking for words and then matching there is several times faster than searching for patterns."""
    sites = []
    at = data.find(word)
    while at >= 0:
        sites.append(at)
        at = data.find(word, at + len(word))
    return sites


def _matches(pattern: re.Pattern[bytes], data: bytes, sites: list[int]) -> list[re.Match[bytes]]:
    return [found for at in sites if (found := pattern.match(data, at))]


def _name_before(data: bytes, found: re.Match[bytes]) -> bytes:
    """The number of the entity whose keyword was found."""
    defined = _DEFINED.search(data, max(found.start() - 200, 0), found.start())
    return defined[1] if defined else b""


def units(source: StepText) -> tuple[Units, list[str]]:
    """The unit of length of the first context that has one, and the names of all that occur. The kernel scales each context itself."""
    contexts = _matches(_UNITS, source.data, _sites(source.data, _CONTEXT))
    numbers = dict.fromkeys(number for context in contexts for number in re.findall(rb"#(\d+)", context[1]))
    found = [unit for number in [*numbers][:NAMES] if (unit := length_unit(source, number, 4)) is not None]
    return (found[0] if found else MILLIMETRES_ASSUMED), [*dict.fromkeys(unit.name for unit in found)]


def length_unit(source: StepText, number: bytes, depth: int) -> Units | None:
    """What entity `number` is as a unit of length; conversions refer to other units, but not for ever."""
    entity = source.entity(number)
    if metric := _SI_LENGTH.search(entity):
        known = _PREFIXES.get(metric[1].decode())
        return Units(*known, Origin.FILE, _CONFIDENCE) if known else None
    conversion = _CONVERSION.search(entity)
    if conversion is None or b"LENGTH_UNIT" not in entity or depth == 0:
        return None
    value = _MEASURE.search(source.entity(conversion[2]))
    base = length_unit(source, value[2], depth - 1) if value else None
    if value is None or base is None:
        return None
    size = _number(value[1]) * base.millimetres_per_unit
    if not 0 < size < math.inf:
        return None
    return Units(_BY_SIZE.get(round(size, 9)) or text(conversion[1]).lower(), size, Origin.FILE, _CONFIDENCE)


def _number(raw: bytes) -> float:
    try:
        return float(raw)
    except ValueError:
        return 0.0
