"""A drawing as every way of reading DXF tells it, before anything is measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Set

import msgspec

from workers.cad.dxf.blocks import Node
from workers.cad.shape import FindingCode

# the most names and texts a result carries
NAMES, TEXTS, TEXT_LETTERS = 200, 50, 200


class Drawing(msgspec.Struct, frozen=True, eq=False):
    """What the modelspace of one file holds. Texts and names are as they stand in the file."""

    reader: str  # the way it was read
    binary: bool
    version: str
    units_code: object  # $INSUNITS, 0 where the file itself has none
    measurement: object  # $MEASUREMENT: 0 for English, 1 for metric, None where the file itself has none
    types: dict[str, int]  # in the order of their first entities
    layers: Set[str]
    blocks: list[str]
    texts: list[str]  # the first TEXTS of them
    texts_total: int
    node: Callable[[str], Node]  # for `TOP` and for the key of each block that is referred to
    findings: Counter[FindingCode] = msgspec.field(default_factory=Counter)
