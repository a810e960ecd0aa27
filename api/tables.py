"""Lines of CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any


def line(values: Iterable[Any]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow([_safe(value) for value in values])
    return text.getvalue()


def _safe(value: Any) -> Any:
    """A text that a spreadsheet would take for a formula is told as text."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
