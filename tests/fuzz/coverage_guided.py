"""Coverage-guided fuzzing of the readers that are Python, one at a time, in this process: untyped errors and slowness end it.

    .venv/bin/uv sync --frozen --all-extras        adds atheris (the extra `fuzz`), which nothing else needs
    .venv/bin/python -m tests.fuzz.coverage_guided dxf CORPUS -max_total_time=600 -timeout=20 -rss_limit_mb=4000

What follows the name of the reader goes to libFuzzer; CORPUS is a folder of files to start from, where it adds those that reach
something new. Half of the mutations are ours, so that it gets beyond the first check of a text.
"""

from __future__ import annotations

import logging
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["workers", "ezdxf", "tasks"]):
    # what the reference imports when the first drawing needs it
    import ezdxf.filemanagement
    import ezdxf.path
    import ezdxf.recover  # noqa: F401

    from foundation.engine_settings import CadSettings
    from foundation.errors import Failure
    from tests.fuzz.mutations import dxf, iges, step, stl
    from tests.fuzz.mutations.dxf_tags import NotTags
    from workers.cad.brep import iges_records, step_names, step_text
    from workers.cad.dxf.fast.reader import opened_fast
    from workers.cad.dxf.fast.tags import NotCovered
    from workers.cad.dxf.reader import measured
    from workers.cad.dxf.reference import opened
    from workers.cad.stl import read_stl

LIMITS = CadSettings(max_entities=100_000, max_triangles=100_000)
_COPY = Path(tempfile.mkdtemp(), "input")
# where nothing is left that our mutations know, libFuzzer's own go on
_NO_SLIP = (NotTags, step.NoRecords, iges.NoRecords, ValueError, IndexError)


def _path(data: bytes) -> Path:
    _COPY.write_bytes(data)
    return _COPY


def _step(data: bytes) -> None:
    step_names.header(data)
    step_names.products(data)
    step_names.units(data)
    step_text.checked(data, LIMITS)


TARGETS: dict[str, tuple[Callable[[bytes], object], Callable[[bytes, bytes, random.Random], bytes]]] = {
    "dxf": (lambda data: measured(opened_fast(data), LIMITS), dxf.mutate),
    "dxf_reference": (lambda data: measured(opened(_path(data)), LIMITS), dxf.mutate),
    "stl": (lambda data: read_stl(_path(data), LIMITS), stl.mutate),
    "step": (_step, step.mutate),
    "iges": (lambda data: iges_records.checked(data, LIMITS), iges.mutate),
}


def main() -> None:
    name = sys.argv.pop(1)
    read, mutate = TARGETS[name]
    logging.disable(logging.CRITICAL)

    def once(data: bytes) -> None:
        try:
            read(data)
        except (Failure, NotCovered):
            return

    def slipped(data: bytes, largest: int, seed: int) -> bytes:
        chance = random.Random(seed)
        try:
            if chance.random() < 0.5:
                return bytes(mutate(data, data, chance))[:largest]
        except _NO_SLIP:
            pass
        return bytes(atheris.Mutate(data, largest))

    atheris.Setup(sys.argv, once, custom_mutator=slipped)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
