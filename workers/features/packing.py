"""Vectors as bytes: float32, little endian, as the ledger stores them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def packed(vector: Sequence[float]) -> bytes:
    return np.asarray(vector, dtype="<f4").tobytes()


def unpacked(data: bytes) -> npt.NDArray[np.float32]:
    return np.frombuffer(data, dtype="<f4")
