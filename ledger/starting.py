"""What a ring does: start the chunk whose turn it is, which need not be the one it names."""

from __future__ import annotations

from ledger import jobs, line
from ledger.session import Tx


def start(
    tx: Tx, chosen: str, rung: str, owner: str, lease_seconds: float, window: int, build: str | None = None
) -> tuple[jobs.Claimed | None, list[tuple[str, str, int]]]:
    """Claim the chunk that `line.choose` has chosen for a ring, and mark the chunks to be rung in its place: (id, queue, step).

    None: somebody else was faster; nothing was written."""
    claimed = jobs.claim(tx, chosen, owner, lease_seconds, build)
    if claimed is None:
        return None, []
    lines = {(claimed.queue, claimed.step)}
    passed_over = line.unring(tx, rung) if chosen != rung else None
    if passed_over is not None:
        lines.add(passed_over)  # another one if the chosen chunk is of a better step
    return claimed, [(one, queue, step) for queue, step in sorted(lines) for one in jobs.ring(tx, queue, step, window)]
