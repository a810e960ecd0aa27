"""Drawings made of everything the fast way draws itself, leaning, mirrored, nested and in arrays: the same both ways."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.workers.cad.test_fast_dxf import agrees

Tags = list[tuple[int, object]]
Chance = random.Random


def point(chance: Chance, code: int, flat: bool = False) -> Tags:
    tags: Tags = [(code, round(chance.uniform(-100, 100), 6)), (code + 10, round(chance.uniform(-100, 100), 6))]
    return tags if flat or chance.random() < 0.3 else [*tags, (code + 20, chance.choice((0.0, 0.0, round(chance.uniform(-9, 9), 3))))]


def extrusion(chance: Chance) -> Tags:
    up = chance.choice(((), (), (0, 0, 1), (0, 0, -1), (0.36, 0.48, 0.8), (1, 0, 0), (0.001, 0.002, -0.999998)))
    return [(code, number) for code, number in zip((210, 220, 230), up, strict=False)]


def line(chance: Chance) -> Tags:
    return [(0, "LINE"), (100, "AcDbLine"), *point(chance, 10), *point(chance, 11), *extrusion(chance)]


def circle(chance: Chance) -> Tags:
    return [(0, "CIRCLE"), (100, "AcDbCircle"), *point(chance, 10), (40, chance.choice((3.5, 1e-3, 0, -2))), *extrusion(chance)]


def arc(chance: Chance) -> Tags:
    angles: Tags = [(100, "AcDbArc"), (50, chance.choice((0, 30, 350.5, -40))), (51, chance.choice((360, 30, 10, 720.25)))]
    return [(0, "ARC"), (100, "AcDbCircle"), *point(chance, 10), (40, 2.25), *extrusion(chance), *angles]


def ellipse(chance: Chance) -> Tags:
    span: Tags = [(40, chance.choice((0.5, 1.0, -0.25))), (41, chance.choice((0, 1.5))), (42, chance.choice((6.283185307, 3.0, 0.5)))]
    return [(0, "ELLIPSE"), (100, "AcDbEllipse"), *point(chance, 10), (11, 3), (21, chance.choice((0, 4))), (31, 0), *span]


def light(chance: Chance) -> Tags:
    count = chance.randrange(5)
    tags: Tags = [(0, "LWPOLYLINE"), (100, "AcDbPolyline"), (90, count), (70, chance.randrange(2)), *([(38, 2.5)] * chance.randrange(2))]
    for _ in range(count):
        tags += [*point(chance, 10, flat=True), *([(42, chance.choice((0, 0.5, -1, 2)))] * chance.randrange(2))]
    return tags + extrusion(chance)


def heavy(chance: Chance) -> Tags:
    flags = chance.choice((0, 1, 8, 9, 4))
    tags: Tags = [(0, "POLYLINE"), (100, "AcDb2dPolyline"), (66, 1), (10, 0), (20, 0), (30, 0), (70, flags), *extrusion(chance)]
    for _ in range(chance.randrange(5)):
        bulge: Tags = [(42, chance.choice((0, 0.4, -0.4)))] * chance.randrange(2)
        tags += [(0, "VERTEX"), (100, "AcDbVertex"), *point(chance, 10), *bulge, (70, chance.choice((0, 16)))]
    return [*tags, (0, "SEQEND")]


def face(chance: Chance) -> Tags:
    kind = chance.choice(("SOLID", "TRACE", "3DFACE"))
    corners = [tag for code in (10, 11, 12, 13) for tag in point(chance, code)]
    lean = extrusion(chance) if kind != "3DFACE" else []
    return [(0, kind), (100, "AcDbFace" if kind == "3DFACE" else "AcDbTrace"), *corners, *lean]


def spline(chance: Chance) -> Tags:
    """Clamped and open, rational and not, with double knots, with a knot or a weight too few; some through points alone."""
    degree, count = chance.choice((1, 2, 3, 3, 5)), chance.randrange(2, 12)
    tags: Tags = [(0, "SPLINE"), (100, "AcDbSpline"), (70, 8), (71, degree), *([(42, chance.choice((1e-9, 1e-3)))] * chance.randrange(2))]
    if chance.random() < 0.1:
        return tags + [tag for _ in range(count) for tag in point(chance, 11)]
    steps = [chance.choice((0, 1, 1, 0.25, 1.0000001, chance.random())) for _ in range(count - degree - 1)] + [1]
    inner = [sum(steps[: at + 1]) for at in range(len(steps))]
    low, high, scale = chance.choice((0, 0, -2.5, 7)), (inner or [0])[-1], chance.choice((1, 1, 1e-2))
    ends = (0, 0) if chance.random() < 0.7 else (0.5, 0.75)
    knots = [-ends[0] * (degree - at) for at in range(degree + 1)] + inner + [high + ends[1] * (at + 1) for at in range(degree)]
    knots = knots[: len(knots) - (chance.random() < 0.1)]
    tags += [(40, low + scale * knot) for knot in knots]
    tags += [(41, chance.choice((1, 0.5, 3))) for _ in range(count - (chance.random() < 0.1))] if chance.random() < 0.4 else []
    return tags + [tag for _ in range(count) for tag in point(chance, 10)]


def hatch(chance: Chance) -> Tags:
    """Boundaries of polylines, lines and arcs, open and closed, with gaps and bulges, and without corners; some lifted and leaning."""
    tags: Tags = [(0, "HATCH"), (100, "AcDbHatch"), (10, 0), (20, 0), (30, chance.choice((0, 0, 2.5))), *extrusion(chance)]
    tags += [(2, "SOLID"), (70, 1), (71, 0), (91, 2)]
    for _ in range(chance.choice((1, 1, 2))):
        tags += boundary_of_corners(chance) if chance.random() < 0.5 else boundary_of_edges(chance)
    seeds: Tags = [(98, 1), (10, 7), (20, chance.choice((7, 8)))] * chance.randrange(2)
    pattern: Tags = [(52, 0), (41, 1), (77, 0), (78, 1), (53, 45), (43, 0), (44, 0), (45, -1), (46, 1), (79, 1), (49, 0.5)]
    return [*tags, (75, 0), (76, 1), *(pattern if chance.random() < 0.3 else []), *seeds]


def boundary_of_corners(chance: Chance) -> Tags:
    count = chance.choice((0, 1, 2, 3, 5))
    tags: Tags = [(92, 2), (72, 0), (73, chance.randrange(2)), (93, count)]
    bent = chance.random() < 0.2
    corners = [point(chance, 10, flat=True) for _ in range(count)]
    corners += corners[:1] * chance.randrange(2)
    for corner in corners:
        tags += [*corner, *([(42, chance.choice((0, 0.5)))] if bent else [])]
    return [*tags, (97, 0)]


def boundary_of_edges(chance: Chance) -> Tags:
    corners = [point(chance, 10, flat=True) for _ in range(chance.choice((2, 3, 5)))]
    corners += corners[:1] * chance.randrange(2)
    tags: Tags = [(92, 1), (93, len(corners) - 1)]
    for tail, head in itertools.pairwise(corners):
        jump = chance.random() < 0.05
        tags += [(72, 1), *(point(chance, 10, flat=True) if jump else tail), *((code + 1, number) for code, number in head)]
    if chance.random() < 0.1:
        tags += [(72, 2), *point(chance, 10, flat=True), (40, 3), (50, 0), (51, chance.choice((90, 360))), (73, 1)]
    return [*tags, (97, 1), (330, "AB")]


def picture(chance: Chance) -> Tags:
    """Kinds that have no outline but data of their own; a picture with too few corners of its frame among them."""
    corners = [tag for _ in range(chance.choice((2, 2, 5, 1))) for tag in point(chance, 14, flat=True)]
    kinds: tuple[Tags, ...] = (
        [(0, "WIPEOUT"), (100, "AcDbWipeout"), (90, 0), *point(chance, 10), (13, 1), (23, 1), (340, "0"), (71, 1), *corners],
        [(0, "ACAD_TABLE"), (100, "AcDbBlockReference"), (2, "A"), *point(chance, 10), (100, "AcDbTable"), (90, 1), (8, "9"), (90, 2)],
        [(0, "PDFUNDERLAY"), (100, "AcDbUnderlayReference"), (340, "AB"), *point(chance, 10), (11, 1), (21, 1), (11, 2), (21, 2)],
    )
    return chance.choice(kinds)


def words(chance: Chance) -> Tags:
    return [(0, "TEXT"), (100, "AcDbText"), *point(chance, 10), (40, 2), (1, chance.choice(("ø 5", "%%c7", "\\U+2300"))), (100, "AcDbText")]


def insert(chance: Chance, block: str) -> Tags:
    scale: Tags = [(code, chance.choice((1, -1, 2.5))) for code in (41, 42, 43) if chance.random() < 0.5]
    grid: Tags = [(70, 3), (71, 2), (44, 7.5), (45, chance.choice((0, -4)))] if chance.random() < 0.3 else []
    turn: Tags = [(50, chance.choice((0, 30, -90)))] * chance.randrange(2)
    return [(0, "INSERT"), (100, "AcDbBlockReference"), (2, block), *point(chance, 10), *scale, *turn, *grid, *extrusion(chance)]


KINDS: tuple[Callable[[Chance], Tags], ...] = (line, circle, arc, ellipse, light, heavy, face, spline, hatch, picture, words)
OLD = (line, circle, arc, heavy, face, words)


def entities(chance: Chance, old: bool, blocks: list[str]) -> Tags:
    tags: Tags = []
    for _ in range(chance.randrange(1, 12)):
        made = (
            insert(chance, chance.choice([*blocks, "nowhere"]))
            if blocks and chance.random() < 0.4
            else chance.choice(OLD if old else KINDS)(chance)
        )
        for code, value in made:
            if code == 100 and old:
                continue
            tags.append((code, value))
            if code == 0:
                tags += [(8, chance.choice(("0", "Maße")))] if old else [(100, "AcDbEntity"), (8, "Löcher")]
                # the elevation of R11
                tags += [(38, 1.5)] if old and value in ("CIRCLE", "SOLID") and chance.random() < 0.3 else []
    return tags


def drawing(chance: Chance) -> bytes:
    version = chance.choice(("AC1009", "AC1015", "AC1021"))
    old, blocks = version == "AC1009", ["A", "b", "C"]
    units: Tags = [(9, "$INSUNITS"), (70, chance.choice((0, 4, 1)))] * chance.randrange(2)
    units += [(9, "$MEASUREMENT"), (70, chance.randrange(2))] * chance.randrange(2)
    tags: Tags = [(0, "SECTION"), (2, "HEADER"), (9, "$ACADVER"), (1, version), *units, (0, "ENDSEC")]
    if old and chance.random() < 0.3:
        tags = []
    tags += [(0, "SECTION"), (2, "BLOCKS")]
    for at, name in enumerate(blocks):
        tags += [
            (0, "BLOCK"),
            (8, "0"),
            (2, name),
            (70, 0),
            *point(chance, 10),
            *entities(chance, old, blocks[:at]),
            (0, "ENDBLK"),
            (8, "0"),
        ]
    tags += [(0, "ENDSEC"), (0, "SECTION"), (2, "ENTITIES"), *entities(chance, old, ["a", "B", "C"]), (0, "ENDSEC"), (0, "EOF")]
    end = chance.choice(("\n", "\r\n"))
    return "".join(f"{code:3d}{end}{value}{end}" for code, value in tags).encode("utf-8" if version == "AC1021" else "cp1252", "replace")


def test_splines_of_all_degrees_are_the_same_both_ways(tmp_path: Path) -> None:
    chance, path = random.Random(1), tmp_path / "a.dxf"
    covered = 0
    for _ in range(60):
        curves = [tag for _ in range(2) for tag in spline(chance)]
        own: Tags = [(100, "AcDbEntity"), (8, "0")]
        tags = [more for tag in curves for more in ([tag, *own] if tag[0] == 0 else [tag])]
        head: Tags = [(0, "SECTION"), (2, "HEADER"), (9, "$ACADVER"), (1, "AC1015"), (0, "ENDSEC"), (0, "SECTION"), (2, "ENTITIES")]
        path.write_bytes("".join(f"{code}\n{value}\n" for code, value in [*head, *tags, (0, "ENDSEC"), (0, "EOF")]).encode())
        covered += agrees(path)
    assert covered > 30


@pytest.mark.parametrize(("third", "sure"), [("CONTEXT_DATA{", True), ("SOMETHING_ELSE{", False)])
def test_each_leader_of_another_structure_is_shown_to_the_reference(tmp_path: Path, third: str, sure: bool) -> None:
    tags: Tags = [(0, "CIRCLE"), (100, "AcDbEntity"), (8, "0"), (100, "AcDbCircle"), (10, 0), (20, 0), (40, 2)]
    for size, begin in enumerate(("CONTEXT_DATA{", "CONTEXT_DATA{", third)):
        tags += [(0, "MULTILEADER"), (100, "AcDbEntity"), (8, f"L{size}"), (100, "AcDbMLeader"), (270, 2), (300, begin), (40, size)]
        tags += [*point(random.Random(size), 10), (301, "}"), (340, "AB")]
    head: Tags = [(0, "SECTION"), (2, "HEADER"), (9, "$ACADVER"), (1, "AC1032"), (0, "ENDSEC"), (0, "SECTION"), (2, "ENTITIES")]
    path = tmp_path / "a.dxf"
    path.write_bytes("".join(f"{code}\n{value}\n" for code, value in [*head, *tags, (0, "ENDSEC"), (0, "EOF")]).encode())
    assert agrees(path) is sure


def test_hatches_of_all_boundaries_are_the_same_both_ways(tmp_path: Path) -> None:
    chance, path = random.Random(1), tmp_path / "a.dxf"
    for _ in range(80):
        own: Tags = [(100, "AcDbEntity"), (8, "0")]
        tags = [more for _ in range(3) for tag in hatch(chance) for more in ([tag, *own] if tag[0] == 0 else [tag])]
        head: Tags = [(0, "SECTION"), (2, "HEADER"), (9, "$ACADVER"), (1, "AC1015"), (0, "ENDSEC"), (0, "SECTION"), (2, "ENTITIES")]
        path.write_bytes("".join(f"{code}\n{value}\n" for code, value in [*head, *tags, (0, "ENDSEC"), (0, "EOF")]).encode())
        assert agrees(path)


@pytest.mark.parametrize(("boundary", "code"), [("corners", 20), ("edges", 20), ("edges", 21)])
def test_a_second_y_of_a_point_of_a_boundary_counts_as_for_the_reference(tmp_path: Path, boundary: str, code: int) -> None:
    corners = [(0, 0), (9, 1), (4, 7), (0, 0)]
    edges = [((72, 1), (10, a), (20, b), (11, c), (21, d)) for (a, b), (c, d) in itertools.pairwise(corners)]
    ways: dict[str, Tags] = {
        "corners": [(92, 2), (72, 0), (73, 1), (93, 3), *(tag for x, y in corners[:3] for tag in ((10, x), (20, y)))],
        "edges": [(92, 1), (93, 3), *(tag for edge in edges for tag in edge)],
    }
    told = ways[boundary]
    second = [here for here, _ in told].index(code) + 1
    told = [*told[:second], (code, 5), *told[second:]]
    tags: Tags = [(0, "HATCH"), (100, "AcDbEntity"), (8, "0"), (100, "AcDbHatch"), (10, 0), (20, 0), (30, 0), (2, "SOLID")]
    tags += [(70, 1), (71, 0)]
    tags += [(91, 1), *told, (97, 0), (75, 0), (76, 1)]
    head: Tags = [(0, "SECTION"), (2, "HEADER"), (9, "$ACADVER"), (1, "AC1015"), (0, "ENDSEC"), (0, "SECTION"), (2, "ENTITIES")]
    path = tmp_path / "a.dxf"
    path.write_bytes("".join(f"{code}\n{value}\n" for code, value in [*head, *tags, (0, "ENDSEC"), (0, "EOF")]).encode())
    assert agrees(path)


@pytest.mark.parametrize(("columns", "sure"), [(0, True), (2, True), (7, False)])
def test_texts_with_embedded_columns_are_the_same_both_ways(tmp_path: Path, columns: int, sure: bool) -> None:
    text: Tags = [(0, "MTEXT"), (100, "AcDbEntity"), (8, "0"), (100, "AcDbMText"), (10, 1), (20, 2), (40, 2.5), (3, "one "), (1, "two")]
    text += [(101, "Embedded Object"), (70, 1), (10, 1), (20, 0), (11, 1), (21, 2), (40, 9), (42, 30), (44, 9), (71, columns), (46, 0)]
    head: Tags = [(0, "SECTION"), (2, "HEADER"), (9, "$ACADVER"), (1, "AC1032"), (0, "ENDSEC"), (0, "SECTION"), (2, "ENTITIES")]
    outline: Tags = [(0, "CIRCLE"), (100, "AcDbEntity"), (8, "0"), (100, "AcDbCircle"), (10, 0), (20, 0), (40, 2)]
    path = tmp_path / "a.dxf"
    path.write_bytes("".join(f"{code}\n{value}\n" for code, value in [*head, *text, *outline, (0, "ENDSEC"), (0, "EOF")]).encode())
    assert agrees(path) is sure


@pytest.mark.parametrize("seed", range(5))
def test_made_drawings_are_the_same_both_ways(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    path = tmp_path / "a.dxf"
    covered = 0
    for _ in range(30):
        path.write_bytes(drawing(chance))
        covered += agrees(path)
    assert covered > 15
