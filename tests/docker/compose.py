"""docker/compose.yml as a test reads it: merged, with its variables filled in as Compose would."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from tests.docker.image import DOCKER

MUST = {"CADMILL_POSTGRES_PASSWORD": "secret", "CADMILL_SECRET": "s" * 32, "ADMIN_TOKEN": "t" * 32}
_VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")
OURS = ("setup", "api", "grpc", "compute", "courier", "beat-a", "beat-b", "flower")


def text() -> str:
    return (DOCKER / "compose.yml").read_text()


def load(variables: Mapping[str, str]) -> dict[str, Any]:
    """The file with its variables filled in. Raises KeyError with the message of a variable that must be set."""

    def fill(match: re.Match[str]) -> str:
        name, sign, rest = match.groups()
        if variables.get(name):
            return variables[name]
        if sign != "-":
            raise KeyError(name, rest)
        return str(rest)

    return dict(yaml.safe_load(_VARIABLE.sub(fill, text())))


def services(**variables: str) -> dict[str, dict[str, Any]]:
    return dict(load({**MUST, **variables})["services"])
