"""IGES 5.x in its 80-column form: the records are checked here, the geometry is Open CASCADE's work.

Only surfaces and solids are measured: a file of points and curves alone ends GEOMETRY_MISSING.
"""

from __future__ import annotations

from pathlib import Path

from foundation.settings import CadSettings
from tasks.vocabulary import Family, Format
from workers.cad.brep.iges_records import checked
from workers.cad.brep.kernel import need_kernel
from workers.cad.shape import Shape


def read_iges(path: Path, limits: CadSettings) -> Shape:
    """Read an IGES file. Raises `Failure` CAD_KERNEL_MISSING, FILE_CORRUPT, FORMAT_UNSUPPORTED, GEOMETRY_MISSING,
    GEOMETRY_INVALID, CAD_LIMIT.
    """
    need_kernel()
    from workers.cad.brep.body import body_of
    from workers.cad.brep.transfer import read_iges_shape, sewn

    source = checked(path.read_bytes(), limits)
    loose = read_iges_shape(path)
    whole = sewn(loose.shape)
    body = body_of(whole.shape, limits)
    findings = (*source.findings, *loose.findings, *whole.findings, *body.findings)
    return Shape(Format.IGES, Family.SOLID, body.mesh, source.units, findings, body.types, {**source.facts, **body.facts}, body.box)
