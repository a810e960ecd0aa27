"""STEP (ISO 10303-21): the text is checked here, the geometry is Open CASCADE's work."""

from __future__ import annotations

from pathlib import Path

from foundation.engine_settings import CadSettings
from foundation.errors import Failure
from tasks.vocabulary import Family, Format
from workers.cad.brep.kernel import need_kernel
from workers.cad.brep.step_names import header, products, units
from workers.cad.brep.step_text import checked
from workers.cad.shape import Finding, FindingCode, Origin, Shape

# schemas of AP203, AP214 and AP242 and the geometry models they share begin like this
_SCHEMAS = ("CONFIG_CONTROL_DESIGN", "AUTOMOTIVE_DESIGN", "AP203", "AP214", "AP242", "AP209", "AP238", "AP240", "CC_DESIGN", "GEOMETRIC_",
            "PRODUCT_", "SHAPE_", "STRUCTURAL_", "ASSOCIATIVE_", "FEATURE_", "CORE_", "BUILDING_DESIGN", "INTEGRATED_CNC")  # fmt: skip


def read_step(path: Path, limits: CadSettings) -> Shape:
    """Read a STEP file. Raises `Failure` CAD_KERNEL_MISSING, FILE_CORRUPT, FORMAT_UNSUPPORTED, GEOMETRY_MISSING,
    GEOMETRY_INVALID, CAD_LIMIT.
    """
    need_kernel()
    from workers.cad.brep.body import body_of
    from workers.cad.brep.sewing import sewn
    from workers.cad.brep.transfer import read_step_shape

    source = checked(path.read_bytes(), limits)
    told = header(source.data)
    schema = told.get("schema", "").upper()
    if schema.startswith("IFC"):
        raise Failure("FORMAT_UNSUPPORTED", {"format": "ifc"})
    unit, names = units(source)
    findings = list(source.findings)
    if not schema.startswith(_SCHEMAS):
        findings.append(Finding.of(FindingCode.SCHEMA_UNKNOWN))
    if unit.origin is Origin.ASSUMED:
        findings.append(Finding.of(FindingCode.UNITS_ASSUMED))
    transfer = read_step_shape(source.data)
    whole = sewn(transfer.shape)
    body = body_of(whole.shape, limits)
    facts = {**told, "records": source.records, "length_units": names, **products(source.data), **body.facts}
    return Shape(
        Format.STEP,
        Family.SOLID,
        body.mesh,
        unit,
        (*findings, *transfer.findings, *whole.findings, *body.findings),
        body.types,
        facts,
        body.box,
    )
