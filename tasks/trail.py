"""What the clock does with the audit trail: hand it to the sinks, anchor its ends outside, let go what is old."""

from __future__ import annotations

from functools import lru_cache

from foundation import sealing
from foundation.settings import Settings
from foundation.telemetry import logger
from ledger.session import Ledger
from ledger.trail import letting_go, reading
from ledger.trail.anchors import AnchorFile, Signer
from ledger.trail.sinks import FileSink, Sink, hand_over

_DAY = 86_400.0


@lru_cache(maxsize=1)
def _outside(settings: Settings) -> tuple[list[Sink], AnchorFile | None]:
    """What this process writes to; they remember how far they have read."""
    asked = settings.audit
    anchors = AnchorFile(asked.anchor_file, Signer(sealing.of(settings))) if asked.anchor_file else None
    return [FileSink(asked.file)] if asked.file else [], anchors


def tell_outside(ledger: Ledger, settings: Settings) -> None:
    """Hand over and anchor what is new. A file that cannot be written is reported, and does not keep upkeep from its work."""
    if settings.audit.file is None and settings.audit.anchor_file is None:
        return
    sinks, anchors = _outside(settings)
    try:
        for sink in sinks:
            hand_over(ledger, sink)
        if anchors is not None:
            with ledger.read() as tx:
                heads = {chain: head for chain, (head, _floor) in reading.ends(tx).items()}
            anchors.write(heads, ledger.clock.now(), settings.audit.anchor_seconds)
    except OSError as error:
        logger.error("the audit trail could not be written outside of the database: %s", error)


def let_go(ledger: Ledger, settings: Settings) -> None:
    """Raise the floor of each chain to what is older than its retention. `upkeep.prune` removes what lies below, in bites."""
    if settings.retention.audit_days is None:
        return
    before = ledger.clock.now() - settings.retention.audit_days * _DAY
    with ledger.read() as tx:
        chains = sorted(reading.ends(tx))
    for chain in chains:
        with ledger.write() as tx:
            letting_go.raise_floor(tx, chain, before)
