"""The one table of codes, in three parts by what it is about. A code is never reused for something else.

The table says of each code who caused it, how bad it is, whether asking again can help, whether it passes by itself, what gets over
it, which HTTP and gRPC status it wears, what was wrong (public sentence) and what to do about it. `docs/errors.md` shows it all.
"""

from __future__ import annotations

from foundation.codes import files, requests, services
from foundation.codes.row import Code

CODES: dict[str, Code] = {row.name: row for part in (requests, files, services) for row in part.ROWS}

RENAMED: dict[str, str] = {}
"""Old names of codes, each with the name it has now. Clients may go on using them, and rows of the database hold them for good."""


def current(name: str) -> str:
    """The name that a code has now; what was never a code stays as it is."""
    return RENAMED.get(name, name)
