"""A Dockerfile carried out without Docker: its own COPY lines and RUN lines, in a folder that stands for the root of the image.

Only what the Dockerfile copies is there, only what it installs can be imported. What differs from a real build: the Python (ours, not
the base image's), bytecode is not compiled, and the lines of `NOT_HERE` are not run because they would change this machine.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from tests.stack import ROOT

DOCKER = ROOT / "docker"
UV = Path(sys.executable).parent / "uv"
NOT_HERE = ("pip install --no-cache-dir --root-user-action=ignore uv==", "groupadd ", "apt-get ")
_KEPT = ("HOME", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR", "UV_CACHE_DIR", "UV_DEFAULT_INDEX", "XDG_CACHE_HOME")
_PLACES = re.compile(r"(?<![\w./-])/(app|data|metrics|tmp)\b")


@dataclass(frozen=True, slots=True)
class Line:
    """One instruction of a Dockerfile."""

    word: str
    rest: str

    @property
    def flags(self) -> dict[str, str]:
        """`--from=build` and the like, before anything else."""
        found = {}
        for part in self.rest.split():
            if not part.startswith("--"):
                break
            name, _, value = part.removeprefix("--").partition("=")
            found[name] = value
        return found

    @property
    def words(self) -> list[str]:
        """What follows the flags; an exec form is read as the list it is."""
        plain = " ".join(self.rest.split()[len(self.flags) :]) if self.flags else self.rest
        plain = plain.removeprefix("CMD ")
        return list(json.loads(plain)) if plain.startswith("[") else plain.split()


def read(name: str) -> list[Line]:
    """The instructions of docker/`name`.Dockerfile, continued lines joined, comments left out."""
    text = "\n".join(line for line in (DOCKER / f"{name}.Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#"))
    return [Line(*line.split(None, 1)) for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def stages(name: str) -> dict[str, list[Line]]:
    """The lines of each stage by its name; the last one, which is the image, is called ''."""
    found: dict[str, list[Line]] = {}
    for line in read(name):
        if line.word == "FROM":
            found[line.words[2] if len(line.words) == 3 else ""] = here = []
        here.append(line)
    return found


def let_through(name: str, path: str) -> bool:
    """Whether the ignore file of an image lets a file of the project into the build. The last rule that matches decides."""
    answer = True
    for rule in (DOCKER / f"{name}.Dockerfile.dockerignore").read_text().splitlines():
        pattern = rule.removeprefix("!")
        if not pattern or pattern.startswith("#"):
            continue
        parts = path.split("/")
        if pattern.startswith("**/"):
            hit = any(fnmatch(part, pattern.removeprefix("**/")) for part in parts)
        else:
            hit = any(fnmatch("/".join(parts[: n + 1]), pattern) for n in range(len(parts)))
        if hit:
            answer = rule.startswith("!")
    return answer


@dataclass(slots=True)
class Image:
    """A built image: a folder for its root, and what its last stage says."""

    name: str
    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def app(self) -> Path:
        return self.root / "app"

    @property
    def python(self) -> Path:
        return self.app / ".venv" / "bin" / "python"

    def place(self, text: str, places: Mapping[str, Path] | None = None) -> str:
        """Absolute paths of the image as they are here."""
        given = places or {}
        return _PLACES.sub(lambda match: str(given.get(match[1], self.root / match[1])), text)

    def ask(self, code: str) -> str:
        """What a line of Python prints in the image."""
        done = subprocess.run(
            [self.python, "-c", code], cwd=self.app, env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


def build(name: str, root: Path) -> Image:
    """Carry out every stage of a Dockerfile in `root`."""
    image = Image(name, root)
    known: dict[str, dict[str, str]] = {}
    for stage, lines in stages(name).items():
        image.environment = known.get(lines[0].words[0], _outside(root.parent)).copy()
        image.app.mkdir(parents=True)
        for line in lines:
            _carry_out(image, line)
        known[stage] = image.environment
        if stage:
            root.rename(root.with_name(f"{root.name}-{stage}"))
    return image


def _carry_out(image: Image, line: Line) -> None:
    match line.word:
        case "ENV":
            for pair in shlex.split(line.rest):
                key, _, value = pair.partition("=")
                image.environment[key] = image.place(value).replace("$PATH", image.environment["PATH"])
            image.environment |= {"UV_COMPILE_BYTECODE": "0"}
            image.environment.pop("UV_NO_CACHE", None)
        case "WORKDIR":
            assert line.rest == "/app", "every relative path is taken to be below /app here"
        case "COPY" if "from" in line.flags:
            source, target = line.words
            there = image.root / target.lstrip("/")
            if there.exists():
                there.rmdir()  # WORKDIR made it; anything in it would be an error here
            finished = image.root.with_name(f"{image.root.name}-{line.flags['from']}")
            shutil.move(finished / source.lstrip("/"), there)
        case "COPY":
            *sources, target = line.words
            for source in sources:
                _copy(image, source, target)
        case "RUN" if not line.rest.startswith(NOT_HERE):
            _run(image, line.rest)


def _copy(image: Image, source: str, target: str) -> None:
    from_here = ROOT / source
    assert from_here.exists(), f"{image.name}.Dockerfile copies {source}, which is not there"
    files = [from_here] if from_here.is_file() else [file for file in from_here.rglob("*") if file.is_file()]
    kept = [file for file in files if let_through(image.name, file.relative_to(ROOT).as_posix())]
    assert kept, f"{image.name}.Dockerfile copies {source}, but its ignore file keeps it out"
    for file in kept:
        inside = file.name if from_here.is_file() else file.relative_to(from_here)
        there = image.app / target / inside
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, there)


def _run(image: Image, command: str) -> None:
    """Without the network first: `make setup` has left every wheel in uv's cache, and indexes are slow to ask."""
    # uv would else choose an environment by itself, and here the one it finds may be the one these tests run in
    assert all(part.lstrip().startswith(("sync --python .venv ", "install --python .venv ")) for part in command.split("uv pip")[1:]), (
        command
    )
    for offline in ("1", "0"):
        done = subprocess.run(
            ["sh", "-euc", image.place(command)],
            cwd=image.app,
            env=image.environment | {"UV_OFFLINE": offline, "UV_VENV_CLEAR": "1"},
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
        if done.returncode == 0:
            return
        shutil.rmtree(image.root / "data", ignore_errors=True)
        shutil.rmtree(image.root / "metrics", ignore_errors=True)
    raise AssertionError(f"{image.name}.Dockerfile: RUN {command}\n{done.stdout}\n{done.stderr}")


def _outside(folder: Path) -> dict[str, str]:
    """The environment a build starts from: of ours nothing but the way to the network and uv's cache; on the PATH, a Python and uv."""
    programs = folder / "programs"
    programs.mkdir(parents=True, exist_ok=True)
    for name, target in {"uv": UV, "python3": Path(sys._base_executable)}.items():  # type: ignore[attr-defined]
        if not (programs / name).is_symlink():
            (programs / name).symlink_to(target)
    kept = {name: value for name, value in os.environ.items() if name in _KEPT or name.lower().endswith("_proxy")}
    return kept | {"PATH": f"{programs}:/usr/bin:/bin"}
