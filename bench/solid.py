"""What solids cost: our own share of a STEP extraction, and STL to vector against the same measures by trimesh.

    python -m bench.solid --step FOLDER --stl FOLDER [--rounds 3]

Share: 1 - time inside Open CASCADE / whole extraction, file by file. Open CASCADE's are only the calls that work on a whole model or
shape: reading, transfer and release, sewing, meshing, exact properties, boxes, collecting faces or edges, whether all faces have
triangles, and writing these as STL (its own code but for the stream in memory). Ours is the rest: checks of the text, names, welding
the mesh, the vector, the result, and all questions to single faces and edges, although most of their time is the kernel's and the
binding's. The vector alone, from the welded mesh to its slots, is told too.

STL: reading and the whole v4 vector, against trimesh's load, area, volume, inertia, convex hull and face adjacency.
Both ways take turns on one file after the other, so what else the machine does hits both; the best round of each counts.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

# as in the sandbox; read while numpy is loaded
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import trimesh

from foundation.engine_settings import CadSettings
from foundation.errors import Failure
from tasks.vocabulary import FeatureVersion
from workers.cad.brep.kernel import need_kernel
from workers.cad.stl import read_stl
from workers.features.extraction import extract
from workers.features.solid import SolidStudy
from workers.features.vector import features

SAMPLES = Path(__file__).parents[1] / "tests" / "data"
# the kernel's share is measured where it does the work
LIMITS = CadSettings(step_kernel="always")
# static methods of the kernel, by the modules of workers.cad.brep that call them
_CALLS = {
    "body": {
        "TopExp": ("MapShapes_s",),
        "BRepGProp": ("SurfaceProperties_s", "VolumeProperties_s"),
        "BRepBndLib": ("Add_s", "AddOptimal_s"),
        "BRepTools": ("Triangulation_s",),
    },
    "sewing": {"TopExp": ("MapShapes_s",)},
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--step", type=Path, default=SAMPLES / "step")
    options.add_argument("--stl", type=Path, default=SAMPLES / "stl")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--json", type=Path, help="write the figures there")
    chosen = options.parse_args()
    figures: dict[str, Any] = {}
    if files := found(chosen.stl, ".stl"):
        figures["stl"] = stl(files, chosen.rounds)
    if files := found(chosen.step, ".step", ".stp"):
        figures["step"] = step(files, chosen.rounds)
    if chosen.json:
        chosen.json.write_text(json.dumps(figures))


def found(folder: Path, *endings: str) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in endings)


def stl(files: list[Path], rounds: int) -> dict[str, Any]:
    rows = [row for path in files if (row := side_by_side(path, rounds)) is not None]
    ours, theirs = [row[0] * 1000 for row in rows], [row[1] * 1000 for row in rows]
    ratios = sorted(one / other for one, other in rows)
    print(
        f"STL: {len(rows)} of {len(files)} files; ms, median: ours {statistics.median(ours):.2f}, trimesh {statistics.median(theirs):.2f}; "
        f"of medians {statistics.median(ours) / statistics.median(theirs):.3f}x, of sums {sum(ours) / sum(theirs):.3f}x; "
        f"file by file {spread(ratios, 'x')}"
    )
    medians, sums = statistics.median(ours) / statistics.median(theirs), sum(ours) / sum(theirs)
    return {"files": len(rows), "of_medians": medians, "of_sums": sums, "ratios": ratios}


def side_by_side(path: Path, rounds: int) -> tuple[float, float] | None:
    """Best seconds of ours and of trimesh; None for what one of them cannot read."""
    ways: tuple[Callable[[Path], None], ...] = (ours, theirs)
    best = [float("inf"), float("inf")]
    for _ in range(rounds):
        for at, way in enumerate(ways):
            started = time.perf_counter()
            try:
                way(path)
            except (Failure, ValueError) as refused:
                print(f"  left out: {path.name}: {refused}")
                return None
            best[at] = min(best[at], time.perf_counter() - started)
    return best[0], best[1]


def ours(path: Path) -> None:
    geometry: Any = read_stl(path, LIMITS).geometry
    features(SolidStudy(geometry), FeatureVersion.V4)


def theirs(path: Path) -> None:
    mesh = trimesh.load_mesh(path)
    for measure in ("area", "volume", "moment_inertia", "face_adjacency"):
        getattr(mesh, measure)
    _ = mesh.convex_hull.volume


class Kernel:
    """Seconds of this process within the kernel, and within the vector, of one extraction; calls within calls count once."""

    def __init__(self) -> None:
        from workers.cad.brep import body, sewing, transfer
        from workers.features import extraction

        modules = {"body": body, "sewing": sewing}

        self.seconds = self.vector = 0.0
        self._inside = False
        self._shapes: list[Any] = []
        for module, classes in _CALLS.items():
            for name, methods in classes.items():
                kernel = getattr(modules[module], name)
                setattr(modules[module], name, SimpleNamespace(**{method: self._timed(getattr(kernel, method)) for method in methods}))
        body.BRepMesh_IncrementalMesh = self._timed(body.BRepMesh_IncrementalMesh)
        writing = self._timed(body.StlAPI_Writer.Write)
        body.StlAPI_Writer = type("Writer", (body.StlAPI_Writer,), {"Write": lambda *told: writing(*told)})
        # few steps of ours between long ones of the kernel
        for name in ("_joined", "_solids"):
            setattr(sewing, name, self._timed(getattr(sewing, name)))
        reading = self._timed(transfer.read_step_shape)

        def kept(data: bytes) -> Any:
            told = reading(data)
            self._shapes.append(told.shape)  # so that it is released where that is timed
            return told

        transfer.read_step_shape = kept
        for name in ("_solid", "features"):
            setattr(extraction, name, self._counted(getattr(extraction, name)))

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            started = time.process_time()
            try:
                return call(*arguments)
            finally:
                self.vector += time.process_time() - started

        return counted

    def _timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            if self._inside:
                return call(*arguments)
            self._inside, started = True, time.process_time()
            try:
                return call(*arguments)
            finally:
                self.seconds += time.process_time() - started
                self._inside = False

        return timed

    def release(self) -> None:
        self._timed(self._shapes.clear)()


def step(files: list[Path], rounds: int) -> dict[str, Any]:
    need_kernel()
    kernel = Kernel()
    gc.collect()
    gc.freeze()  # as the zygote does
    rows = []
    for path in files:
        best: tuple[float, float, float] | None = None
        for _ in range(rounds):
            kernel.seconds, kernel.vector, started = 0.0, 0.0, time.process_time()
            try:
                extract(path, path.name, FeatureVersion.V4, LIMITS)
            except Failure as failure:
                print(f"  left out: {path.name}: {failure.code}")
                kernel.release()
                break
            kernel.release()
            whole = time.process_time() - started
            if best is None or whole < best[0]:
                best = whole, kernel.seconds, kernel.vector
        if best is not None:
            rows.append(best)
    shares = sorted(1 - inside / whole for whole, inside, _ in rows)
    total, within, vector = (sum(column) for column in zip(*rows, strict=True))
    vectors = sorted(part / whole for whole, _, part in rows)
    own = statistics.median(whole - inside for whole, inside, _ in rows) * 1000
    print(
        f"STEP: {len(rows)} of {len(files)} files; our share of the CPU time: of sums {1 - within / total:.2%} of {total:.1f} s; "
        f"file by file {spread([100 * share for share in shares], ' %')}; ours in the median {own:.2f} ms; "
        f"the vector alone: of sums {vector / total:.2%}, {spread([100 * share for share in vectors], ' %')}"
    )
    return {
        "files": len(rows),
        "of_sums": 1 - within / total,
        "shares": shares,
        "own_ms": own,
        "vector_of_sums": vector / total,
        "vectors": vectors,
    }


def spread(values: list[float], unit: str) -> str:
    """Median, and what lies between the tenth and the ninetieth percentile, of ascending values."""
    low, high = values[len(values) // 10], values[len(values) * 9 // 10]
    return f"median {statistics.median(values):.3f}{unit} (p10 {low:.3f}, p90 {high:.3f})"


if __name__ == "__main__":
    main()
