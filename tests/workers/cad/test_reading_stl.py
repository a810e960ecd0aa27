"""STL: both encodings, lying counts, and what counts as no geometry."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from foundation.engine_settings import CadSettings
from foundation.errors import Failure
from workers.cad import stl
from workers.cad.readers import read
from workers.cad.shape import Finding, FindingCode, Mesh, Shape, ranked
from workers.cad.stl import weld

LIMITS = CadSettings()
SAMPLES = Path(__file__).parents[2] / "data"
CORNERS = np.array(
    [
        [[0, 0, 0], [0, 1, 0], [1, 0, 0]],
        [[0, 0, 0], [1, 0, 0], [0, 0, 1]],
        [[0, 0, 0], [0, 0, 1], [0, 1, 0]],
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    ],
    dtype=float,
)


def binary(corners: np.ndarray, claim: int | None = None) -> bytes:
    rows = b"".join(struct.pack("<12fH", 0, 0, 0, *corner.reshape(-1), 0) for corner in corners)
    return b"\0" * 80 + struct.pack("<I", len(corners) if claim is None else claim) + rows


def text(corners: np.ndarray, name: str = "part") -> str:
    facets = "".join(
        " facet normal 0 0 0\n  outer loop\n"
        + "".join(f"   vertex {x:.9g} {y:.9g} {z:.9g}\n" for x, y, z in corner)
        + "  endloop\n endfacet\n"
        for corner in corners
    )
    return f"solid {name}\n{facets}endsolid {name}\n"


def shape_of(tmp_path: Path, content: bytes | str, name: str = "a.stl", limits: CadSettings = LIMITS) -> Shape:
    path = tmp_path / "upload"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read(path, name, limits)


def code_of(tmp_path: Path, content: bytes | str, name: str = "a.stl", limits: CadSettings = LIMITS) -> str:
    with pytest.raises(Failure) as caught:
        shape_of(tmp_path, content, name, limits)
    return caught.value.code


def mesh_of(shape: Shape) -> Mesh:
    assert isinstance(shape.geometry, Mesh)
    return shape.geometry


def codes(findings: tuple[Finding, ...]) -> set[FindingCode]:
    return {finding.code for finding in findings}


def test_text_and_binary_of_one_part_give_the_same_mesh(tmp_path: Path) -> None:
    corners = CORNERS * 0.1
    one, two = mesh_of(shape_of(tmp_path, binary(corners))), mesh_of(shape_of(tmp_path, text(corners)))
    assert np.array_equal(one.vertices, two.vertices)
    assert np.array_equal(one.triangles, two.triangles)
    assert one.vertices.shape == (4, 3)


def test_several_solids_in_one_text_are_one_mesh(tmp_path: Path) -> None:
    shape = shape_of(tmp_path, text(CORNERS, "facet one") + text(CORNERS + 5, "vertex two").upper())
    assert shape.facts["triangles"] == 8
    assert shape.facts["solids"] == 2


@pytest.mark.parametrize("piece", [1, 40, 250, 1 << 17])
@pytest.mark.parametrize("breaks", ["\n", "\r\n", "\r", " \n\n\t"])
def test_text_is_read_alike_whatever_its_line_breaks_and_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int, breaks: str
) -> None:
    monkeypatch.setattr(stl, "_PIECE", piece)
    corners = np.random.default_rng(7).normal(size=(50, 3, 3)).astype(np.float32)
    content = (text(corners[:20], "solid vertex") + text(corners[20:])).replace("\n", breaks)
    shape, expected = mesh_of(shape_of(tmp_path, content)), mesh_of(shape_of(tmp_path, binary(corners)))
    assert np.array_equal(shape.vertices, expected.vertices)
    assert np.array_equal(shape.triangles, expected.triangles)


def test_a_word_too_many_is_found_in_whichever_piece_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stl, "_PIECE", 100)
    lines = text(np.tile(CORNERS, (5, 1, 1))).splitlines(keepends=True)
    for at in range(1, len(lines) - 1):
        assert code_of(tmp_path, "".join([*lines[:at], "word\n", *lines[at:]])) == "FILE_CORRUPT"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "FILE_EMPTY"),
        (b" \n\t ", "FILE_EMPTY"),
        (b"\0" * 79, "FILE_CORRUPT"),
        (binary(CORNERS[:0]), "GEOMETRY_MISSING"),
        (binary(CORNERS, claim=4_294_967_295), "FILE_CORRUPT"),
        (binary(CORNERS)[:-20], "FILE_CORRUPT"),
        (binary(CORNERS * np.nan), "GEOMETRY_INVALID"),
        (binary(CORNERS * 3e38), "GEOMETRY_INVALID"),
        (binary(CORNERS * 0), "GEOMETRY_INVALID"),
        (binary(CORNERS * [1, 0, 0]), "GEOMETRY_INVALID"),
        ("solid", "FILE_CORRUPT"),
        ("solid x\nendsolid x\n", "GEOMETRY_MISSING"),
        (text(CORNERS)[:-60], "FILE_CORRUPT"),
        (text(CORNERS).replace("vertex 1", "vertex 1,5"), "FILE_CORRUPT"),
        (text(CORNERS).replace("endloop", "vertex 0 0 0\n endloop", 1), "FILE_CORRUPT"),
        (text(CORNERS).replace("vertex 1", "vertex nan"), "GEOMETRY_INVALID"),
        (text(CORNERS).replace("vertex 1", "vertex 1e999"), "GEOMETRY_INVALID"),
        ("ISO-10303-21;", "FORMAT_MISMATCH"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "FORMAT_MISMATCH"),
    ],
)
def test_a_bad_stl_has_one_answer(tmp_path: Path, content: bytes | str, code: str) -> None:
    assert code_of(tmp_path, content) == code


def test_trailing_bytes_and_a_missing_end_are_told(tmp_path: Path) -> None:
    assert FindingCode.BYTES_IGNORED in codes(shape_of(tmp_path, binary(CORNERS) + b"x" * 30).findings)
    assert FindingCode.FILE_REPAIRED in codes(shape_of(tmp_path, text(CORNERS).replace("endsolid part", "")).findings)


def test_limits_are_named_in_the_failure(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(binary(CORNERS))
    for limits, name in ((CadSettings(max_triangles=3), "CADMILL_CAD_MAX_TRIANGLES"), (CadSettings(max_bytes=10), "CADMILL_CAD_MAX_BYTES")):
        with pytest.raises(Failure) as caught:
            read(path, "a.stl", limits)
        assert (caught.value.code, caught.value.context["limit"]) == ("CAD_LIMIT", name)


def test_without_an_extension_content_decides_and_unread_formats_are_refused(tmp_path: Path) -> None:
    assert shape_of(tmp_path, binary(CORNERS), "part").facts["triangles"] == 4
    assert code_of(tmp_path, b"PK\x03\x04" + b"\0" * 99, "a.zip") == "FORMAT_UNSUPPORTED"


def test_a_missing_file_is_our_fault(tmp_path: Path) -> None:
    with pytest.raises(Failure) as caught:
        read(tmp_path / "gone", "a.stl", LIMITS)
    assert caught.value.code == "FILE_MISSING"
    assert str(tmp_path) not in str(caught.value.public())


def test_welding_joins_equal_bits_only_and_drops_collapsed_triangles() -> None:
    corners = np.concatenate([CORNERS, [[[-0.0, 0, 0], [0, 0, 0], [1, 0, 0]]]])
    mesh, collapsed = weld(corners)
    assert (len(mesh.vertices), len(mesh.triangles), collapsed) == (4, 4, 1)
    apart, _ = weld(np.concatenate([CORNERS, np.nextafter(CORNERS + 1, 9) - 1]))
    assert len(apart.vertices) == 8


def forged() -> np.ndarray:
    """Two places (2, 3) whose bits mix to one number: their difference solves dx * first + dy * second = 0 in 64 bits."""
    first, second, _ = (int(number) for number in stl._MIX)
    # Euclid's algorithm, stopped half way, leaves a solution with both steps below 2^32
    far, near = (2**64, 0), (-second * pow(first, -1, 2**64) % 2**64, 1)
    while near[0] >= 2**32:
        far, near = near, (far[0] % near[0], far[1] - far[0] // near[0] * near[1])
    dx, dy = near
    for seed in range(1000):
        x, y = np.random.default_rng(seed).integers(0, 2**32, size=2).tolist()
        if x + dx < 2**32 and 0 <= y + dy < 2**32:
            places = np.array([[x, y, 0], [x + dx, y + dy, 0]], dtype=np.uint32).view(np.float32)
            if np.isfinite(places).all():
                return places
    raise AssertionError("no such floats")


def test_many_corners_are_welded_like_few(monkeypatch: pytest.MonkeyPatch) -> None:
    corners = np.random.default_rng(3).integers(-3, 4, size=(500, 3, 3)).astype(np.float32)
    few, _ = weld(corners)
    monkeypatch.setattr(stl, "_MANY", 10)
    many, _ = weld(corners)
    assert len(few.vertices) == len(np.unique(corners.reshape(-1, 3), axis=0))
    assert np.array_equal(few.vertices, many.vertices)
    assert np.array_equal(few.triangles, many.triangles)


@pytest.mark.parametrize("bits", [10, 40, 63])
def test_ranks_are_those_of_a_stable_sort(bits: int) -> None:
    keys = np.random.default_rng(bits).choice(np.random.default_rng(1).integers(0, 2**bits, size=300, dtype=np.int64), size=2000)
    order, ranks = ranked(keys)
    assert np.array_equal(order, np.argsort(keys, kind="stable"))
    assert np.array_equal(ranks, np.sort(keys).view(np.uint64))


def test_places_that_were_forged_to_mix_alike_stay_apart_and_are_joined_with_themselves() -> None:
    one, two = forged()
    assert not np.array_equal(one, two)
    others = np.arange(60, dtype=np.float32).reshape(20, 3)
    corners = np.stack([np.stack([one, two, other] if at % 2 else [two, other, one]) for at, other in enumerate(others)])
    mesh, collapsed = weld(corners)
    assert (len(mesh.vertices), len(mesh.triangles), collapsed) == (22, 20, 0)
    assert np.array_equal(mesh.vertices[mesh.triangles], corners)


def test_welding_does_not_depend_on_the_order_of_triangles() -> None:
    random = np.random.default_rng(5)
    corners = random.integers(-2, 3, size=(80, 3, 3)).astype(np.float32)
    order = random.permutation(len(corners))
    one, two = weld(corners)[0], weld(corners[order])[0]
    assert np.array_equal(one.vertices, two.vertices)
    key = [np.lexsort(mesh.triangles.T) for mesh in (one, two)]
    assert np.array_equal(one.triangles[key[0]], two.triangles[key[1]])
