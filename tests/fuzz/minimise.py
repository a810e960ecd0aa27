"""The smallest file that still shows what a mutant showed: `python -m tests.fuzz.minimise broken/1a2b3c4d-17.dxf --out seed.dxf`.

Leaves out ever smaller pieces as long as the same promise is broken or the same thing is worth a look (delta debugging: Zeller and
Hildebrandt, "Simplifying and isolating failure-inducing input", 2002).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from foundation.engine_settings import SandboxSettings
from tasks.recognition import BINARY_DXF, claimed
from tasks.vocabulary import Format
from tests.fuzz.corpus import Mutant
from tests.fuzz.judge import Look, broken, notable
from tests.fuzz.supervisor import Supervisor

_ROUNDS = 2000  # questions at most

Pieces = list[bytes]


def pieces(data: bytes, fmt: Format) -> Pieces:
    """What may be left out as one: tags, entities, lines; bytes where there is nothing larger."""
    if fmt is Format.DXF and data.startswith(BINARY_DXF):
        return [data[at : at + 1] for at in range(len(data))]
    if fmt is Format.STEP:
        return [piece + b";" for piece in data.removesuffix(b";").split(b";")]
    lines = data.splitlines(keepends=True)
    return [b"".join(lines[at : at + 2]) for at in range(0, len(lines), 2)] if fmt is Format.DXF else lines


def minimised(parts: Pieces, shows: Callable[[bytes], bool]) -> Pieces:
    """The parts without which `shows` would no longer hold."""
    size, asked = len(parts) // 2, 0
    while size and asked < _ROUNDS:
        at = 0
        while at < len(parts) and asked < _ROUNDS:
            less = parts[:at] + parts[at + size :]
            asked += 1
            if shows(b"".join(less)):
                parts = less
            else:
                at += size
        size //= 2
    return parts


def main() -> int:
    options = argparse.ArgumentParser("python -m tests.fuzz.minimise", description=__doc__)
    options.add_argument("mutant", type=Path)
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--wall", type=float, default=10.0, help="seconds one file may take (default 10)")
    chosen = options.parse_args()
    data, fmt = chosen.mutant.read_bytes(), claimed(chosen.mutant.name)
    note = chosen.mutant.with_name(chosen.mutant.name + ".json")
    look = Look(**json.loads(note.read_text())["look"]) if note.is_file() else Look()
    if fmt is None:
        raise SystemExit(f"{chosen.mutant.name} does not say what it is by .dxf, .stl, .step or .iges")
    with Supervisor(SandboxSettings(wall_seconds=chosen.wall, cpu_seconds=max(int(chosen.wall), 1))) as supervisor:

        def seen(candidate: bytes) -> set[str]:
            answer = supervisor.answer(Mutant(0, fmt, chosen.mutant.name, candidate), look)
            return {*broken(fmt, answer, supervisor.limits), *notable(fmt, answer)}

        wanted = seen(data)
        if not wanted:
            print("nothing is seen of this file (any more)")
            return 1
        print("\n".join(sorted(wanted)), flush=True)
        small = b"".join(minimised(pieces(data, fmt), lambda candidate: bool(candidate) and wanted <= seen(candidate)))
    chosen.out.write_bytes(small)
    print(f"{len(data)} bytes before, {len(small)} now: {chosen.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
