"""The files to start from, and mutants of them: each follows from the files, a seed and its number alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random

from tasks.recognition import HEAD_BYTES, recognise
from tasks.vocabulary import Format
from tests.fuzz.mutations import blind, dxf, iges, step, stl
from tests.fuzz.mutations.dxf_tags import NotTags

TESTS = Path(__file__).parents[1]
SAMPLES = TESTS / "data"
Mutate = Callable[[bytes, bytes, Random], bytes]

_AWARE: dict[Format, Mutate] = {Format.DXF: dxf.mutate, Format.STL: stl.mutate, Format.STEP: step.mutate, Format.IGES: iges.mutate}
# how often each format gets its turn: a mutant of STEP costs as much time as ten of DXF
_TURNS = {Format.DXF: 8, Format.STL: 4, Format.STEP: 3, Format.IGES: 3}
_SLIPS = (1, 1, 1, 1, 2, 2, 3)
_BLIND = 0.1  # the share of slips that know nothing of the format
_LARGEST = 1_500_000  # a mutant that grows beyond is cut: size is not what is looked for


def folders() -> list[Path]:
    """The development set, where it is, and the samples of the tests."""
    data = Path(os.environ.get("CADMILL_DATA") or TESTS.parents[1] / "shared" / "data")
    return [data, SAMPLES] if data.is_dir() else [SAMPLES]


@dataclass(frozen=True, slots=True)
class Mutant:
    """Mutant `number` of a campaign."""

    number: int
    format: Format  # what it was before
    source: str
    data: bytes

    @property
    def name(self) -> str:
        return f"{self.number}.{self.format.value}"


class Corpus:
    """Real and bad files by format, none larger than `largest` bytes."""

    def __init__(self, roots: Iterable[Path], largest: int = 300_000) -> None:
        self.files: dict[Format, list[Path]] = {fmt: [] for fmt in _AWARE}
        for path in sorted(path for root in roots for path in root.rglob("*") if path.is_file()):
            size = path.stat().st_size
            if 0 < size <= largest:
                with path.open("rb") as stream:
                    found = recognise(stream.read(HEAD_BYTES), size)
                if found in self.files:
                    self.files[found].append(path)
        self.formats = [fmt for fmt, files in self.files.items() if files]

    def mutant(self, seed: int, number: int, only: Format | None = None) -> Mutant:
        chance = Random(f"{seed}:{number}")
        fmt = only or chance.choices(self.formats, [_TURNS[one] for one in self.formats])[0]
        path, donor = self._one(fmt, chance), self._one(fmt, chance)
        data, other = _read(path), _read(donor)
        for _ in range(chance.choice(_SLIPS)):
            data = _slipped(fmt, data, other, chance)[:_LARGEST]
        return Mutant(number, fmt, path.name, data)

    def _one(self, fmt: Format, chance: Random) -> Path:
        """Mostly the smaller of two: a slip in a small file is more likely to tell, and sooner read."""
        one, other = chance.choice(self.files[fmt]), chance.choice(self.files[fmt])
        return min(one, other, key=lambda path: path.stat().st_size) if chance.random() < 0.8 else one


@lru_cache(maxsize=256)
def _read(path: Path) -> bytes:
    return path.read_bytes()


def _slipped(fmt: Format, data: bytes, donor: bytes, chance: Random) -> bytes:
    if chance.random() >= _BLIND:
        try:
            return _AWARE[fmt](data, donor, chance) or data
        except (NotTags, step.NoRecords, iges.NoRecords):
            pass  # earlier slips broke it too much for that
    return chance.choice(blind.MUTATIONS)(data, donor, chance) or data
