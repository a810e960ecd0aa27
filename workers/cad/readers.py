"""The table of readers and the one door to them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from foundation.engine_settings import CadSettings
from foundation.errors import Failure
from tasks.recognition import HEAD_BYTES, broken, claimed, recognise
from tasks.vocabulary import Format
from workers.cad.brep.iges import read_iges
from workers.cad.brep.step import read_step
from workers.cad.dxf.reader import read_dxf
from workers.cad.shape import Shape
from workers.cad.stl import read_stl

Reader = Callable[[Path, CadSettings], Shape]

READERS: dict[Format, Reader] = {Format.DXF: read_dxf, Format.STL: read_stl, Format.STEP: read_step, Format.IGES: read_iges}


def read(path: Path, name: str, limits: CadSettings) -> Shape:
    """Read the file at `path`; `name` is what its owner calls it and only serves to find false claims.

    Raises `Failure`: FILE_MISSING, FILE_EMPTY, CAD_LIMIT, FORMAT_MISMATCH, FORMAT_UNSUPPORTED, ENCODING_UNSUPPORTED,
    FILE_CORRUPT, GEOMETRY_MISSING, GEOMETRY_INVALID, CAD_EXPANSION_LIMIT, CAD_CYCLIC_REFERENCE,
    CAD_KERNEL_MISSING.
    """
    try:
        with open(path, "rb", buffering=0) as stream:
            size, head = os.fstat(stream.fileno()).st_size, stream.read(HEAD_BYTES)
    except FileNotFoundError as error:
        raise Failure("FILE_MISSING") from error
    if size > limits.max_bytes:
        raise Failure("CAD_LIMIT", {"limit": "CADMILL_CAD_MAX_BYTES", "allowed": limits.max_bytes, "found": size})
    found = _judge(head, size, name)
    reader = READERS.get(found)
    if reader is None:
        raise Failure("FORMAT_UNSUPPORTED", {"format": found.value})
    return reader(path, limits)


def _judge(head: bytes, size: int, name: str) -> Format:
    """The format by content, if the name does not contradict it."""
    if size == 0 or (size == len(head) and not head.strip()):
        raise Failure("FILE_EMPTY", {"bytes": size})
    claim, found = claimed(name), recognise(head, size)
    if claim is None or claim is found:
        return found
    if found is Format.UNKNOWN and broken(head, claim):
        raise Failure("FILE_CORRUPT", {"format": claim.value, "reason": "it does not begin as it must"})
    raise Failure("FORMAT_MISMATCH", {"claimed": claim.value, "found": found.value})
