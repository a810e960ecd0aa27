"""IGES 5.x in its 80-column form: the records are checked here, the geometry is Open CASCADE's work.

Only surfaces and solids are measured: a file of points and curves alone ends GEOMETRY_MISSING.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from foundation.engine_settings import CadSettings
from foundation.errors import Failure
from tasks.vocabulary import Family, Format
from workers.cad.brep.iges_reals import with_reals
from workers.cad.brep.iges_records import checked
from workers.cad.brep.kernel import need_kernel
from workers.cad.shape import Finding, FindingCode, Shape

if TYPE_CHECKING:
    from workers.cad.brep.transfer import Transfer


def read_iges(path: Path, limits: CadSettings) -> Shape:
    """Read an IGES file. Raises `Failure` CAD_KERNEL_MISSING, FILE_CORRUPT, FORMAT_UNSUPPORTED, GEOMETRY_MISSING,
    GEOMETRY_INVALID, CAD_LIMIT.
    """
    need_kernel()
    from workers.cad.brep.body import body_of
    from workers.cad.brep.sewing import sewn

    data = path.read_bytes()
    source = checked(data, limits)
    loose, repaired = _read(path, data)
    whole = sewn(loose.shape)
    body = body_of(whole.shape, limits)
    findings = (*_with_repairs(source.findings, repaired), *loose.findings, *whole.findings, *body.findings)
    return Shape(Format.IGES, Family.SOLID, body.mesh, source.units, findings, body.types, {**source.facts, **body.facts}, body.box)


def _with_repairs(findings: tuple[Finding, ...], count: int) -> tuple[Finding, ...]:
    if not count:
        return findings
    before = sum(finding.count for finding in findings if finding.code is FindingCode.FILE_REPAIRED)
    others = (finding for finding in findings if finding.code is not FindingCode.FILE_REPAIRED)
    return (*others, Finding.of(FindingCode.FILE_REPAIRED, before + count))


def _read(path: Path, data: bytes) -> tuple[Transfer, int]:
    """The shape, and how many numbers had to be repaired: that is tried where entities were refused, and taken if none is after it."""
    from workers.cad.brep.transfer import read_iges_shape

    found: Transfer | Failure
    try:
        found = read_iges_shape(path)
        if not found.findings:
            return found, 0
    except Failure as failure:
        found = failure
    repaired, count = with_reals(data)
    if count and (better := _read_again(path, repaired)) is not None:
        return better, count
    if isinstance(found, Failure):
        raise found
    return found, 0


def _read_again(path: Path, data: bytes) -> Transfer | None:
    """The shape of a repaired file if nothing of it is refused. The kernel wants a name, so the repaired file lives in memory."""
    from workers.cad.brep.transfer import read_iges_shape

    # in the sandbox the input is such a file already, a copy, and the only one that may be written
    copied = path.is_symlink() and os.readlink(path).startswith("/memfd:")
    handle = os.open(path, os.O_WRONLY | os.O_TRUNC) if copied else os.memfd_create("repaired")
    try:
        with open(handle, "wb", closefd=False) as file:
            file.write(data)
        better = read_iges_shape(path if copied else Path(f"/proc/self/fd/{handle}"))
    except Failure:
        return None  # what was told of the file as it is stands
    finally:
        os.close(handle)
    return None if better.findings else better
