"""Words that clients and workers share: formats, feature versions and their slots, priorities."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """The four kinds of work users ask for, and the probe of benchmarks and fault tests."""

    EXTRACTION = "extraction"
    SIMILARITY = "similarity"
    MIGRATION = "migration"
    PREWARM = "prewarm"
    PROBE = "probe"


class Format(StrEnum):
    """What a file is by its content, never by its name."""

    DXF = "dxf"
    STL = "stl"
    STEP = "step"
    IGES = "iges"
    UNKNOWN = "unknown"


class Family(StrEnum):
    """Vectors of one family are comparable; the two families never are."""

    FLAT = "2d"
    SOLID = "3d"


class LengthUnit(StrEnum):
    """Units of length a request may name."""

    MICROMETRE = "um"
    MILLIMETRE = "mm"
    CENTIMETRE = "cm"
    METRE = "m"
    MIL = "mil"
    INCH = "in"
    FOOT = "ft"
    YARD = "yd"

    @property
    def millimetres(self) -> float:
        """How many millimetres it is long."""
        return _MILLIMETRES[self]


_MILLIMETRES = {
    LengthUnit.MICROMETRE: 1e-3,
    LengthUnit.MILLIMETRE: 1.0,
    LengthUnit.CENTIMETRE: 10.0,
    LengthUnit.METRE: 1000.0,
    LengthUnit.MIL: 0.0254,
    LengthUnit.INCH: 25.4,
    LengthUnit.FOOT: 304.8,
    LengthUnit.YARD: 914.4,
}


class Priority(StrEnum):
    URGENT = "urgent"
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"

    @property
    def step(self) -> int:
        """The Redis step of this priority: 0 is served first. The one place where names become numbers."""
        return _STEPS[self]


_STEPS = {Priority.URGENT: 0, Priority.HIGH: 3, Priority.NORMAL: 6, Priority.LOW: 9}


class FeatureVersion(StrEnum):
    """Each version is a prefix of the next: the meaning of a slot never changes."""

    V1 = "v1"
    V2 = "v2"
    V3 = "v3"
    V4 = "v4"

    @property
    def width(self) -> int:
        """Number of slots."""
        return _WIDTHS[self]


_WIDTHS = {FeatureVersion.V1: 8, FeatureVersion.V2: 16, FeatureVersion.V3: 22, FeatureVersion.V4: 24}

SOLID_SLOTS: tuple[str, ...] = (
    "log_size",
    "log_vol_ratio",
    "log_rms_ratio",
    "surf_gyr_2",
    "surf_gyr_3",
    "vol_gyr_2",
    "vol_gyr_3",
    "solidity",
    "edge_convex_shallow",
    "edge_concave_shallow",
    "edge_convex_right",
    "edge_concave_right",
    "concave_frac",
    "planar_area_frac",
    "top8_area_frac",
    "centroid_offset",
    "normal_pair_near",
    "normal_pair_close",
    "normal_pair_far",
    "normal_pair_opposed",
    "freeform_regions",
    "convex_cyl_frac",
    "surface_count",
    "shape_entropy",
)

FLAT_SLOTS: tuple[str, ...] = (
    "log_length",
    "log_rms_ratio",
    "log_radius_ratio",
    "gyr_2",
    "fourth_moment",
    "hull_area_ratio",
    "log_hull_perimeter_ratio",
    "direction_2",
    "direction_4",
    "turning_1",
    "turning_2",
    "turning_3",
    "turning_4",
    "turning_5",
    "turning_6",
    "arc_length_frac",
    "distinct_radii",
    "mean_radius_ratio",
    "path_count",
    "line_share",
    "polyline_share",
    "text_share",
    "surface_count",
    "shape_entropy",
)


def slot_names(family: Family, version: FeatureVersion) -> tuple[str, ...]:
    """Names of the slots of a vector, in order."""
    names = SOLID_SLOTS if family is Family.SOLID else FLAT_SLOTS
    return names[: version.width]


class EngineState(StrEnum):
    """Whether the fast index of a worker process serves, best first. In every state but the first the exact one does."""

    HEALTHY = "healthy"
    HELD = "held"  # an administrator's recovery runs, so nothing else tries
    RECOVERING = "recovering"  # the worker tries by itself
    DEGRADED = "degraded"
