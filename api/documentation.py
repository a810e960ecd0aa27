"""The OpenAPI documents: one a version, and one of both. Made from the routes, so that they cannot tell of what is not there.

What routes say of themselves (`api.shapes.answers`) is completed here by what holds for all of them: who must show which key, the
shape of a failure and which codes any route may answer, the headers, and the envelope of versions that have one.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator
from importlib.metadata import version as release
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from pydantic.json_schema import models_json_schema

from api import problems, versions
from api.pages import rendering
from api.shapes.answers import CODES_OF, OPTIONAL, STREAMED
from api.versions import Feature, Table, Version
from foundation.errors import CODES
from tasks.catalogue import catalogue

Document = dict[str, Any]

_REF = "#/components/schemas/"
_JSON, _PROBLEM = "application/json", "application/problem+json"
MEDIA_TYPE = "application/vnd.oai.openapi+json"

_ABOUT = """Takes a pile of CAD files, computes comparable features and finds the parts you already have.

1. `POST {base}/parts` with your files  2. `POST {base}/jobs` with their ids  3. `GET {base}/jobs/{{id}}/result`

Every call names its tenant by `X-API-Key`. Every error has one shape and a code of its own. Lists are pages: ask again with the
`next_cursor` of the last one as `cursor`. {answers}
"""
_BARE = "Answers are bare; a failure is `application/problem+json` (RFC 9457)."
_ENVELOPED = (
    'Answers are `{"data", "meta", "errors"}`: what was asked for; the request id, the version and the cursor of a page; and what went '
    "wrong, in the shape of RFC 9457 (else empty). Tables, lines, pictures and the result document come as they are."
)

_TAGS = {
    "parts": "Your files, by the names you gave them, and their pictures.",
    "jobs": "Work on parts: submit it, watch it, read its results, change your mind.",
    "duplicates": "Which parts you have more than once, and what people decided about them.",
    "migration": "What another feature version would change.",
    "schedules": "Jobs by the clock.",
    "quarantine": "Files that killed the process that reads them.",
    "queues": "How full the queues are; pause and resume them.",
    "webhooks": "What we send you, and how you know that it comes from us.",
    "live": "What happens, while it happens.",
    "keys": "Your tenant's API keys.",
    "tenants": "Who may use this server, how much of it, and what is used.",
    "audit": "Who did what: search, proof, report, export.",
    "health": "Whether it works, and how well.",
    "errors": "What can go wrong, by code.",
    "versions": "The versions of this API.",
    "chaos": "Faults on purpose, for stacks whose work does not matter.",
}

_KEYS = {
    "ApiKey": ("X-API-Key", "Your key. It names your tenant. Operations name the scope that it must have: read, submit or admin."),
    "AdminToken": ("X-Admin-Token", "The ADMIN_TOKEN of whoever runs this server."),
}
_CODES_OF_KEY = {
    "ApiKey": ("API_KEY_MISSING", "API_KEY_UNKNOWN", "API_KEY_EXPIRED", "TENANT_DISABLED", "SCOPE_MISSING"),
    "AdminToken": ("ADMIN_TOKEN_MISSING", "ADMIN_TOKEN_UNSET", "ADMIN_TOKEN_UNKNOWN"),
}

_ADMIN_TOKEN = "x-admin-token"

_TEXT, _NUMBER = {"type": "string"}, {"type": "integer", "minimum": 0}
_HEADERS = {
    "X-Request-Id": ("names this call in our logs: tell it when you report something", _TEXT),
    versions.HEADER: ("the version that answered", _TEXT),
    "Retry-After": ("seconds to wait before asking again", _NUMBER),
    "RateLimit": ("what is left of your limit, where one is set", _TEXT),
    "RateLimit-Policy": ("the limit, where one is set", _TEXT),
    "X-Next-Rotation-Hint": ("how old your key is, when it should be rotated", _TEXT),
    "Deprecation": ("since when this version is deprecated (RFC 9745)", _TEXT),
    "Sunset": ("when this version ends (RFC 8594)", _TEXT),
}
_OF_VERSIONS = (versions.HEADER, "RateLimit", "RateLimit-Policy")
_OF_KEYS = ("X-Next-Rotation-Hint",)
_OF_ENDING_VERSIONS = ("Deprecation", "Sunset")

_NEXT_CURSOR = {"type": ["string", "null"], "description": "of the next page; null: this is the last one"}
_META: Document = {
    "type": "object",
    "required": ["request_id", "version"],
    "properties": {"request_id": {"type": "string"}, "version": {"type": "string"}},
}


def documents(app: FastAPI, table: Iterable[Version]) -> dict[str, Document]:
    """By version what a client of it may rely on. To read the routes takes a second, so they are read once for all versions."""
    of_routes = get_openapi(title="", version=release("cadmill"), routes=app.routes, separate_input_output_schemas=False)
    return {version.name: _document(copy.deepcopy(of_routes), version) for version in table}


def _document(told: Document, version: Version) -> Document:
    base = f"{versions.PREFIX}/{version.name}"
    about = _ABOUT.format(base=base, answers=_ENVELOPED if version.has(Feature.ENVELOPE) else _BARE)
    told["info"] |= {"title": f"cadmill {version.name}", "description": about}
    schemas = told["components"]["schemas"]
    schemas["Problem"] = problems.SHAPE
    _discriminate_jobs(schemas)
    paths = {}
    for path, methods in told["paths"].items():
        versioned = path.startswith(versions.PREFIX + "/")
        address = versions.address(version, path) if versioned else path
        paths[address] = {method: _operation(method, op, versioned, version) for method, op in methods.items()}
        if version.has(Feature.ENVELOPE) and versioned:
            for operation in paths[address].values():
                _envelope(operation, schemas)
    told["paths"] = paths
    used = {tag for operation in _operations(paths) for tag in operation.get("tags", ())}
    told["tags"] = [{"name": name, "description": sentence} for name, sentence in _TAGS.items() if name in used]
    told["components"] = {
        "schemas": _used(schemas, paths),
        "headers": {name: {"description": says, "schema": schema} for name, (says, schema) in _HEADERS.items()},
        "securitySchemes": {
            scheme: {"type": "apiKey", "in": "header", "name": header, "description": says} for scheme, (header, says) in _KEYS.items()
        },
    }
    return told


def both(made: dict[str, Document]) -> Document:
    """One document with the addresses of every version; ids of operations end with the version."""
    whole: Document = {}
    for name, one in made.items():
        one = copy.deepcopy(one)
        for operation in _operations(one["paths"]):
            operation["operationId"] += f"_{name}"
        if not whole:
            whole = one | {"info": one["info"] | {"title": "cadmill"}}
            continue
        whole["paths"] = one["paths"] | whole["paths"]
        whole["components"]["schemas"] |= one["components"]["schemas"]
    return whole


def install(app: FastAPI, table: Table) -> None:
    """The addresses of the documents: `/openapi.json`, one below each version, and `/docs` to read and try them."""
    made: dict[str, Document] = {}

    def of(name: str) -> Document:
        if not made:
            made.update(documents(app, table))
        return made[name]

    def whole() -> Document:
        of(table.current.name)
        return both(made)

    app.openapi = whole  # type: ignore[method-assign]  # as FastAPI would have it done

    @app.get("/openapi.json", include_in_schema=False)
    def get_whole() -> Response:
        return JSONResponse(whole())

    @app.get(f"{versions.PREFIX}/openapi.json", include_in_schema=False)
    def get_document() -> Response:
        return Response(json.dumps(of(versions.asked().version.name)), media_type=MEDIA_TYPE)  # a document of its own: in no envelope

    @app.get("/docs", include_in_schema=False)
    def get_docs(request: Request) -> Response:
        shown = table.named(request.query_params.get("version", table.current.name))
        address = f"{versions.PREFIX}/{shown.name}/openapi.json"
        return rendering.render(request, app.state.house, "docs.html", shown=shown, versions=table, document=address)


def _operations(paths: Document) -> Iterator[Document]:
    return (operation for methods in paths.values() for operation in methods.values())


def _operation(method: str, operation: Document, versioned: bool, version: Version) -> Document:
    """An operation with all that holds for every one of its kind."""
    keys = _secure(method, operation)
    responses: Document = operation["responses"]
    if "HTTPValidationError" in json.dumps(responses.get("422", {})):
        del responses["422"]
    for status, codes in _codes(method, operation, keys, versioned).items():
        response = responses.setdefault(status, {})
        codes = list(dict.fromkeys([*response.pop(CODES_OF, ()), *codes]))
        told = "; ".join(f"{code}: {CODES[code].sentence}" for code in codes)
        response["description"] = f"{response['description']}. {told}" if "content" in response else told
        response.setdefault("content", {})[_PROBLEM] = {"schema": {"$ref": f"{_REF}Problem"}}
    responses["default"] = {"description": "Any other failure", "content": {_PROBLEM: {"schema": {"$ref": f"{_REF}Problem"}}}}
    names = (
        (_OF_VERSIONS if versioned else ())
        + (_OF_KEYS if keys else ())
        + (_OF_ENDING_VERSIONS if versioned and version.deprecated_at else ())
    )
    for status, response in responses.items():
        failed = status == "default" or status >= "400"
        told_of = ("X-Request-Id",) + (("Retry-After",) * (status in ("409", "429", "503", "507", "default")) if failed else names)
        response.setdefault("headers", {}).update({name: {"$ref": f"#/components/headers/{name}"} for name in told_of})
        for content in response.get("content", {}).values():
            if "$ref" in content.get("schema", {}):
                content["schema"] = {"$ref": content["schema"]["$ref"]}  # beside it stands what was guessed from the annotation
    if version.deprecated_at and versioned:
        operation["deprecated"] = True
    return operation


def _secure(method: str, operation: Document) -> list[str]:
    """Which keys a call may have to show: they are no parameters. Those who name no scope look with a GET, and submit with all else."""
    parameters = operation.pop("parameters", [])
    token = [one for one in parameters if one["name"] == _ADMIN_TOKEN]
    if rest := [_headed(one) for one in parameters if one["name"] != _ADMIN_TOKEN]:
        operation["parameters"] = rest
    if "security" not in operation:
        return []
    scopes = [scope for scheme in operation["security"] for scope in scheme["key"]] or ["read" if method == "get" else "submit"]
    both = {"ApiKey": scopes, "AdminToken": []}
    optional = any(OPTIONAL in one["schema"] for one in token)
    operation["security"] = ([{"ApiKey": scopes}] if optional or not token else []) + ([both] if token else [])
    return list(both) if token else ["ApiKey"]


def _headed(parameter: Document) -> Document:
    return parameter | {"name": parameter["name"].title()} if parameter["in"] == "header" else parameter


def _codes(method: str, operation: Document, keys: list[str], versioned: bool) -> dict[str, list[str]]:
    """Codes by status: its own, and those that any operation of its kind may answer."""
    found: dict[str, list[str]] = {status: [] for status, response in operation["responses"].items() if CODES_OF in response}
    body = operation.get("requestBody", {}).get("content", {})
    common = [code for key in keys for code in _CODES_OF_KEY[key]]
    common += ["REQUEST_INVALID"] if "parameters" in operation or body else []
    common += ["BODY_TOO_LARGE", "BODY_TOO_SLOW"] if _JSON in body else []
    common += ["RATE_LIMITED"] if versioned else []
    common += ["DATABASE_UNAVAILABLE", "INTERNAL", "UNKNOWN"] + (["COMMIT_UNKNOWN"] if method != "get" else []) if keys else []
    for code in common:
        found.setdefault(str(CODES[code].status), []).append(code)
    return found


def _envelope(operation: Document, schemas: Document) -> None:
    """The same operation where answers are `{"data", "meta", "errors"}`."""
    schemas["Meta"] = _META
    schemas["PageMeta"] = {
        "type": "object",
        "required": [*_META["required"], "next_cursor"],
        "properties": _META["properties"] | {"next_cursor": _NEXT_CURSOR},
    }
    schemas["Refusal"] = _enveloped({"type": "null"}, "Meta", {"type": "array", "minItems": 1, "items": {"$ref": f"{_REF}Problem"}})
    for response in operation["responses"].values():
        if response.pop(STREAMED, False):
            continue
        content = response.get("content", {})
        if _JSON in content:
            content[_JSON] = {"schema": _wrapped(content[_JSON]["schema"], schemas)}
        if _PROBLEM in content:
            refusal = {"$ref": f"{_REF}Refusal"}
            del content[_PROBLEM]
            content[_JSON] = {"schema": {"anyOf": [content[_JSON]["schema"], refusal]} if _JSON in content else refusal}


def _enveloped(data: Document, meta: str, errors: Document) -> Document:
    return {
        "type": "object",
        "required": ["data", "meta", "errors"],
        "properties": {"data": data, "meta": {"$ref": _REF + meta}, "errors": errors},
    }


def _wrapped(schema: Document, schemas: Document) -> Document:
    name = str(schema["$ref"]).removeprefix(_REF)
    model, meta = schemas[name], "Meta"
    data = name
    if "next_cursor" in model["properties"]:
        meta, data = "PageMeta", f"{name}Data"
        rest = {field: told for field, told in model["properties"].items() if field != "next_cursor"}
        schemas[data] = model | {"properties": rest, "required": [field for field in model["required"] if field != "next_cursor"]}
    schemas[f"{name}Envelope"] = _enveloped({"$ref": _REF + data}, meta, {"type": "array", "maxItems": 0})
    return {"$ref": f"{_REF}{name}Envelope"}


def _discriminate_jobs(schemas: Document) -> None:
    """`JobRequest` as one schema a kind, each with the input that it takes: what clients are generated from."""
    tasks = catalogue().values()
    _, told = models_json_schema([(task.asks, "validation") for task in tasks], ref_template=_REF + "{model}")
    schemas.update(told["$defs"])
    general = schemas["JobRequest"]
    names = {task.name: f"{task.name.capitalize()}Job" for task in tasks}
    for task in tasks:
        kind = {"const": task.name, "type": "string", "description": task.sentence}
        input = {"$ref": f"{_REF}{task.asks.__name__}"}
        schemas[names[task.name]] = general | {
            "title": names[task.name],
            "properties": general["properties"] | {"kind": kind, "input": input},
        }
    schemas["JobRequest"] = {
        "title": "JobRequest",
        "description": general["description"],
        "oneOf": [{"$ref": _REF + name} for name in names.values()],
        "discriminator": {"propertyName": "kind", "mapping": {kind: _REF + name for kind, name in names.items()}},
    }


def _used(schemas: Document, paths: Document) -> Document:
    """Those of the schemas that something refers to."""
    found: dict[str, Any] = {}
    waiting = list(_references(paths))
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = schemas[name]
            waiting += _references(schemas[name])
    return {name: found[name] for name in sorted(found)}


def _references(told: Any) -> Iterator[str]:
    if isinstance(told, dict):
        if isinstance(told.get("$ref"), str) and told["$ref"].startswith(_REF):
            yield told["$ref"].removeprefix(_REF)
        for value in told.values():
            yield from _references(value)
    elif isinstance(told, list):
        for value in told:
            yield from _references(value)
