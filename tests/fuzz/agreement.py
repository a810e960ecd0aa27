"""An engine for the sandbox that reads a drawing both ways: what the fast reader tells, the reference must tell too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from foundation.engine_settings import CadSettings
from foundation.errors import Failure
from tasks.extraction import UnitsAsked
from tasks.vocabulary import FeatureVersion
from workers.cad.dxf.drawing import Drawing
from workers.cad.dxf.fast.reader import opened_fast
from workers.cad.dxf.fast.tags import NotCovered
from workers.cad.dxf.reader import measured
from workers.cad.dxf.reference import opened
from workers.cad.shape import Paths, Shape
from workers.features.extraction import Extraction
from workers.features.extraction import extract as extract_once
from workers.features.flat import FlatStudy
from workers.features.vector import features

_SLOT = 1e-6  # of the larger of 1 and the slot
_LENGTH, _CORNER = 1e-9, 1e-9  # of the length; of the largest coordinate


class Disagreement(Exception):
    """The two ways tell different stories of one drawing."""


def extract(path: Path, name: str, version: FeatureVersion, limits: CadSettings, draw: bool, units: UnitsAsked) -> Extraction:
    """As the engine's own. Raises `Disagreement`."""
    try:
        extraction = extract_once(path, name, version, limits, draw, units)
    except Failure as failure:
        # a limit of the sandbox ends both ways, and one that is another format is no drawing
        _compare(path, limits, failure.code)
        raise
    if extraction.result["facts"].get("reader") == "fast":
        _compare(path, limits, "")
    return extraction


def _compare(path: Path, limits: CadSettings, code: str) -> None:
    if code in ("FILE_EMPTY", "FORMAT_MISMATCH", "FORMAT_UNSUPPORTED"):
        return
    try:
        fast = _outcome(opened_fast(path.read_bytes()), limits)
    except NotCovered:
        return
    except Failure as failure:
        fast = failure.code
    try:
        known = _outcome(opened(path), limits)
    except Failure as failure:
        if _trips_over_handles(failure):
            return
        known = failure.code
    if isinstance(fast, str) or isinstance(known, str):
        _same("outcome", *(told if isinstance(told, str) else "OK" for told in (fast, known)))
        return
    _compare_shapes(fast, known)


def _trips_over_handles(failure: Failure) -> bool:
    """Whether ezdxf gave up on the handle of an object that no geometry depends on; the fast reader does not look at those."""
    return isinstance(failure.__cause__, AssertionError) and "dictionary handle" in str(failure.__cause__)


def _outcome(drawing: Drawing, limits: CadSettings) -> Shape | str:
    try:
        return measured(drawing, limits)
    except Failure as failure:
        return failure.code


def _compare_shapes(fast: Shape, known: Shape) -> None:
    paths, model = fast.geometry, known.geometry
    assert isinstance(paths, Paths)
    assert isinstance(model, Paths)
    facts, told = dict(fast.facts), dict(known.facts)
    for one in (facts, told):
        del one["reader"]
    length = told.pop("total_length")
    _near("total length", facts.pop("total_length"), length, _LENGTH * length)
    for key in told.keys() | facts.keys():
        _same(f"facts.{key}", facts.get(key), told.get(key))
    _same("types", dict(fast.types), dict(known.types))
    _same("units", fast.units, known.units)
    _same("findings", fast.findings, known.findings)
    _same("expanded", dict(paths.expanded), dict(model.expanded))
    _same("pieces and arcs", (len(paths.lengths), len(paths.arcs.radii)), (len(model.lengths), len(model.arcs.radii)))
    _near("box", paths.box, model.box, _CORNER * np.abs(model.box).max())
    slots = [np.array(features(FlatStudy(one, shape.types), FeatureVersion.V4).vector) for one, shape in ((paths, fast), (model, known))]
    _near("slots", slots[0], slots[1], _SLOT * np.maximum(np.abs(slots[1]), 1))


def _same(what: str, fast: Any, known: Any) -> None:
    if fast != known:
        raise Disagreement(f"{what}: fast {str(fast)[:300]}, reference {str(known)[:300]}")


def _near(what: str, fast: Any, known: Any, by: Any) -> None:
    # false for NaN as well
    if not (np.abs(np.asarray(fast) - known) <= by).all():
        raise Disagreement(f"{what}: fast {str(fast)[:300]}, reference {str(known)[:300]}")
