"""Settings of the engine: reading files behind walls, features, caches, the index."""

from __future__ import annotations

from typing import Literal

from pydantic import AliasChoices, Field

from foundation.sections import Section, section


class CadSettings(Section):
    model_config = section("CAD")
    max_bytes: int = Field(256_000_000, ge=1, description="largest file the engine opens")
    max_entities: int = Field(1_000_000, ge=1, description="most DXF entities after block references are expanded")
    max_nesting: int = Field(32, ge=1, description="deepest nesting of DXF blocks, and of lists in STEP")
    max_triangles: int = Field(5_000_000, ge=1, description="most triangles of a mesh")
    max_records: int = Field(5_000_000, ge=1, description="most entities of a STEP or IGES file")
    step_kernel: Literal["fallback", "always"] = Field(
        "fallback", description="fallback: Open CASCADE reads the STEP files that cannot be measured without it; always: all of them"
    )
    max_string: int = Field(65_536, ge=1, description="longest string of a STEP file, in bytes")


class SandboxSettings(Section):
    """The walls around the process that reads files."""

    model_config = section("SANDBOX")
    wall_seconds: float = Field(30.0, gt=0, description="how long one file may take")
    cpu_seconds: int = Field(30, ge=1, description="how long one file may compute")
    memory_bytes: int = Field(1_500_000_000, ge=1, description="memory one file may use, beyond the loaded engine")
    file_bytes: int = Field(512_000_000, ge=1, description="largest file the engine may hold: the copy of its input, and what it prints")
    processes: int = Field(1, ge=1, description="RLIMIT_NPROC of the engine, counted over all processes of its user; 1: it starts none")
    open_files: int = Field(64, ge=16, description="files the engine may have open")
    result_bytes: int = Field(4_000_000, ge=1, description="longest answer of the engine")
    start_seconds: float = Field(60.0, gt=0, description="how long starting the engine may take")


class FeatureSettings(Section):
    version: Literal["v1", "v2", "v3", "v4"] = Field(
        "v3", validation_alias=AliasChoices("FEATURE_VERSION", "version"), description="feature version when a request names none"
    )
    prewarm_max: int = Field(
        500, ge=1, validation_alias=AliasChoices("PREWARM_MAX", "prewarm_max"), description="most vectors one prewarm job loads"
    )


class RecoverySettings(Section):
    """How a worker whose fast index failed gets it back. Searches are exact meanwhile."""

    interval_seconds: float = Field(
        300.0,
        gt=0,
        validation_alias=AliasChoices("FAISS_RECOVERY_INTERVAL_SECONDS", "interval_seconds"),
        description="how long a worker waits before it first tries a failed index again",
    )
    backoff_multiplier: float = Field(
        2.0,
        ge=1,
        validation_alias=AliasChoices("FAISS_RECOVERY_BACKOFF_MULTIPLIER", "backoff_multiplier"),
        description="how many times as long it waits after each try in vain",
    )
    max_backoff_seconds: float = Field(
        3600.0,
        gt=0,
        validation_alias=AliasChoices("FAISS_RECOVERY_MAX_BACKOFF", "max_backoff_seconds"),
        description="the longest such wait, in seconds; an index that fails again and again soon after it recovered gets it at once",
    )


class CacheSettings(Section):
    model_config = section("CACHE")
    max_vectors: int = Field(
        200_000, ge=1, description="vectors a worker process keeps in memory (about 500 bytes each), until `cadmill cache --apply`"
    )
    ttl_seconds: float = Field(0.0, ge=0, description="how long a vector may stay there; 0: as long as there is room")
    rollback_window_seconds: float = Field(
        300.0,
        gt=0,
        validation_alias=AliasChoices("CACHE_ROLLBACK_WINDOW_SECONDS", "rollback_window_seconds"),
        description="how long a new setting of the caches may be taken back, and no other one be applied",
    )


class IndexSettings(Section):
    """How similar parts are searched for."""

    model_config = section("INDEX")
    engine: Literal["approximate", "exact", "pgvector"] = Field(
        "approximate", description="approximate: faiss (exact up to CADMILL_INDEX_FLAT_MAX vectors); exact: numpy; pgvector: PostgreSQL"
    )
    flat_max: int = Field(100_000, ge=1, description="vectors of a family that faiss compares one by one; above it the nearest lists only")
    hnsw_above: int = Field(20_000, ge=0, description="vectors of a family above which pgvector gets an HNSW index")
    memory_bytes: int = Field(2_000_000_000, ge=1, description="galleries a worker process keeps; the least recently used leave first")
    snapshot_above: int = Field(20_000, ge=0, description="vectors above which a gallery is kept on disk too, to be there sooner")
    parallel_threshold: int = Field(
        50,
        ge=1,
        validation_alias=AliasChoices("BATCH_SIMILARITY_PARALLEL_THRESHOLD", "parallel_threshold"),
        description="queries of a chunk above which they are searched in parallel, where that pays",
    )
    parallel_workers: int = Field(
        4,
        ge=1,
        validation_alias=AliasChoices("BATCH_SIMILARITY_PARALLEL_WORKERS", "parallel_workers"),
        description="threads that search in parallel, at most one a processor",
    )
