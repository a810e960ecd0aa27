"""DXF: what is measured, what is refused, and references that are counted before they are expanded."""

from __future__ import annotations

import math
import struct
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from foundation.engine_settings import CadSettings
from foundation.errors import Failure
from tasks.recognition import BINARY_DXF
from workers.cad.dxf.drawing import Drawing
from workers.cad.dxf.fast.reader import opened_fast
from workers.cad.dxf.reader import measured
from workers.cad.dxf.reference import opened
from workers.cad.readers import read
from workers.cad.shape import FindingCode, Origin, Paths, Shape

LIMITS = CadSettings()
SAMPLES = Path(__file__).parents[2] / "data"

Tags = list[tuple[int, object]]


def line(x0: float, y0: float, x1: float, y1: float) -> Tags:
    return [(0, "LINE"), (8, "0"), (10, x0), (20, y0), (11, x1), (21, y1)]


def circle(x: float, y: float, radius: float) -> Tags:
    return [(0, "CIRCLE"), (8, "0"), (10, x), (20, y), (40, radius)]


def insert(name: str, *more: tuple[int, object]) -> Tags:
    return [(0, "INSERT"), (8, "0"), (2, name), (10, 0), (20, 0), *more]


def drawing(entities: Tags, blocks: dict[str, Tags] | None = None, header: Tags | None = None) -> bytes:
    tags: Tags = [(0, "SECTION"), (2, "HEADER"), (9, "$ACADVER"), (1, "AC1009"), *(header or []), (0, "ENDSEC")]
    if blocks:
        tags += [(0, "SECTION"), (2, "BLOCKS")]
        for name, content in blocks.items():
            tags += [(0, "BLOCK"), (8, "0"), (2, name), (70, 0), (10, 0), (20, 0), (3, name), *content, (0, "ENDBLK"), (8, "0")]
        tags += [(0, "ENDSEC")]
    tags += [(0, "SECTION"), (2, "ENTITIES"), *entities, (0, "ENDSEC"), (0, "EOF")]
    return text_of(tags)


def text_of(tags: Tags) -> bytes:
    return "".join(f"{code:3d}\n{value}\n" for code, value in tags).encode()


def binary_of(tags: Tags) -> bytes:
    """As R12 writes it: group codes of one byte, reals of eight, strings that end with zero."""
    values = (struct.pack("<d", value) if 10 <= code < 60 else f"{value}\0".encode() for code, value in tags)
    return BINARY_DXF + b"".join(bytes([code]) + value for (code, _), value in zip(tags, values, strict=True))


def shape_of(tmp_path: Path, content: bytes, name: str = "a.dxf", limits: CadSettings = LIMITS) -> Shape:
    path = tmp_path / "upload"
    path.write_bytes(content)
    return read(path, name, limits)


def failure_of(tmp_path: Path, content: bytes, limits: CadSettings = LIMITS) -> Failure:
    with pytest.raises(Failure) as caught:
        shape_of(tmp_path, content, limits=limits)
    return caught.value


def paths_of(shape: Shape) -> Paths:
    assert isinstance(shape.geometry, Paths)
    return shape.geometry


def found(shape: Shape) -> dict[FindingCode, int]:
    return {finding.code: finding.count for finding in shape.findings}


SQUARE = line(0, 0, 10, 0) + line(10, 0, 10, 10) + line(10, 10, 0, 10) + line(0, 10, 0, 0)


def test_lengths_and_boxes_of_curves_are_exact(tmp_path: Path) -> None:
    arc: Tags = [(0, "ARC"), (8, "0"), (10, 0), (20, 0), (40, 2), (50, 45), (51, 135)]
    shape = shape_of(tmp_path, drawing(circle(10, 0, 1) + arc))
    paths = paths_of(shape)
    assert shape.facts["total_length"] == pytest.approx(3 * math.pi, rel=1e-12)
    assert paths.box == pytest.approx(np.array([[-math.sqrt(2), -1], [11, 2]]))
    assert sorted(paths.arcs.radii) == pytest.approx([1, 2])


def test_units_come_from_the_file_or_are_assumed(tmp_path: Path) -> None:
    given = shape_of(tmp_path, drawing(SQUARE, header=[(9, "$INSUNITS"), (70, 1)]))
    assert (given.units.name, given.units.origin) == ("in", Origin.FILE)
    assert given.facts["total_length"] == pytest.approx(40 * 25.4)
    assumed = shape_of(tmp_path, drawing(SQUARE))
    assert (assumed.units.name, assumed.units.origin) == ("mm", Origin.ASSUMED)
    assert FindingCode.UNITS_ASSUMED in found(assumed)
    assert assumed.units.confidence < given.units.confidence


BOTH_WAYS = pytest.mark.parametrize("open_", [opened, lambda path: opened_fast(path.read_bytes())], ids=["reference", "fast"])


@BOTH_WAYS
@pytest.mark.parametrize("binary", [False, True])
def test_a_drawing_without_a_header_has_no_unit_of_its_own(tmp_path: Path, open_: Callable[[Path], Drawing], binary: bool) -> None:
    path, headless = tmp_path / "a.dxf", [(0, "SECTION"), (2, "ENTITIES"), *SQUARE, (0, "ENDSEC"), (0, "EOF")]
    path.write_bytes(binary_of(headless) if binary else text_of(headless))
    shape = measured(open_(path), LIMITS)
    assert (shape.units.name, shape.units.origin, shape.units.confidence) == ("mm", Origin.ASSUMED, 0.5)
    assert FindingCode.UNITS_ASSUMED in found(shape)
    assert shape.facts["total_length"] == pytest.approx(40)


def test_a_recovered_drawing_without_a_header_has_no_unit_either(tmp_path: Path) -> None:
    outline: Tags = [(0, "LWPOLYLINE"), (8, "0"), (90, 2), (70, 0), (10, 0), (20, 0), (10, 3), (20, 0)]
    # what is amiss: markers of subclasses, the end mark
    for tags in ([*outline, (0, "ENDSEC"), (0, "EOF")], [*SQUARE, (0, "ENDSEC")]):
        shape = shape_of(tmp_path, text_of([(0, "SECTION"), (2, "ENTITIES"), *tags]))
        assert FindingCode.FILE_REPAIRED in found(shape)
        assert shape.units.origin is Origin.ASSUMED


@BOTH_WAYS
@pytest.mark.parametrize(("measurement", "confidence"), [(0, 0.3), (1, 0.6), (None, 0.5)])
def test_the_system_of_measurement_changes_how_sure_millimetres_are_and_nothing_else(
    tmp_path: Path, open_: Callable[[Path], Drawing], measurement: int | None, confidence: float
) -> None:
    path, told = tmp_path / "a.dxf", [] if measurement is None else [(9, "$MEASUREMENT"), (70, measurement)]
    for units in ([], [(9, "$INSUNITS"), (70, 0)]):
        path.write_bytes(drawing(SQUARE, header=[*units, *told]))
        shape = measured(open_(path), LIMITS)
        assert (shape.units.name, shape.units.origin, shape.units.confidence) == ("mm", Origin.ASSUMED, confidence)
        assert shape.facts["total_length"] == pytest.approx(40)
    path.write_bytes(drawing(SQUARE, header=[(9, "$INSUNITS"), (70, 4), *told]))
    # English line types beside millimetres: one of the two is a template's
    assert measured(open_(path), LIMITS).units.confidence == (0.6 if measurement == 0 else 0.9)


def test_references_are_placed_with_scale_rotation_and_array(tmp_path: Path) -> None:
    array = insert("A", (41, 2), (42, 2), (50, 90), (70, 3), (71, 2), (44, 50), (45, 100))
    shape = shape_of(tmp_path, drawing(array + line(0, 0, 1, 0), {"A": SQUARE + circle(5, 5, 1)}))
    paths = paths_of(shape)
    assert shape.facts["total_length"] == pytest.approx(1 + 6 * 2 * (40 + 2 * math.pi))
    # columns run along the turned x axis, rows along the turned y axis, and neither step is scaled
    assert paths.box == pytest.approx(np.array([[-120, 0], [1, 120]]))
    assert shape.types == {"INSERT": 1, "LINE": 1}
    assert paths.expanded["LINE"] == 25


def test_a_mirrored_reference_keeps_its_radii(tmp_path: Path) -> None:
    mirrored = insert("A", (41, -1), (42, 1))
    paths = paths_of(shape_of(tmp_path, drawing(mirrored, {"A": circle(5, 0, 1)})))
    assert paths.box == pytest.approx(np.array([[-6, -1], [-4, 1]]))
    assert list(paths.arcs.radii) == pytest.approx([1])


def test_nested_references_beyond_the_limit_are_refused_at_once_without_expanding(tmp_path: Path) -> None:
    blocks: dict[str, Tags] = {"B0": line(0, 0, 1, 0)}
    for level in range(1, 10):
        blocks[f"B{level}"] = insert(f"B{level - 1}") * 10
    content = drawing(insert("B9"), blocks)
    shape_of(tmp_path, drawing(SQUARE))  # the first drawing pays for the import
    started = time.perf_counter()
    failure = failure_of(tmp_path, content)
    assert failure.code == "CAD_EXPANSION_LIMIT"
    assert failure.context["limit"] == "CADMILL_CAD_MAX_ENTITIES"
    assert time.perf_counter() - started < 1


def test_an_array_of_hundreds_of_millions_is_refused_even_when_its_block_is_empty(tmp_path: Path) -> None:
    array = insert("A", (70, 30000), (71, 30000), (44, 1), (45, 1))
    for block in (SQUARE, []):
        assert failure_of(tmp_path, drawing(array, {"A": block})).code == "CAD_EXPANSION_LIMIT"


@pytest.mark.parametrize("ring", [["A"], ["A", "B", "C"]])
def test_blocks_that_contain_themselves_are_named_as_cycles(tmp_path: Path, ring: list[str]) -> None:
    blocks = {name: SQUARE + insert(ring[(at + 1) % len(ring)]) for at, name in enumerate(ring)}
    failure = failure_of(tmp_path, drawing(insert("A"), blocks))
    assert failure.code == "CAD_CYCLIC_REFERENCE"
    assert failure.context["blocks_in_cycle"] == len(ring)


def test_deep_nesting_is_refused_and_allowed_nesting_is_exact(tmp_path: Path) -> None:
    blocks: dict[str, Tags] = {"B0": line(0, 0, 1, 0)}
    for level in range(1, 40):
        blocks[f"B{level}"] = insert(f"B{level - 1}", (41, 1))
    assert shape_of(tmp_path, drawing(insert("B31"), blocks)).facts["total_length"] == pytest.approx(1)
    assert failure_of(tmp_path, drawing(insert("B32"), blocks)).context["limit"] == "CADMILL_CAD_MAX_NESTING"


def test_a_missing_block_is_told_and_the_rest_is_measured(tmp_path: Path) -> None:
    shape = shape_of(tmp_path, drawing(SQUARE + insert("NOWHERE")))
    assert found(shape)[FindingCode.BLOCKS_MISSING] == 1
    assert shape.facts["total_length"] == pytest.approx(40)


def test_a_block_that_repairs_destroyed_counts_as_missing(tmp_path: Path) -> None:
    # ezdxf's repair removes the BLOCK among the entities, and with it the one of the same handle
    begin: Tags = [(0, "BLOCK"), (5, "1C"), (8, "0"), (2, "PART"), (70, 0), (10, 0), (20, 0), (3, "PART")]
    blocks: Tags = [(0, "SECTION"), (2, "BLOCKS"), *begin, *SQUARE, (0, "ENDBLK"), (8, "0"), (0, "ENDSEC")]
    stray: Tags = [*SQUARE, *insert("PART"), *begin, (0, "POINT"), (8, "0"), (10, 1)]
    tags: Tags = [*blocks, (0, "SECTION"), (2, "ENTITIES"), *stray, (0, "ENDSEC"), (0, "EOF")]
    shape = shape_of(tmp_path, text_of(tags))
    assert found(shape)[FindingCode.BLOCKS_MISSING] == 1
    assert shape.facts["total_length"] == pytest.approx(40)


def test_numbers_that_are_not_finite_never_come_out(tmp_path: Path) -> None:
    bad: Tags = [(0, "LINE"), (8, "0"), (10, "nan"), (20, 0), (11, "inf"), (21, 1)]
    shape = shape_of(tmp_path, drawing(SQUARE + bad + line(-1e300, 0, 1e300, 1)))
    assert found(shape)[FindingCode.NUMBERS_DROPPED] == 2
    assert paths_of(shape).box.tolist() == [[0, 0], [10, 10]]
    assert failure_of(tmp_path, drawing(bad)).code == "GEOMETRY_INVALID"


@pytest.mark.parametrize(
    ("entities", "code"),
    [
        ([], "GEOMETRY_MISSING"),
        ([(0, "TEXT"), (8, "0"), (10, 0), (20, 0), (40, 1), (1, "words")], "GEOMETRY_MISSING"),
        (line(1, 1, 1, 1), "GEOMETRY_INVALID"),
        (circle(0, 0, -5), "GEOMETRY_INVALID"),
    ],
)
def test_drawings_without_outlines_are_refused(tmp_path: Path, entities: Tags, code: str) -> None:
    assert failure_of(tmp_path, drawing(entities)).code == code


def test_entities_over_the_limit_are_refused(tmp_path: Path) -> None:
    failure = failure_of(tmp_path, drawing(SQUARE), limits=CadSettings(max_entities=3))
    assert (failure.code, failure.context["found"]) == ("CAD_LIMIT", 4)


def test_a_byte_order_mark_and_a_missing_end_do_no_harm(tmp_path: Path) -> None:
    marked = shape_of(tmp_path, b"\xef\xbb\xbf" + drawing(SQUARE))
    assert marked.facts["total_length"] == pytest.approx(40)
    endless = shape_of(tmp_path, drawing(SQUARE).removesuffix(b"  0\nEOF\n"))
    assert endless.facts["total_length"] == pytest.approx(40)
    assert FindingCode.FILE_REPAIRED in found(endless)


def test_a_cut_drawing_is_corrupt_not_smaller(tmp_path: Path) -> None:
    assert failure_of(tmp_path, drawing(SQUARE * 20)[:-70]).code == "FILE_CORRUPT"
    assert failure_of(tmp_path, (SAMPLES / "bad" / "truncated.dxf").read_bytes()).code == "FILE_CORRUPT"


def test_broken_numbers_are_never_guessed(tmp_path: Path) -> None:
    assert failure_of(tmp_path, drawing(line(0, 0, 1, 0)).replace(b"\n1\n", b"\n1,5\n")).code == "FILE_CORRUPT"


def test_utf16_is_refused_by_name(tmp_path: Path) -> None:
    assert failure_of(tmp_path, drawing(SQUARE).decode().encode("utf-16")).code == "ENCODING_UNSUPPORTED"


def test_missing_subclass_markers_are_put_in(tmp_path: Path) -> None:
    outline: Tags = [(0, "LWPOLYLINE"), (8, "0"), (90, 3), (70, 1), (10, 0), (20, 0), (10, 3), (20, 0), (10, 3), (20, 4)]
    shape = shape_of(tmp_path, drawing(outline))
    assert shape.facts["total_length"] == pytest.approx(12)
    assert FindingCode.FILE_REPAIRED in found(shape)


def test_texts_and_layers_are_told_within_bounds(tmp_path: Path) -> None:
    text: Tags = [(0, "TEXT"), (8, "NOTES"), (10, 0), (20, 0), (40, 1), (1, "x" * 10_000)]
    shape = shape_of(tmp_path, drawing(SQUARE + text * 60))
    assert shape.facts["layers"] == ["0", "NOTES"]
    assert shape.facts["texts_total"] == 60
    assert len(shape.facts["texts"]) == 50
    assert max(map(len, shape.facts["texts"])) == 200


def test_importing_the_readers_does_not_load_ezdxf() -> None:
    import subprocess
    import sys

    program = "import sys, workers.features.extraction; sys.exit('ezdxf' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[3], timeout=60, check=False).returncode == 0
