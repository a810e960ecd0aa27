"""Failures as rows hold them: by the name their code had when they were written. They are asked for and told by the name it has now."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, ColumnElement, case

from foundation import codes


def code(error: Column[Any]) -> ColumnElement[str]:
    """The code of a recorded failure, by its present name."""
    written: ColumnElement[str] = error["code"].as_string()
    return case(codes.RENAMED, value=written, else_=written) if codes.RENAMED else written


def has_code(error: Column[Any], name: str) -> ColumnElement[bool]:
    """Whether a recorded failure is of a code, by whichever of its names."""
    return code(error) == codes.current(name)


def told(error: dict[str, Any] | None) -> dict[str, Any] | None:
    """A recorded failure as it is told now."""
    return error and error | {"code": codes.current(str(error.get("code")))}
