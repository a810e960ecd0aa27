"""What is known of a boundary representation once it is measured, whoever measured it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workers.cad.shape import Finding, Floats, Mesh

# nodes this part of the diagonal apart are one
NEAR = 4e-6


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """A boundary representation, measured."""

    mesh: Mesh
    box: Floats  # (2, 3) exact lowest and highest corner where surfaces and edges are elementary, that of the mesh elsewhere
    types: dict[str, int]  # faces by kind of surface
    facts: dict[str, Any]
    findings: tuple[Finding, ...]
