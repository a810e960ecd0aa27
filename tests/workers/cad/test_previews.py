"""Previews: right sizes, something to see, the same every time, harmless, and never more than a picture's worth of work."""

from __future__ import annotations

import io
import math
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import ezdxf
import numpy as np
import pytest
from PIL import Image

from foundation.engine_settings import CadSettings
from foundation.errors import Failure
from ledger.previews import KINDS, PNG_SIZES, png
from tasks.vocabulary import FeatureVersion
from tests.stack import ROOT, SAMPLES
from workers.cad.preview.drawing import darkened
from workers.cad.preview.mesh import MeshView
from workers.cad.preview.previews import Previews, previews
from workers.cad.readers import read
from workers.cad.shape import Mesh
from workers.features import extraction
from workers.features.extraction import extract

FILES = sorted([*SAMPLES.glob("dxf/*"), *SAMPLES.glob("stl/*")])
BAD = sorted(SAMPLES.glob("bad/*"))
LIMITS = CadSettings()
SVG_TAGS = {f"{{http://www.w3.org/2000/svg}}{name}" for name in ("svg", "rect", "g", "path")}
SVG_ATTRIBUTES = {"width", "height", "viewBox", "fill", "fill-rule", "d", "stroke", "stroke-width", "stroke-linecap", "stroke-linejoin"}
CUBE = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=float)
CUBE_SIDES = np.array(
    [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]]
)


def drawn(path: Path) -> Previews:
    found = previews(read(path, path.name, LIMITS), path)
    assert found is not None
    return found


def grey(found: Previews, size: int = 512) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(found.files[png(size)])).convert("L"))


def ink(pixels: np.ndarray) -> float:
    """Share of pixels that are not paper."""
    return float((pixels < 240).mean())


def saved(drawing: ezdxf.document.Drawing, folder: Path) -> Path:
    path = folder / "drawing.dxf"
    drawing.saveas(path)
    return path


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_sample_has_pictures_of_the_right_sizes_with_something_on_them(path: Path) -> None:
    found = drawn(path)
    assert tuple(found.files) == KINDS
    for size in PNG_SIZES:
        image = Image.open(io.BytesIO(found.files[png(size)]))
        assert (image.format, image.size) == ("PNG", (size, size))
        assert 0.002 < ink(grey(found, size)) < 0.75
        corners = grey(found, size)[[0, 0, -1, -1], [0, -1, 0, -1]]
        assert (corners == 255).all()
    root = ElementTree.fromstring(found.files["svg"])
    assert {element.tag for element in root.iter()} <= SVG_TAGS
    assert {name for element in root.iter() for name in element.attrib} <= SVG_ATTRIBUTES
    assert sum(map(len, found.files.values())) < 300_000


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_same_file_gives_the_same_bytes(path: Path) -> None:
    assert drawn(path) == drawn(path)


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.name)
def test_a_hostile_file_ends_in_a_code_before_anything_is_drawn(path: Path) -> None:
    with pytest.raises(Failure):
        drawn(path)


def test_real_and_hostile_files_are_drawn_or_refused(cad_data: Path) -> None:
    """Every fourth of them; all with CADMILL_ALL_FILES=1."""
    files = [path for folder in ("real/dxf", "real/stl", "bad/dxf", "bad/stl", "bad/ok") for path in sorted((cad_data / folder).rglob("*"))]
    files = [path for path in files if path.suffix.lower() in (".dxf", ".stl")]
    without: list[str] = []
    for path in files if os.environ.get("CADMILL_ALL_FILES") else files[::4]:
        begun = time.monotonic()
        try:
            found = previews(read(path, path.name, LIMITS), path)
        except Failure:
            continue
        if found is None:
            without.append(path.name)
        # no measure of speed: what hangs takes minutes
        assert time.monotonic() - begun < 60, path
    assert without == []


def test_texts_and_names_of_a_drawing_never_get_into_its_svg(tmp_path: Path) -> None:
    evil = '</path><script>alert("1")</script><a href="javascript:x">&'
    drawing = ezdxf.new("R2010", setup=True)
    drawing.layers.add("evil script").color = 1
    space = drawing.modelspace()
    space.add_line((0, 0), (100, 50), dxfattribs={"layer": "evil script"})
    space.add_text(evil, height=5).set_placement((0, 20))
    space.add_mtext(evil, dxfattribs={"char_height": 5, "insert": (0, 40)})
    space.add_linear_dim(base=(0, -10), p1=(0, 0), p2=(100, 0), text=evil).render()
    svg = drawn(saved(drawing, tmp_path)).files["svg"].decode()
    assert "script" not in svg
    assert "alert" not in svg
    assert re.fullmatch(r'[\w\s<>/="#:.,-]+', svg)
    assert {element.tag for element in ElementTree.fromstring(svg).iter()} <= SVG_TAGS


def test_words_are_bars_where_the_words_are(tmp_path: Path) -> None:
    drawing = ezdxf.new()
    drawing.modelspace().add_lwpolyline([(0, 0), (100, 0), (100, 100), (0, 100)], close=True)
    bare = ink(grey(drawn(saved(drawing, tmp_path))))
    drawing.modelspace().add_text("EIGHT CHARS", height=8).set_placement((10, 80))
    pixels = grey(drawn(saved(drawing, tmp_path)))
    assert ink(pixels) > bare + 0.02
    assert ink(pixels[60:160, 60:300]) > 0.2
    assert ink(pixels[200:480, 60:440]) == 0


def test_a_circle_is_round_and_a_filling_leaves_its_hole_free(tmp_path: Path) -> None:
    drawing = ezdxf.new()
    hatch = drawing.modelspace().add_hatch(color=5)
    hatch.paths.add_polyline_path([(0, 0), (100, 0), (100, 100), (0, 100)], is_closed=True)
    hatch.paths.add_polyline_path([(30, 30), (70, 30), (70, 70), (30, 70)], is_closed=True, flags=16)
    drawing.modelspace().add_circle((50, 50), 10)
    pixels = grey(drawn(saved(drawing, tmp_path)))
    assert ink(pixels[50:150, 50:460]) == 1
    assert pixels[256, 256] == 255
    rows, columns = np.nonzero(pixels[190:322, 190:322] < 128)
    radii = np.hypot(rows + 190 - 255.5, columns + 190 - 255.5)
    assert radii.std() < 1.5


def test_a_line_that_leaves_the_picture_keeps_its_direction(tmp_path: Path) -> None:
    drawing = ezdxf.new()
    drawing.modelspace().add_lwpolyline([(0, 0), (100, 0), (100, 100), (0, 100)], close=True)
    # a leader is no outline, so it does not widen the picture as far as it goes
    drawing.modelspace().add_leader([(100, 0), (9100, 3000)], dxfattribs={"has_arrowhead": 0, "color": 1})
    svg = drawn(saved(drawing, tmp_path)).files["svg"].decode()
    (leader,) = re.findall(r"M\d+ \d+l(-?\d+ -?\d+)(?=[M\"])", svg)
    right, down = map(int, leader.split())
    assert right > 500
    assert -down / right == pytest.approx(1 / 3, abs=0.01)


def test_a_drawing_too_large_to_be_drawn_in_full_is_drawn_as_outlines(tmp_path: Path) -> None:
    drawing = ezdxf.new()
    for n in range(21_000):
        drawing.modelspace().add_line((n % 150, n // 150), (n % 150 + 0.5, n // 150 + 0.5), dxfattribs={"color": 1})
    image = Image.open(io.BytesIO(drawn(saved(drawing, tmp_path)).files["512.png"])).convert("RGB")
    red = np.asarray(image).astype(int)
    assert ink(np.asarray(image.convert("L"))) > 0.1
    assert (red[:, :, 0] - red[:, :, 2]).max() < 30, "the colour was not looked up"


def test_a_dimension_that_hides_a_billion_entities_costs_the_outlines_and_no_more(tmp_path: Path) -> None:
    drawing = ezdxf.new()
    space = drawing.modelspace()
    space.add_lwpolyline([(0, 0), (100, 0), (100, 50)])
    for level in range(9):
        block = drawing.blocks.new(f"L{level}")
        block.add_line((0, 0), (1, 1))
        for _ in range(10 if level else 0):
            block.add_blockref(f"L{level - 1}", (0, 0))
    dimension = space.add_linear_dim(base=(0, -10), p1=(0, 0), p2=(100, 0)).render().dimension
    drawing.blocks.get(dimension.dxf.geometry).add_blockref("L8", (0, 0))
    begun = time.monotonic()
    assert ink(grey(drawn(saved(drawing, tmp_path)))) > 0.002
    assert time.monotonic() - begun < 60


def test_nothing_outside_is_opened_however_a_drawing_asks_for_it(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    Image.new("RGB", (8, 8), "red").save(secret)
    drawing = ezdxf.new("R2010", setup=True)
    space = drawing.modelspace()
    space.add_line((0, 0), (100, 100))
    space.add_image(drawing.add_image_def(str(secret), (8, 8)), (0, 0), (50, 50))
    space.add_underlay(drawing.add_underlay_def(str(tmp_path / "secret.pdf"), "pdf", "1"), (0, 0))
    drawing.styles.add("EVIL", font=str(tmp_path / "secret.ttf"))
    space.add_text("words", height=10, dxfattribs={"style": "EVIL"})
    space.dxf_layout.dxf.current_style_sheet = str(tmp_path / "secret.ctb")
    drawing.add_xref_def(str(tmp_path / "secret.dxf"), "xref")
    space.add_blockref("xref", (0, 0))
    path = saved(drawing, tmp_path)
    program = (
        "import sys; from pathlib import Path; from foundation.settings import CadSettings; from workers.cad.readers import read; "
        "from workers.cad.preview.previews import previews; "
        "shape = read(Path(sys.argv[1]), 'a.dxf', CadSettings()); path = Path(sys.argv[1]); assert previews(shape, path); opened = []; "
        "sys.addaudithook(lambda event, told: opened.append(str(told[0])) if event == 'open' else None); "
        "assert previews(shape, path); print([name for name in opened if name != sys.argv[1]])"
    )
    told = subprocess.run([sys.executable, "-c", program, str(path)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert told.stdout.strip() == "[]"


def test_light_colours_are_darkened_for_white_paper_and_black_stays_ink() -> None:
    for colour in ("#ffffff", "#ffff00", "#00ffff", "#ff000010"):
        red, green, blue = darkened(colour, 0.42)
        assert 0.299 * red + 0.587 * green + 0.114 * blue <= 0.43 * 255
    assert darkened("#0000ff", 0.42) == (0, 0, 255)
    assert darkened("#000000", 0.42) == (28, 32, 38)


def test_a_mesh_looks_the_same_wherever_and_however_large_it_is() -> None:
    images = [MeshView.of(Mesh(CUBE * scale + shift, CUBE_SIDES)) for scale, shift in ((1, 0), (2.0**-20, 0), (2.0**20, 2.0**24))]
    first, *others = [np.asarray(view.image(128)) for view in images if view]
    assert len(others) == 2
    for other in others:
        assert (first == other).mean() > 0.99


def test_a_cube_shows_three_sides_of_different_shade_the_top_one_brightest() -> None:
    view = MeshView.of(Mesh(CUBE, CUBE_SIDES))
    assert view is not None
    pixels = np.asarray(view.image(512).convert("L")).astype(int)
    shades = [value for value in np.argsort(-np.bincount(pixels.ravel(), minlength=256))[:4] if value < 250]
    assert len(shades) == 3
    columns = np.flatnonzero((pixels < 250).any(axis=0))
    middle = int(columns.mean())
    assert pixels[np.flatnonzero(pixels[:, middle] < 250)[0] + 40, middle] == max(shades)
    svg = view.sketch().svg()
    assert len(re.findall(r"M", svg)) >= 3
    assert len(svg) < 2_000


def test_what_stands_behind_is_not_seen_neither_as_surface_nor_as_edge() -> None:
    one = MeshView.of(Mesh(CUBE, CUBE_SIDES))
    inside = np.concatenate([CUBE, CUBE * 0.5 + 0.25])
    both = MeshView.of(Mesh(inside, np.concatenate([CUBE_SIDES, CUBE_SIDES + 8])))
    assert one is not None
    assert both is not None
    assert np.array_equal(np.asarray(one.image(512)), np.asarray(both.image(512)))
    assert one.sketch().svg() == both.sketch().svg()


def test_triangles_that_pass_each_other_are_each_in_front_where_they_are() -> None:
    """Painting one after the other cannot do this."""
    points = np.array([[-1, 0, -1], [1, 0, -1], [0, 0, 1], [0, -1, -0.8], [0, 1, -0.8], [0, 0, 1.2]], dtype=float)
    view = MeshView.of(Mesh(points, np.array([[0, 1, 2], [3, 4, 5]])))
    assert view is not None
    seen = view.nearest
    row = seen[int(view.points[:, 1].mean())]
    order = row[row >= 0]
    assert len(np.flatnonzero(np.diff(order))) >= 2
    assert set(order.tolist()) == {0, 1}


def test_a_mesh_that_would_be_painted_over_and_over_has_no_preview_rather_than_no_end() -> None:
    corners = np.array([[-1, 0, -1], [1, 0, -1], [0, 0, 1]], dtype=float)
    layers = np.concatenate([corners + np.array([0, n * 1e-6, 0]) for n in range(200_000)])
    assert MeshView.of(Mesh(layers, np.arange(len(layers)).reshape(-1, 3))) is None


def test_odd_meshes_are_drawn() -> None:
    sheet = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], dtype=float)
    edge_on = np.array([[0, 0, 0], [0.62, -1, 0.72], [0.62, -1, 0], [0, 0, 1e-9]])
    for points in (sheet, edge_on, sheet * [1, 1e-9, 1], sheet * 1e11):
        view = MeshView.of(Mesh(points, np.array([[0, 1, 2], [0, 2, 3]])))
        assert view is not None
        assert np.asarray(view.image(128)).shape == (128, 128, 3)
        assert view.sketch().svg().endswith("</svg>\n")


def test_a_dense_mesh_has_a_small_svg() -> None:
    n = 300
    turn = np.linspace(0, 2 * math.pi, n, endpoint=False)
    noise = np.random.default_rng(1).uniform(0.8, 1.2, (n, n))
    flat = np.stack(np.meshgrid(np.cos(turn), np.arange(n) / n), axis=-1)
    points = np.stack([flat[..., 0] * noise, np.sin(turn)[None] * noise, flat[..., 1]], axis=-1).reshape(-1, 3)
    at = np.arange(n * n).reshape(n, n)
    a, b, c, d = (each.ravel() for each in (at[:-1, :-1], at[:-1, 1:], at[1:, :-1], at[1:, 1:]))
    view = MeshView.of(Mesh(points, np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)])))
    assert view is not None
    assert len(view.sketch().svg()) < 2_000_000


def test_an_extraction_reports_what_its_previews_cost_and_draws_none_unasked() -> None:
    path = FILES[0]
    plain, with_pictures = (extract(path, path.name, FeatureVersion.V4, LIMITS, draw) for draw in (False, True))
    assert plain.previews is None
    assert with_pictures.previews == drawn(path)
    assert with_pictures.result["preview_seconds"] > 0
    assert plain.result["preview_seconds"] == 0
    assert plain.vector == with_pictures.vector
    assert plain.result["findings"] == with_pictures.result["findings"]


@pytest.mark.parametrize("mishap", ["defect", "none"])
def test_a_preview_that_fails_costs_a_finding_and_never_the_vector(mishap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_shape: object) -> None:
        if mishap == "defect":
            raise RuntimeError("the painter fell off the ladder")

    monkeypatch.setattr(extraction, "previews", fail)
    path = FILES[0]
    extracted = extract(path, path.name, FeatureVersion.V4, LIMITS, draw=True)
    assert extracted.previews is None
    assert extracted.result["findings"][-1]["code"] == "PREVIEW_MISSING"
    assert len(extracted.vector) == 24
