"""What pages show of parts: name, size, unit, and whether there is a picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from api.house import House
from api.pages.rendering import extent
from ledger import parts, previews, vectors
from ledger.session import Tx


def cards(tx: Tx, house: House, tenant_id: str, part_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Those of the parts that are the tenant's, by id, each with `size_mm`, `units`, `surface_count` and `drawn`."""
    found = parts.named(tx, tenant_id, list(dict.fromkeys(part_ids)))
    return {card["id"]: card for card in measured(tx, house, tenant_id, list(found.values()))}


def measured(tx: Tx, house: House, tenant_id: str, told: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Parts as `ledger.parts.view` tells them, with what their newest extraction measured."""
    known = vectors.described(tx, tenant_id, sorted({part["sha256"] for part in told}))
    return [dict(part) | _measures(house, part["sha256"], known.get(part["sha256"], [])) for part in told]


def newest_vector(part: Mapping[str, Any]) -> dict[str, Any] | None:
    """The vector that was written last, of a part as `ledger.parts.get` tells it."""
    return max(part["vectors"], key=lambda one: (one["created_at"], one["feature_version"]), default=None)


def _measures(house: House, sha256: str, extracted: Sequence[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    if not extracted:
        return {"extracted": False, "size_mm": None, "units": None, "surface_count": None, "drawn": False}
    result = extracted[0][1]
    # only builds by which this tenant extracted the file: whether somebody else did is nobody's business
    drawn = any(previews.there(house.files, sha256, build) for build in dict.fromkeys(build for build, _ in extracted))
    size_mm = extent(result["bounding_box"])
    return {"extracted": True, "size_mm": size_mm, "units": result["units"], "surface_count": result["surface_count"], "drawn": drawn}
