"""One file to one vector and everything worth telling about it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foundation.settings import CadSettings
from tasks.vocabulary import Family, FeatureVersion, slot_names
from workers.cad.readers import read
from workers.cad.shape import Finding, FindingCode, Floats, Mesh, Paths
from workers.features.entropy import shape_entropy
from workers.features.flat import FlatStudy
from workers.features.solid import SolidStudy
from workers.features.vector import vector

# raised whenever a change alters any number of any result
ENGINE_BUILD = "1"


@dataclass(frozen=True, slots=True)
class Extraction:
    """What came out of one file; `result` can be written as JSON and holds all of it."""

    family: Family
    vector: list[float]
    result: dict[str, Any]


def extract(path: Path, name: str, version: FeatureVersion, limits: CadSettings) -> Extraction:
    """Features of the file at `path`, which its owner calls `name`. Lengths are in mm. Raises `Failure` as `read` does."""
    started = time.perf_counter()
    shape = read(path, name, limits)
    geometry = shape.geometry
    study, counts, box, facts, findings = _solid(geometry, shape.types) if isinstance(geometry, Mesh) else _flat(geometry, shape.types)
    if shape.box is not None:
        box = shape.box
    numbers = vector(study, version)
    result = {
        "feature_version": version.value,
        "family": shape.family.value,
        "vector": numbers,
        "slots": dict(zip(slot_names(shape.family, version), numbers, strict=True)),
        "surface_count": sum(counts.values()),
        "shape_entropy": shape_entropy(counts),
        "bounding_box": {"min": box[0].tolist(), "max": box[1].tolist()},
        "units": shape.units.public(),
        "findings": [finding.public() for finding in (*shape.findings, *findings)],
        # what the file knows exactly beats what its mesh tells
        "facts": {**facts, **shape.facts},
        "engine_build": ENGINE_BUILD,
        "format": shape.format.value,
        "seconds": round(time.perf_counter() - started, 6),
    }
    return Extraction(shape.family, numbers, result)


_Told = tuple[SolidStudy | FlatStudy, dict[str, int], Floats, dict[str, Any], list[Finding]]


def _flat(paths: Paths, types: Mapping[str, int]) -> _Told:
    return FlatStudy(paths, types), dict(types), paths.box, {}, []


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
    facts = {
        "area": study.area * scale**2,
        "volume": abs(study.signed_volume) * scale**3,
        "watertight": study.watertight,
        "region_counts": study.regions.counts(),
    }
    return study, dict(study.types), study.box, facts, findings
