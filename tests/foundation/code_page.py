"""Writes `docs/errors.md` from the table of codes. `make docs` runs it, a test fails when the page differs."""

from __future__ import annotations

from foundation import codes
from foundation.codes import CODES, files, requests, services
from foundation.codes.row import Code, Recovery
from tests.stack import ROOT

PAGE = ROOT / "docs" / "errors.md"

_HEAD = """# The codes of everything that can go wrong

Written by `make docs` from `foundation/codes/`, the one table; a test fails when this page no longer is what it says. `cadmill codes` shows
the same, and so does `GET /api/v1/errors/codes`. What a library throws is given one of these codes by `foundation/mapping/`.

**Retry**: a program may send the same again, and that can succeed. **Passes**: the condition ends without a change of what was asked for.
**Recovery**, what gets over it:

{recovery}

A code never means something else than it did. Where its meaning had to change, its version is told behind it; where its name had to,
the old one goes on working.
"""
_RECOVERY = {
    Recovery.RETRY: "the same again after a moment, by itself.",
    Recovery.WAIT: "the same again, but not before a time or an event that is told.",
    Recovery.DEGRADE: "something else answers meanwhile, less well.",
    Recovery.QUARANTINE: "what caused it is kept away from the rest.",
    Recovery.ASK_USER: "whoever asked changes what they asked for.",
    Recovery.PAGE_OPERATOR: "whoever runs this server mends something.",
}
_PARTS = (
    ("Who asks, and what for", requests.ROWS),
    ("Archives, files, the engine, the index, models", files.ROWS),
    ("What stands below and around", services.ROWS),
)


def page() -> str:
    recovery = "\n".join(f"- `{name.value}`: {_RECOVERY[name]}" for name in Recovery)
    reserved = ", ".join(f"`{name}`" for name, row in CODES.items() if row.reserved)
    renamed = "\n".join(f"- `{old}` is `{new}`" for old, new in sorted(codes.RENAMED.items())) or "None so far."
    return "\n".join(
        [
            _HEAD.format(recovery=recovery),
            *(f"## {title}\n\n{_table(rows)}" for title, rows in _PARTS),
            f"## Reserved\n\nPromised to features that are not there yet; nothing fails with them: {reserved}.\n",
            f"## Renamed\n\n{renamed}\n",
        ]
    )


def _table(rows: tuple[Code, ...]) -> str:
    head = "| Code | HTTP | gRPC | Source | Severity | Stage | Retry | Passes | Recovery | What was wrong, and what to do |"
    return "\n".join([head, "|" + " --- |" * 10, *map(_row, rows), ""])


def _row(row: Code) -> str:
    name = f"`{row.name}`" + (f" (version {row.version})" if row.version > 1 else "")
    said = f"{row.sentence} *{row.remedy}*".replace("|", "\\|")
    cells = (row.status, row.grpc, row.source.value, row.severity.value, row.stage.value, _yes(row.retryable), _yes(row.temporary))
    return "| " + " | ".join(map(str, (name, *cells, f"`{row.recovery.value}`", said))) + " |"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"{PAGE.relative_to(ROOT)} is written")
