"""STEP (ISO 10303-21): the text is checked, and solids of elementary surfaces are measured without a kernel; Open CASCADE reads all
others.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from foundation.engine_settings import CadSettings
from foundation.errors import Failure
from foundation.telemetry import logger
from tasks.vocabulary import Family, Format
from workers.cad.analytic.body import analytic_body
from workers.cad.analytic.instances import NotCovered
from workers.cad.brep.kernel import need_kernel
from workers.cad.brep.measured import Body
from workers.cad.brep.step_names import header, products, units
from workers.cad.brep.step_text import StepText, checked
from workers.cad.shape import Finding, FindingCode, Origin, Shape

# schemas of AP203, AP214 and AP242 and the geometry models they share begin like this
_SCHEMAS = ("CONFIG_CONTROL_DESIGN", "AUTOMOTIVE_DESIGN", "AP203", "AP214", "AP242", "AP209", "AP238", "AP240", "CC_DESIGN", "GEOMETRIC_",
            "PRODUCT_", "SHAPE_", "STRUCTURAL_", "ASSOCIATIVE_", "FEATURE_", "CORE_", "BUILDING_DESIGN", "INTEGRATED_CNC")  # fmt: skip


def read_step(path: Path, limits: CadSettings) -> Shape:
    """Read a STEP file. Raises `Failure` CAD_KERNEL_MISSING, FILE_CORRUPT, FORMAT_UNSUPPORTED, GEOMETRY_MISSING,
    GEOMETRY_INVALID, CAD_LIMIT.
    """
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
    facts = {**told, "records": source.records, "length_units": names, **products(source.data)}
    body = _analytic(source, limits) if limits.step_kernel == "fallback" else None
    reader = "analytic"
    if body is None:
        data = source.data
        del source  # its tables are not needed while the kernel works
        body, reader = _kernel(data, limits), "opencascade"
    facts |= {"reader": reader, **body.facts}
    return Shape(Format.STEP, Family.SOLID, body.mesh, unit, (*findings, *body.findings), body.types, facts, body.box)


def _analytic(source: StepText, limits: CadSettings) -> Body | None:
    """The body if it can be had without a kernel."""
    try:
        return analytic_body(source, limits)
    except NotCovered as reason:
        logging.getLogger(__name__).debug("left to the kernel: %s", reason)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - a defect of this way costs time: the kernel reads the file as if nothing had been tried
        logger.exception("a STEP file could not be read without the kernel")
    return None


def _kernel(data: bytes, limits: CadSettings) -> Body:
    need_kernel()
    from workers.cad.brep.body import body_of
    from workers.cad.brep.sewing import sewn
    from workers.cad.brep.transfer import read_step_shape

    transfer = read_step_shape(data)
    whole = sewn(transfer.shape)
    body = body_of(whole.shape, limits)
    return replace(body, findings=(*transfer.findings, *whole.findings, *body.findings))
