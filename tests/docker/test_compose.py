"""The rules of compose.yml: what every container has, what none may have, and that it runs what `cadmill up` runs."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from api.cli.processes import Shape, table
from foundation import production
from foundation.settings import Settings
from tasks.catalogue import compute_queues, courier_queues
from tests.docker import compose
from tests.docker.compose import OURS
from tests.docker.image import read
from tests.stack import ROOT

THEIRS = ("postgres", "redis")
SERVICES = compose.services()


def test_all_services_are_there_and_no_others() -> None:
    assert set(SERVICES) == {*OURS, *THEIRS}


@pytest.fixture(params=sorted(SERVICES))
def service(request: pytest.FixtureRequest) -> dict[str, Any]:
    return SERVICES[request.param]


def test_every_service_runs_without_rights_and_cannot_get_any(service: dict[str, Any]) -> None:
    assert service["user"] in ("10001:10001", "postgres", "redis")
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert service["pids_limit"] <= 512
    for never in ("privileged", "cap_add", "devices", "network_mode", "pid", "ipc", "volumes_from", "container_name"):
        assert never not in service, never


def test_every_service_is_healthy_by_a_check_or_runs_once(service: dict[str, Any]) -> None:
    check = service["healthcheck"]
    if service is SERVICES["setup"]:
        assert check == {"disable": True}
        assert service["restart"] == "no"
    else:
        assert check["test"][0] == "CMD"
        assert {"interval", "timeout", "start_period", "retries"} <= set(check)
        assert service["restart"] == "unless-stopped"
        assert "stop_grace_period" in service


def test_every_service_keeps_its_log_short(service: dict[str, Any]) -> None:
    assert {"max-size", "max-file"} == set(service["logging"]["options"])


def test_every_port_is_open_on_this_machine_only(service: dict[str, Any]) -> None:
    for port in service.get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port), port


def test_every_image_is_pinned(service: dict[str, Any]) -> None:
    name, _, tag = service["image"].partition(":")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    if "build" in service:
        assert (name, tag) == (f"cadmill-{service['build']['dockerfile'].removeprefix('docker/').split('.')[0]}", version)
        assert (ROOT / service["build"]["dockerfile"]).is_file()
        assert (ROOT / "docker" / service["build"]["context"]).resolve() == ROOT
    else:
        assert re.fullmatch(r"(17|7\.\d+)-[a-z]+", tag), service["image"]


def test_every_volume_is_named_and_no_folder_of_the_machine_is_mounted(service: dict[str, Any]) -> None:
    declared = compose.load(compose.MUST)["volumes"]
    assert {volume.partition(":")[0] for volume in service.get("volumes", [])} <= set(declared)


def test_whoever_touches_files_shares_the_volume_and_nobody_else() -> None:
    holders = {name for name in OURS if "files:/data" in SERVICES[name].get("volumes", [])}
    assert holders == {"setup", "api", "grpc", "compute", "courier"}


def test_grpc_runs_only_where_it_is_asked_for() -> None:
    assert {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service} == {"grpc": ["grpc"]}


def test_two_beats_tick_alike() -> None:
    beats = {name: service for name, service in SERVICES.items() if "beat" in service.get("command", [])}
    assert set(beats) == {"beat-a", "beat-b"}
    assert beats["beat-a"] == beats["beat-b"]


def test_only_who_must_talk_to_the_world_can() -> None:
    networks = compose.load(compose.MUST)["networks"]
    assert networks["inside"] == {"internal": True}
    assert all("inside" in service["networks"] for service in SERVICES.values())
    # api, grpc and flower have a published port, courier calls receivers; compute opens strangers' files
    assert {name for name, service in SERVICES.items() if "outside" in service["networks"]} == {"api", "grpc", "courier", "flower"}


def test_nothing_of_ours_starts_before_the_database_is_in_shape_and_redis_answers() -> None:
    assert SERVICES["setup"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for name in set(OURS) - {"setup"}:
        assert SERVICES[name]["depends_on"] == {
            "setup": {"condition": "service_completed_successfully"},
            "redis": {"condition": "service_healthy"},
        }


@pytest.mark.parametrize("name", compose.MUST)
def test_without_a_secret_it_does_not_start_and_says_where_to_set_it(name: str) -> None:
    for variables in ({}, {name: ""}):
        with pytest.raises(KeyError, match=r"set it in docker/\.env"):
            compose.load({key: value for key, value in compose.MUST.items() if key != name} | variables)
    for name in re.findall(r"(\w*(?:PASSWORD|TOKEN|SECRET|KEY)\w*)", compose.text()):
        assert not re.search(rf"\$\{{{name}(:?-|\}})", compose.text()), f"{name} has a default, or may be empty"


def test_nothing_of_ours_starts_with_a_door_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OURS:
        with monkeypatch.context() as container:
            for variable, value in SERVICES[name]["environment"].items():
                container.setenv(variable, value)
            here = Settings.load()
        assert here.process.production, name
        production.check(here, api=name == "api")
    assert {name for name in OURS if "ADMIN_TOKEN" in SERVICES[name]["environment"]} == {"api"}


def test_redis_keeps_what_it_is_given_and_drops_nothing() -> None:
    command = SERVICES["redis"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--maxmemory-policy"] == "noeviction"
    assert "redis:/data" in SERVICES["redis"]["volumes"]


def test_the_processes_are_those_of_cadmill_up() -> None:
    """All but where they listen, what the nodes are called and where beat writes."""
    shape = Shape(Path("/tmp"), 3, 8000, 2, tuple(compute_queues()), tuple(courier_queues()), 5555, 50051)
    for process in table(shape):
        ours = [word.replace(".8000@%h", "@%h") for word in ("python", *process.argv[1:])]
        if process.name == "api":
            at = ours.index("--fd")
            ours[at : at + 2] = ["--host", "0.0.0.0", "--port", "8000"]
        if process.name == "flower":
            ours = [word.replace("127.0.0.1", "0.0.0.0") for word in ours]
        assert process.argv[0] == sys.executable
        for name in ("beat-a", "beat-b") if process.name == "beat" else (process.name,):
            assert SERVICES[name]["command"] == ours, name


def test_an_image_alone_does_what_compose_makes_it_do() -> None:
    """Its own command and check are those of its first service; only -E is for who has a Flower."""
    for name, service in (("api", SERVICES["api"]), ("worker", SERVICES["compute"])):
        last = {line.word: line for line in read(name)}
        assert last["CMD"].words == [word for word in service["command"] if word != "-E"]
        assert last["HEALTHCHECK"].words == service["healthcheck"]["test"][1:]
