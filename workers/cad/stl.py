"""STL, binary and text. Units are never in the file; the stored normals are ignored, because many writers leave them zero."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from foundation.engine_settings import CadSettings
from foundation.errors import Failure
from tasks.recognition import HEAD_BYTES, binary_stl
from tasks.vocabulary import Family, Format
from workers.cad.shape import LARGEST, MILLIMETRES_ASSUMED, Finding, FindingCode, Floats, Integers, Mesh, Shape, area_vectors, ranked

_RECORD = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_HEADER = 84
Corners = NDArray[np.float32]
# odd numbers without pattern: the bits of three coordinates become one number of 64 bits, different for all but sought places
_MIX = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], dtype=np.uint64)
# up to so many corners the upper bits do, which are sorted together with the corner's number: two places meet there in one mesh of 50
# at most, of small ones in a million
_MANY = 1 << 21
# words of a facet, the others are numbers: three of its normal, which nobody needs, and nine coordinates
_KEYWORDS = (
    (0, b"facet"),
    (1, b"normal"),
    (5, b"outer"),
    (6, b"loop"),
    (7, b"vertex"),
    (11, b"vertex"),
    (15, b"vertex"),
    (19, b"endloop"),
    (20, b"endfacet"),
)
_COORDINATES = (8, 9, 10, 12, 13, 14, 16, 17, 18)
_SOLID, _NAMED = b"solid", re.compile(rb"[ \t]*(end)?solid\b")
# bytes of text whose words are looked at in one go: few enough for the caches of a processor
_PIECE = 1 << 17
# most numbers are numbers of JSON as well, which are read several times faster than one by one
_decoder = msgspec.json.Decoder(list[float])
# triangles that are tried first for having an area
_FEW = 4


def read_stl(path: Path, limits: CadSettings) -> Shape:
    """Read an STL file. Raises `Failure` FILE_CORRUPT, GEOMETRY_MISSING, GEOMETRY_INVALID, CAD_LIMIT."""
    data = path.read_bytes()
    findings = [Finding.of(FindingCode.UNITS_ASSUMED)]
    if binary_stl(data[:HEAD_BYTES], len(data)):
        corners, facts = _binary(data, limits, findings)
    else:
        corners, facts = _text(data, limits, findings)
    if not len(corners):
        raise Failure("GEOMETRY_MISSING", {"triangles": 0})
    if not max(corners.max(), -corners.min()) <= LARGEST:  # the comparison is false for NaN as well
        wrong = int((~(np.abs(corners) <= LARGEST)).any(axis=(1, 2)).sum())
        raise Failure("GEOMETRY_INVALID", {"reason": "coordinates are not finite or absurdly large", "triangles": wrong})
    mesh, collapsed = weld(corners)
    if collapsed:
        findings.append(Finding.of(FindingCode.TRIANGLES_DROPPED, collapsed))
    if not has_area(mesh):
        raise Failure("GEOMETRY_INVALID", {"reason": "no triangle has an extent", "triangles": len(corners)})
    facts["triangles"] = len(corners)
    facts["vertices"] = len(mesh.vertices)
    return Shape(Format.STL, Family.SOLID, mesh, MILLIMETRES_ASSUMED, tuple(findings), {}, facts)


def weld(corners: Corners | Floats, step: float = 0.0) -> tuple[Mesh, int]:
    """Join corners (m, 3, 3) of equal float bits; also how many triangles collapsed to a line or a point by that.

    A tolerance would need a scale, and every scale fails for some small part far from the origin. Who knows a scale gives `step`:
    corners in one cell of a grid of that width are joined. Vertices come in an order of their own, whatever that of the triangles.
    """
    # axis by axis, and first all first corners: numpy walks along long rows several times faster than along rows of three
    # -0.0 becomes 0.0: one place, two bit patterns
    points: NDArray[Any] = np.add(corners.transpose(2, 1, 0), corners.dtype.type(0), order="C").reshape(3, -1)
    names, first = _joined(points, step)
    triangles, collapsed = _sound(names.reshape(3, -1))
    return Mesh(points.take(first, axis=1).astype(np.float64).T, triangles.T), collapsed


def rewelded(points: Corners, triangles: Integers, step: float) -> Mesh:
    """As `weld`, of triangles (m, 3) over points (3, n) that are shared already: far fewer than corners."""
    names, first = _joined(points, step)
    return Mesh(points.take(first, axis=1).astype(np.float64).T, _sound(names.take(triangles.T))[0].T)


def _joined(points: NDArray[Any], step: float) -> tuple[Integers, Integers]:
    """The vertex (k,) of each of the points (3, k), and the first point of each vertex."""
    places = np.rint(points / step).astype(np.int64) if step else points
    bits = places.view(f"u{places.itemsize}")
    mixed = bits[0] * _MIX[0]
    mixed += bits[1] * _MIX[1]
    mixed += bits[2] * _MIX[2]
    if mixed.size <= _MANY:
        mixed >>= np.uint64(mixed.size.bit_length())
    names, first = _named(*ranked(mixed))
    if np.count_nonzero(bits.take(first.take(names), axis=1) != bits):
        # two places of one number, by a rare chance or because somebody sought them: slow and always right
        order = np.lexsort(bits)
        names, first = _named(order, bits.take(order, axis=1))
    return names, first


def _sound(triangles: Integers) -> tuple[Integers, int]:
    """Those of the triangles (3, m) with three different corners, and how many have not."""
    a, b, c = triangles
    sound = (a != b) & (b != c) & (c != a)
    collapsed = len(sound) - int(np.count_nonzero(sound))
    return (triangles.compress(sound, axis=1) if collapsed else triangles), collapsed


def _named(order: Integers, ranked: NDArray[Any]) -> tuple[Integers, Integers]:
    """Places (n,) or (k, n), ranked in an order, by number: that of each (n,), and which is the first of each number."""
    fresh = np.ones(len(order), dtype=bool)
    changed = ranked[..., 1:] != ranked[..., :-1]
    fresh[1:] = changed if changed.ndim == 1 else changed.any(axis=0)
    numbers = np.cumsum(fresh)
    numbers -= 1
    names = np.empty_like(numbers)
    names[order] = numbers
    return names, order.compress(fresh)


def _binary(data: bytes, limits: CadSettings, findings: list[Finding]) -> tuple[Corners, dict[str, Any]]:
    claim = int.from_bytes(data[80:84], "little")
    present, _ = divmod(len(data) - _HEADER, _RECORD.itemsize)
    # the claim is only compared, never used to allocate
    if claim > present:
        raise Failure("FILE_CORRUPT", {"reason": "the file ends early", "triangles_claimed": claim, "triangles_present": present})
    _within(claim, limits)
    surplus = len(data) - _HEADER - claim * _RECORD.itemsize
    if surplus:
        findings.append(Finding.of(FindingCode.BYTES_IGNORED, surplus))
    return binary_corners(data, claim), {"encoding": "binary", "header": _printable(data[:80])}


def binary_corners(data: bytes | memoryview, triangles: int = -1) -> Corners:
    """Corners (m, 3, 3) of the first `triangles` of a binary STL, or of all that are there, axis by axis as `weld` wants them."""
    corners = np.frombuffer(data, dtype=_RECORD, count=triangles, offset=_HEADER)["corners"]
    return np.ascontiguousarray(corners.transpose(2, 1, 0)).transpose(2, 1, 0)


def _text(data: bytes, limits: CadSettings, findings: list[Finding]) -> tuple[Corners, dict[str, Any]]:
    """Text: the lines of `solid` and `endsolid` are cut out, for names may hold anything, and words of facets are left."""
    name = data.split(b"\n", 1)[0].split(b"\r", 1)[0].strip()[5:].strip()
    words = data.lower().replace(b"\r", b"\n")
    body, solids, ends = _without_names(words)
    facets = body.count(b"endfacet")
    if facets == 0 and not body.strip():
        if b"endsolid" in words:
            raise Failure("GEOMETRY_MISSING", {"triangles": 0})
        raise Failure("FILE_CORRUPT", {"reason": "there is no facet and no end"})
    _within(facets, limits)
    corners = _numbers(body, facets)
    if not ends:
        findings.append(Finding.of(FindingCode.FILE_REPAIRED))
    return corners, {"encoding": "text", "header": _printable(name[:80]), "solids": solids}


def _without_names(words: bytes) -> tuple[bytes, int, int]:
    """The text without its lines of `solid` and `endsolid`, and how many there are of each. Where a line begins is only asked where
    one of the words stands: a search for beginnings of lines takes longer than all the rest.
    """
    kept: list[bytes] = []
    solids = ends = done = 0
    at = words.find(_SOLID)
    while at >= 0:
        begin, end = words.rfind(b"\n", done, at) + 1 or done, words.find(b"\n", at)
        end = end if end >= 0 else len(words)
        if line := _NAMED.match(words, begin, end):
            kept.append(words[done:begin])
            done = end
            solids, ends = solids + (line[1] is None), ends + (line[1] is not None)
        at = words.find(_SOLID, end)
    return b"".join([*kept, words[done:]]), solids, ends


def _numbers(body: bytes, facets: int) -> Corners:
    """Corners (facets, 3, 3) of facets in their full form of 21 words each; anything else is corrupt. Piece by piece: the words of
    a large file take several times its memory.
    """
    columns = np.empty((9, facets), dtype=np.float32)
    words: list[bytes] = []
    done = begin = 0
    while begin < len(body):
        # a piece ends with a line; one line of any length is a piece
        end = body.find(b"\n", begin + _PIECE) + 1 or len(body)
        words += body[begin:end].split()
        whole = min(len(words) // 21, facets - done)
        columns[:, done : done + whole] = _columns(words[: 21 * whole], facets)
        words, done, begin = words[21 * whole :], done + whole, end
        if len(words) >= 21:  # more than facets that end
            break
    if words or done != facets:
        raise Failure("FILE_CORRUPT", {"reason": "facets are not of the expected form", "facets": facets})
    return columns.reshape(3, 3, facets).transpose(2, 0, 1)


def _columns(words: list[bytes], facets: int) -> Corners:
    """The nine coordinates (9, n) of n whole facets, as single floats."""
    count = len(words) // 21
    if any(words[at::21].count(word) != count for at, word in _KEYWORDS):
        raise Failure("FILE_CORRUPT", {"reason": "facets are not of the expected form", "facets": facets})
    numbers = list(chain.from_iterable(words[at::21] for at in _COORDINATES))
    try:
        values = _values(numbers)
    except ValueError as error:
        raise Failure("FILE_CORRUPT", {"reason": "a coordinate is not a number"}) from error
    # both encodings of one part must give one vector: round to what a binary file could hold
    with np.errstate(over="ignore"):
        return np.array(values).astype(np.float32).reshape(9, count)


def _values(numbers: list[bytes]) -> list[float]:
    """Each of the numbers as `float` reads it. Raises ValueError."""
    try:
        values = _decoder.decode(b"[%b]" % b",".join(numbers))
    except msgspec.DecodeError:
        return [float(number) for number in numbers]
    if len(values) != len(numbers):
        raise ValueError("a comma within a number")
    return values


def has_area(mesh: Mesh) -> bool:
    """Whether the surface has an area worth naming beside the square of its largest side: lines, points and NaN have none."""
    places = mesh.vertices.T
    extent = float((places.max(axis=1, initial=-np.inf) - places.min(axis=1, initial=np.inf)).max())
    if not 0 < extent < np.inf:
        return False
    least = 1e-9 * extent * extent
    # a few triangles are nearly always proof enough, and looked at one by one in less time than numpy needs to begin
    if any(_twice_area(*corners) > least for corners in mesh.vertices[mesh.triangles[:_FEW]].tolist()):
        return True
    doubled = area_vectors(places.take(mesh.triangles.T, axis=1) / extent)
    return float(np.sqrt((doubled * doubled).sum(axis=0)).sum()) > 1e-9


def _twice_area(a: Sequence[float], b: Sequence[float], c: Sequence[float]) -> float:
    (ux, uy, uz), (vx, vy, vz) = ((end - start for start, end in zip(a, other, strict=True)) for other in (b, c))
    return math.hypot(uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx)


def _within(triangles: int, limits: CadSettings) -> None:
    if triangles > limits.max_triangles:
        raise Failure("CAD_LIMIT", {"limit": "CADMILL_CAD_MAX_TRIANGLES", "allowed": limits.max_triangles, "found": triangles})


def _printable(raw: bytes) -> str:
    text = raw.replace(b"\0", b" ").decode("utf-8", errors="replace")
    return (text if text.isprintable() else "".join(letter if letter.isprintable() else " " for letter in text)).strip()
