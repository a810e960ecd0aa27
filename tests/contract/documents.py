"""The OpenAPI documents as files, and what v1 promises, line by line. `make docs` writes them, tests hold them to the routes.

`docs/openapi-v1.promises` only grows by itself. A line that no longer holds is a break of v1; to break it on purpose, remove it by hand.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from api.versions import VERSIONS
from tests.stack import ROOT

PROMISES = ROOT / "docs" / "openapi-v1.promises"
_DEEPEST = 6  # properties within properties
_REQUIRED = " required"


def place(version: str) -> Path:
    return ROOT / "docs" / f"openapi-{version}.json"


def made() -> dict[str, dict[str, Any]]:
    """The documents by version, as a server of this source gives them in production's own settings: nothing of the probe, no chaos."""
    from api import documentation
    from api.app import create
    from api.house import build
    from foundation.settings import settings

    with tempfile.TemporaryDirectory() as folder:
        os.environ["CADMILL_STORAGE_DIRECTORY"] = folder
        house = build(settings())
        app = create(house)
        found = documentation.documents(app, VERSIONS)
        house.ledger.close()
    return found


def written(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def promises(document: dict[str, Any]) -> set[str]:
    """What a client may rely on: every operation, what it takes and what it answers."""
    found = set()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            here = f"{method.upper()} {path}"
            found.add(f"{here} is {operation['operationId']}")
            for one in operation.get("parameters", ()):
                found.add(f"{here} takes {one['in']} {one['name']}" + _REQUIRED * one["required"])
                found |= {f"{here} takes {one['in']} {one['name']} = {value}" for value in _values(document, one["schema"])}
            for media, content in operation.get("requestBody", {}).get("content", {}).items():
                found |= {f"{here} takes {media} {line}" for line in _asked(document, content["schema"], "", 0)}
            for status, response in operation["responses"].items():
                if status[0] in "23":
                    found.add(f"{here} answers {status}")
                    for media, content in response.get("content", {}).items():
                        found |= {f"{here} answers {status} {media} {line}" for line in _told(document, content["schema"], "", 0)}
    return found


def broken(promised: set[str], now: set[str]) -> set[str]:
    """Promises that do not hold any more, and what is newly required of those who call what was there before."""
    gone = {line for line in promised - now if line.removesuffix(_REQUIRED) not in now}  # what was required may become optional
    return gone | {line for line in now - promised if line.endswith(_REQUIRED) and _was_taken(line, promised)}


def _was_taken(line: str, promised: set[str]) -> bool:
    """Whether what newly requires a field was there without it: an operation, or an object that one takes."""
    whole, _, field = line.removesuffix(_REQUIRED).rpartition(" ")
    within = field.rpartition(".")[0]
    return any(one.startswith(f"{whole} {within}" if within else line.partition(" takes ")[0] + " ") for one in promised)


def _resolved(document: dict[str, Any], schema: dict[str, Any]) -> list[dict[str, Any]]:
    """A schema as its alternatives, without references."""
    if "$ref" in schema:
        return _resolved(document, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    choices = schema.get("anyOf") or schema.get("oneOf")
    return [one for choice in choices for one in _resolved(document, choice)] if choices else [schema]


def _values(document: dict[str, Any], schema: dict[str, Any]) -> Iterator[str]:
    for one in _resolved(document, schema):
        yield from (str(value) for value in one.get("enum", [one["const"]] if "const" in one else []))


def _asked(document: dict[str, Any], schema: dict[str, Any], at: str, depth: int) -> Iterator[str]:
    for one in _resolved(document, schema):
        yield from (f"{at} = {value}" for value in _values(document, one) if at)
        for name, inner in one.get("properties", {}).items() if depth < _DEEPEST else ():
            here = f"{at}.{name}"
            yield here + _REQUIRED * (name in one.get("required", ()))
            yield from _asked(document, inner, here, depth + 1)
        if "items" in one:
            yield from _asked(document, one["items"], f"{at}[]", depth + 1)


def _told(document: dict[str, Any], schema: dict[str, Any], at: str, depth: int) -> Iterator[str]:
    for one in _resolved(document, schema):
        kind = one.get("type")
        if at and kind not in (None, "null"):
            yield f"{at}: {kind}"
        for name, inner in one.get("properties", {}).items() if depth < _DEEPEST else ():
            yield from _told(document, inner, f"{at}.{name}", depth + 1)
        if "items" in one:
            yield from _told(document, one["items"], f"{at}[]", depth + 1)


def promised() -> set[str]:
    return set(PROMISES.read_text().splitlines()) if PROMISES.exists() else set()


if __name__ == "__main__":
    documents = made()
    for version, document in documents.items():
        place(version).write_text(written(document))
        print(f"{place(version).relative_to(ROOT)} is written")
    kept = promised() | promises(documents["v1"])
    PROMISES.write_text("".join(f"{line}\n" for line in sorted(kept)))
    print(f"{PROMISES.relative_to(ROOT)}: {len(kept)} promises of v1")
