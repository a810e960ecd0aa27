"""The fast way through DXF against the reference: the same shape, or it hands over; never another shape."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.engine_settings import CadSettings
from foundation.errors import Failure
from tasks.recognition import HEAD_BYTES, encoding, recognise
from tasks.vocabulary import FeatureVersion, Format
from workers.cad.dxf.drawing import Drawing
from workers.cad.dxf.fast.numbers import decimals
from workers.cad.dxf.fast.reader import opened_fast
from workers.cad.dxf.fast.tags import NotCovered
from workers.cad.dxf.reader import measured, read_dxf
from workers.cad.dxf.reference import opened
from workers.cad.shape import Paths, Shape
from workers.features.flat import FlatStudy
from workers.features.vector import features

LIMITS = CadSettings()
SAMPLES = Path(__file__).parents[2] / "data"
DATA = Path(os.environ.get("CADMILL_DATA") or Path(__file__).parents[4] / "shared" / "data")


def drawings(folder: Path) -> list[Path]:
    """Files that are called drawings, and those that are by their content, whatever they are called."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and (path.suffix.lower() == ".dxf" or is_drawing(path)))


def is_drawing(path: Path) -> bool:
    with path.open("rb") as stream:
        return recognise(stream.read(HEAD_BYTES), path.stat().st_size) is Format.DXF


def outcome(drawing: Callable[[], Drawing]) -> tuple[Shape, list[float]] | str:
    try:
        shape = measured(drawing(), LIMITS)
    except Failure as failure:
        return failure.code
    assert isinstance(shape.geometry, Paths)
    return shape, features(FlatStudy(shape.geometry, shape.types), FeatureVersion.V4).vector


def agrees(path: Path) -> bool:
    """Whether the fast way covers the file; fails where it does and tells another story than the reference."""
    data = path.read_bytes()
    try:
        fast = outcome(lambda: opened_fast(data))
    except NotCovered:
        return False
    known = outcome(lambda: opened(path))
    if isinstance(fast, str) or isinstance(known, str):
        assert fast == known
        return True
    (shape, slots), (model, expected) = fast, known
    facts, told = dict(shape.facts), dict(model.facts)
    assert (facts.pop("reader"), told.pop("reader")) == ("fast", "ezdxf")
    # sums over the same pieces in another order differ in their last digit
    assert facts.pop("total_length") == pytest.approx(told.pop("total_length"), rel=1e-9)
    assert facts == told
    assert (shape.types, shape.units, shape.findings) == (model.types, model.units, model.findings)
    assert isinstance(shape.geometry, Paths)
    assert isinstance(model.geometry, Paths)
    assert shape.geometry.expanded == model.geometry.expanded
    assert len(shape.geometry.lengths) == len(model.geometry.lengths)
    # the same pieces in another order
    ends, others = np.sort(shape.geometry.ends, axis=None), np.sort(model.geometry.ends, axis=None)
    assert np.allclose(ends, others, rtol=0, atol=1e-9 * np.abs(model.geometry.box).max())
    assert (shape.geometry.inner.sum(), shape.geometry.curved.sum()) == (model.geometry.inner.sum(), model.geometry.curved.sum())
    assert len(shape.geometry.arcs.radii) == len(model.geometry.arcs.radii)
    box = model.geometry.box
    assert np.allclose(shape.geometry.box, box, rtol=0, atol=1e-9 * np.abs(box).max())
    assert slots == pytest.approx(expected, rel=1e-6, abs=1e-6)
    return True


def test_the_samples_are_the_same_both_ways_and_most_are_covered() -> None:
    covered = [agrees(path) for path in drawings(SAMPLES)]
    assert sum(covered) > len(covered) / 2


@pytest.mark.skipif(not (DATA / "real" / "dxf").is_dir(), reason=f"THE DEVELOPMENT SET IS NOT AT {DATA}: set CADMILL_DATA to its folder")
def test_every_known_drawing_is_the_same_both_ways_and_most_real_ones_are_covered() -> None:
    for path in drawings(DATA / "bad"):
        agrees(path)
    real = [agrees(path) for path in drawings(DATA / "real" / "dxf")]
    assert sum(real) >= 0.95 * len(real)


def test_the_result_tells_which_way_was_taken(tmp_path: Path) -> None:
    data = (SAMPLES / "dxf" / "sliding-base.dxf").read_bytes()
    path = tmp_path / "a.dxf"
    path.write_bytes(data)
    assert read_dxf(path, LIMITS).facts["reader"] == "fast"
    # a byte order mark is one of the things the fast way leaves alone
    path.write_bytes(b"\xef\xbb\xbf" + data)
    assert encoding(path.read_bytes()) is not None
    assert read_dxf(path, LIMITS).facts["reader"] == "ezdxf"


def mutated(data: bytes, chance: random.Random) -> bytes:
    """One to three slips, as disks, editors and bad writers make them: in bytes, and in whole tags."""
    letters = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 3))):
        at, kind = chance.randrange(len(letters)), chance.randrange(6)
        if kind == 0:
            letters[at] = chance.randrange(256)
        elif kind == 1:
            letters[at] = chance.choice(b"0123456789 .-\nAEx{}")
        elif kind == 2:
            del letters[at : at + chance.choice((1, 2, 40))]
        else:
            lines = bytes(letters).split(b"\n")
            tag, other = (chance.randrange(max(len(lines) // 2, 1)) * 2 for _ in range(2))
            if kind == 3:
                del lines[tag : tag + 2 * chance.choice((1, 2, 6))]
            elif kind == 4:
                lines[other:other] = lines[tag : tag + 2 * chance.choice((1, 3, 8))]
            elif max(tag, other) + 1 < len(lines):
                lines[tag + 1] = lines[other + 1]
            letters = bytearray(b"\n".join(lines))
        if not letters:
            break
    return bytes(letters)


@pytest.mark.parametrize("seed", range(6))
def test_damaged_drawings_are_never_read_otherwise_than_by_the_reference(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    files = [path for path in drawings(SAMPLES) if 0 < path.stat().st_size < 30_000]
    path = tmp_path / "a.dxf"
    for _ in range(40):
        path.write_bytes(mutated(chance.choice(files).read_bytes(), chance))
        agrees(path)


@pytest.mark.parametrize("last", ["", " 70\n4\n 70\n4\n", " 10\n1\n"])
def test_a_header_that_ends_within_its_last_variable_is_left_to_the_reference(last: str) -> None:
    with pytest.raises(NotCovered):
        opened_fast(f"  0\nSECTION\n  2\nHEADER\n  9\n$EXTMIN\n{last}  0\nENDSEC\n  0\nEOF\n".encode())


def handles_of(*handles: str) -> bytes:
    """A drawing of dictionaries with these handles."""
    header = "  0\nSECTION\n  2\nHEADER\n  9\n$ACADVER\n  1\nAC1015\n  0\nENDSEC\n"
    objects = "".join(f"  0\nDICTIONARY\n  5\n{handle}\n330\n0\n100\nAcDbDictionary\n" for handle in handles)
    return f"{header}  0\nSECTION\n  2\nOBJECTS\n{objects}  0\nENDSEC\n  0\nEOF\n".encode()


@pytest.mark.parametrize("again", ["A1F", "a1f", "0A1F", "000000A1F", "00000000000A1F"])
def test_a_handle_is_known_again_however_it_is_written(again: str) -> None:
    with pytest.raises(NotCovered, match="a handle twice"):
        opened_fast(handles_of("A1F", "A20", again))


@pytest.mark.parametrize("other", ["A1", "1A1F", "A1F0", "0A2F", "a1e", "A1F00000", "1A1F00000A1F"])
def test_different_handles_are_told_apart_however_they_are_written(other: str) -> None:
    assert opened_fast(handles_of("A1F", "A20", other)).version == "AC1015"


@pytest.mark.parametrize("wrong", ["A1G", "A-1", "", "0"])
def test_what_is_no_handle_is_left_to_the_reference(wrong: str) -> None:
    with pytest.raises(NotCovered, match="a handle that is none"):
        opened_fast(handles_of("A1F", "A20", wrong))


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20),
    st.sampled_from(["%r", "%.6f", "%.16g", " %.3f ", "%d"]),
)
@settings(deadline=None)
def test_numbers_are_those_of_float_to_the_last_bit(numbers: list[float], form: str) -> None:
    lines = [form % number for number in numbers if abs(number) < 1e200]
    values = column(lines)
    assert values == [float(line) for line in lines]


def column(lines: list[str]) -> list[float]:
    text = "".join(f"{line}\n" for line in lines).encode()
    letters = np.frombuffer(text, dtype=np.uint8)
    feeds = (letters == ord("\n")).nonzero()[0]
    return decimals(letters, np.concatenate([[0], feeds + 1])[:-1], feeds).tolist()


@pytest.mark.parametrize("word", ["", ".", "-", "+.", "1.2.3", "1-2", "12a", "1_0", " ", "--1", "1,5", "1 2", "１"])
def test_what_is_no_number_is_refused(word: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the message is nobody's business
        column(["1", word, "2"])


def test_many_numbers_are_read_as_few_are() -> None:
    lines = [str(number / 8) for number in range(40_000)] + [".5"]
    assert column(lines) == [float(line) for line in lines]


@pytest.mark.parametrize(
    "text", ["5", "-.5", "5.", "+1.5", "-0", "1e5", "1E-3", "0.1000000000000000055511151231257827", "9999999999999999999"]
)
def test_numbers_in_every_spelling(text: str) -> None:
    assert column([text, f"  {text} "]) == [float(text)] * 2
