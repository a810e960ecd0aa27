"""One file to one vector and everything worth telling about it."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foundation.engine_settings import CadSettings
from foundation.telemetry import logger
from tasks.extraction import AS_THE_FILE_SAYS, UnitsAsked
from tasks.vocabulary import Family, FeatureVersion
from workers.cad.preview.previews import Previews, previews
from workers.cad.readers import read
from workers.cad.shape import Finding, FindingCode, Floats, Mesh, Paths, Shape
from workers.cad.units import measured_in
from workers.features.entropy import shape_entropy
from workers.features.flat import FlatStudy
from workers.features.solid import SolidStudy
from workers.features.vector import attempted, features

# raised whenever a change alters any number of any result, or what previews look like
ENGINE_BUILD = "7"


@dataclass(frozen=True, slots=True)
class Extraction:
    """What came out of one file; `result` can be written as JSON and holds all of it but the pictures."""

    family: Family
    version: FeatureVersion  # of the vector: lower than the wanted one where slots of that are missing
    vector: list[float]
    result: dict[str, Any]
    previews: Previews | None


def extract(
    path: Path, name: str, version: FeatureVersion, limits: CadSettings, draw: bool = False, units: UnitsAsked = AS_THE_FILE_SAYS
) -> Extraction:
    """Features of the file at `path`, which its owner calls `name`, and its previews if it is to `draw` them. Lengths are in mm.
    Raises `Failure` as `read` and `features` do.
    """
    started, memory = time.perf_counter(), _memory()
    shape = measured_in(read(path, name, limits), units)
    geometry = shape.geometry
    study, box, facts, findings = _solid(geometry, shape.types) if isinstance(geometry, Mesh) else _flat(geometry, shape.types)
    if shape.box is not None:
        box = shape.box
    computed = features(study, version)
    counts, _ = attempted(_types, study)
    extracted = time.perf_counter()
    pictures = _drawn(shape, path) if draw else None
    if draw and pictures is None:
        findings.append(Finding.of(FindingCode.PREVIEW_MISSING))
    if computed.missing:
        findings.append(Finding.of(FindingCode.SLOTS_MISSING, len(computed.missing)))
    result = {
        "feature_version": computed.version.value,
        "family": shape.family.value,
        "vector": computed.vector,
        "slots": computed.slots,
        "missing_slots": computed.missing,
        "surface_count": None if counts is None else sum(counts.values()),
        "shape_entropy": None if counts is None else shape_entropy(counts),
        "bounding_box": {"min": box[0].tolist(), "max": box[1].tolist()},
        "units": shape.units.public(),
        "units_asked": {"units": units.units, "default_units": units.default_units},
        "findings": [finding.public() for finding in (*shape.findings, *findings)],
        # what the file knows exactly beats what its mesh tells
        "facts": {**facts, **shape.facts},
        "engine_build": ENGINE_BUILD,
        "format": shape.format.value,
        "bytes": os.stat(path).st_size,
        "memory_bytes": _memory() - memory,
        "seconds": round(extracted - started, 6),
        "preview_seconds": round(time.perf_counter() - extracted, 6) if draw else 0.0,
    }
    return Extraction(shape.family, computed.version, computed.vector, result, pictures)


def _drawn(shape: Shape, path: Path) -> Previews | None:
    try:
        return previews(shape, path)
    except Exception:  # noqa: BLE001 - a defect of the drawing code costs the picture; the vector is done and sound
        logger.exception("no preview of a %s file", shape.format)
        return None


_Told = tuple[SolidStudy | FlatStudy, Floats, dict[str, Any], list[Finding]]


def _flat(paths: Paths, types: Mapping[str, int]) -> _Told:
    return FlatStudy(paths, types), paths.box, {}, []


def _solid(mesh: Mesh, faces: Mapping[str, int]) -> _Told:
    study = SolidStudy(mesh, faces)
    scale = study.extent
    edges = study.edges
    findings = []
    if edges.border:
        findings.append(Finding.of(FindingCode.MESH_OPEN, edges.border))
    if edges.branching:
        findings.append(Finding.of(FindingCode.MESH_BRANCHING, edges.branching))
    if study.watertight and study.signed_volume < 0:
        findings.append(Finding.of(FindingCode.MESH_TURNED))
    facts = {"area": study.area * scale**2, "volume": abs(study.signed_volume) * scale**3, "watertight": study.watertight}
    regions, _ = attempted(_regions, study)
    return study, study.box, facts if regions is None else facts | {"region_counts": regions}, findings


def _types(study: SolidStudy | FlatStudy) -> dict[str, int]:
    return dict(study.types)


def _regions(study: SolidStudy) -> dict[str, int]:
    return study.regions.counts()


def _memory() -> int:
    """The most memory this process ever had, in bytes. It is the same for all threads; only the calling one's times need be read."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_maxrss * 1024
