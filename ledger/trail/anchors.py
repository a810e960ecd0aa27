"""The ends of the chains, signed and written down outside: what finds a cut tail and a trail that was written anew.

A line of the anchor file is canonical JSON: when, the heads that moved since the line before (number and hash by chain), the hash of the
line before, the public key, and an Ed25519 signature over the rest. Whoever knows the public key can check it; only this installation's
secret can make one. What is anchored can be taken back by nobody who cannot write to that file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from foundation import canonical
from foundation.clock import iso
from foundation.errors import Failure
from foundation.sealing import Sealing
from ledger.trail.chain import GENESIS, Break, Place
from ledger.trail.lines import Appended

FILE = "the anchor file"  # stands where a break names its chain


class Signer:
    """The key of this installation, from its secret."""

    def __init__(self, sealing: Sealing) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(sealing.pepper("audit anchor"))
        self.key = self._private.public_key().public_bytes_raw().hex()

    def line(self, now: float, heads: Mapping[str, Place], previous: str) -> str:
        ends = {chain: [place.number, place.hash] for chain, place in heads.items()}
        told = {"at": iso(now), "heads": ends, "previous": previous, "key": self.key}
        return canonical.text(told | {"signature": self._private.sign(canonical.text(told).encode()).hex()})


@dataclass(slots=True)
class Anchors:
    """What an anchor file says. `key`: the only one that counts; none given: that of the first line."""

    key: str | None = None
    places: dict[str, dict[int, set[str]]] = field(default_factory=dict)
    heads: dict[str, Place] = field(default_factory=dict)  # the latest of each chain
    lines: int = 0
    last_at: str | None = None
    previous: str = GENESIS
    breaks: list[Break] = field(default_factory=list)

    def see(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.lines += 1
            told = _read(line)
            self.key = self.key or (str(told["key"]) if told else None)
            if told is None or told["key"] != self.key or not _signed(told):
                self.breaks.append(Break("anchor_forged", FILE, self.lines))
                continue
            if told["previous"] != self.previous:
                self.breaks.append(Break("anchor_missing", FILE, self.lines))
            self.previous, self.last_at = hashed(line), str(told["at"])
            for chain, (number, told_hash) in told["heads"].items():
                self.places.setdefault(chain, {}).setdefault(int(number), set()).add(str(told_hash))
                self.heads[chain] = Place(int(number), str(told_hash))


def hashed(line: str) -> str:
    return hashlib.sha256(line.encode()).hexdigest()


def _read(line: str) -> dict[str, Any] | None:
    try:
        told = json.loads(line)
        known = isinstance(told, dict) and {"at", "heads", "previous", "key", "signature"} <= set(told)
        return told if known and all(len(place) == 2 for place in told["heads"].values()) else None
    except (ValueError, AttributeError, TypeError):
        return None


def _signed(told: dict[str, Any]) -> bool:
    rest = {name: value for name, value in told.items() if name != "signature"}
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(told["key"]))
        key.verify(bytes.fromhex(told["signature"]), canonical.text(rest).encode())
        return True
    except (InvalidSignature, ValueError, TypeError):
        return False


def read(path: Path, key: str | None = None) -> Anchors:
    """A whole file. Raises OSError."""
    found = Anchors(key)
    with path.open(encoding="utf-8", errors="replace") as file:
        found.see(line.rstrip("\n") for line in file if line.endswith("\n"))  # an unfinished last line was never an anchor
    return found


def of(path: Path | None, sealing: Sealing) -> Anchors:
    """What this installation has anchored in a file, if it does and the file is here. Raises ANCHORS_UNREADABLE."""
    key = Signer(sealing).key
    try:
        return read(path, key) if path is not None and path.exists() else Anchors(key)
    except OSError as error:
        raise Failure("ANCHORS_UNREADABLE", {"reason": error.strerror or type(error).__name__}) from error


class AnchorFile:
    """Writes the anchors of this installation. Any number of processes may: each reads first what the others have written."""

    def __init__(self, path: Path, signer: Signer) -> None:
        self._file, self._signer = Appended(path), signer
        self._known = Anchors(signer.key)

    def write(self, heads: Mapping[str, Place], now: float, every: float) -> int:
        """Anchor the heads that moved, unless the last anchor is younger than `every` seconds; how many. Raises OSError."""
        with self._file.held() as file:
            if file.begun_anew:
                self._known = Anchors(self._signer.key)
            self._known.see(file.news())
            moved = {chain: place for chain, place in heads.items() if self._known.heads.get(chain) != place}
            if not moved or (self._known.last_at is not None and str(iso(now - every)) < self._known.last_at):
                return 0
            file.write([self._signer.line(now, moved, self._known.previous) + "\n"])
        return len(moved)
