"""Probe: work of a known length that fails or dies on demand, for benchmarks and fault tests. Exists only with CADMILL_PROBE=1."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tasks.contract import Answer, Request

Fault = Literal["fail", "unsteady", "raise", "die", "die_once"]


class ProbeRequest(Request):
    items: int = Field(1, ge=1, le=1_000_000)
    ms: float = Field(0.0, ge=0, le=600_000, description="how long one item takes")
    act: Literal["sleep", "spin", "deaf"] = Field("sleep", description="deaf: spins and does not look whether it is still wanted")
    bytes: int = Field(0, ge=0, le=2**53, description="what an item weighs when chunks are cut")
    faults: dict[int, Fault] = Field(
        default_factory=dict,
        description="what goes wrong at which index: fail; unsteady (once); raise (a defect); die (kills its process); die_once",
    )


class ProbeAnswer(Answer):
    index: int
    pid: int
    attempt: int
