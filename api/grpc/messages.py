"""Between the dictionaries of the ledger and the messages of the protocol, both ways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from google.protobuf.json_format import MessageToDict, ParseDict, SerializeToJsonError
from google.protobuf.message import DecodeError, Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import ValidationError

from api.grpc.cadmill.v1 import cadmill_pb2 as pb
from foundation.errors import Failure
from tasks.submit import JobRequest, told

M = TypeVar("M", bound=Message)

_EXACT = 2.0**53  # above it a double is no whole number, only rounded to one
_PRIORITY, _JOB_STATE, _ITEM_STATE = "PRIORITY_", "JOB_STATE_", "ITEM_STATE_"


def parse(kind: type[Message], raw: bytes) -> Any:
    """A message that a client sent. Raises REQUEST_INVALID, also for texts with the letter NUL, which PostgreSQL refuses."""
    try:
        message = kind.FromString(raw)
    except DecodeError as error:
        raise Failure("REQUEST_INVALID", {"reason": f"not a message of the type {kind.DESCRIPTOR.full_name}"}) from error
    if b"\0" in raw and _holds_nul(message):
        raise Failure("REQUEST_INVALID", {"reason": "a text holds the letter NUL"})
    return message


def _holds_nul(value: Any) -> bool:
    """Whether any text in a message, list or map does. Bytes may."""
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, Message):
        return any(_holds_nul(field) for _, field in value.ListFields())
    if isinstance(value, Mapping):
        return any(_holds_nul(name) or _holds_nul(held) for name, held in value.items())
    return isinstance(value, Sequence) and not isinstance(value, bytes) and any(_holds_nul(each) for each in value)


def job(view: Mapping[str, Any]) -> pb.Job:
    """A job as the ledger views it."""
    named = {"state": _JOB_STATE + view["state"].upper(), "priority": _PRIORITY + view["priority"].upper()}
    return _filled(pb.Job(), {**view, **named})


def item(view: Mapping[str, Any]) -> pb.Item:
    """An item as the ledger views it."""
    return _filled(pb.Item(), {**view, "state": _ITEM_STATE + view["state"].upper()})


def features(result: Mapping[str, Any]) -> pb.Features:
    """The result of an extraction."""
    return _filled(pb.Features(), result)


def problem(public: Mapping[str, Any]) -> pb.Problem:
    """`Failure.public()`, or what a row holds of it."""
    return _filled(pb.Problem(), public)


def _filled(message: M, view: Mapping[str, Any]) -> M:
    """A message with what of a view it has fields for."""
    ParseDict(dict(view), message, ignore_unknown_fields=True)
    return message


def job_state(number: int) -> str | None:
    """The state a client filters by, None for none. Raises REQUEST_INVALID."""
    return _word(pb.JobState, _JOB_STATE, number)


def item_state(number: int) -> str | None:
    return _word(pb.ItemState, _ITEM_STATE, number)


def job_request(asked: pb.SubmitRequest) -> JobRequest:
    """What HTTP takes as JSON. Raises REQUEST_INVALID."""
    return checked({
        "kind": asked.kind,
        "input": plain(asked.input),
        "labels": dict(sorted(asked.labels.items())),
        **priority(asked.priority),
        **{name: getattr(asked, name) for name in ("callback_url", "max_concurrency") if asked.HasField(name)},
        **({"run_after": _time("run_after", asked.run_after).timestamp()} if asked.HasField("run_after") else {}),
        **({"deadline": _time("deadline", asked.deadline)} if asked.HasField("deadline") else {}),
    })  # fmt: skip


def extraction_request(options: pb.ExtractOptions, part_ids: list[str]) -> JobRequest:
    """The job that files of one call become items of. Raises REQUEST_INVALID."""
    words = {name: getattr(options, name) for name in ("feature_version", "units", "default_units")}
    chosen = {name: word for name, word in words.items() if word}
    asked = {"parts": part_ids, "force": options.force, "previews": options.previews, **chosen}
    return checked({"kind": "extraction", "input": asked, "labels": dict(options.labels), **priority(options.priority)})


def priority(number: int) -> dict[str, str]:
    """The priority a client names, if it names one. Raises REQUEST_INVALID."""
    word = _word(pb.Priority, _PRIORITY, number)
    return {"priority": word} if word else {}


def checked(request: dict[str, Any]) -> JobRequest:
    try:
        return JobRequest.model_validate(request)
    except ValidationError as error:
        raise Failure("REQUEST_INVALID", {"fields": told(error.errors())}) from error


def plain(struct: Struct) -> dict[str, Any]:
    """A JSON object. Raises REQUEST_INVALID for what JSON cannot say.

    Its names come in one order and whole numbers as such: a Struct knows neither, and an Idempotency-Key is tied to the text."""
    try:
        return dict(_ordered(MessageToDict(struct)))
    except (SerializeToJsonError, ValueError) as error:
        raise Failure("REQUEST_INVALID", {"fields": {"input": "holds a number that JSON cannot say"}}) from error


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _ordered(value[name]) for name in sorted(value)}
    if isinstance(value, list):
        return [_ordered(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT else value


def _time(name: str, stamp: Timestamp) -> datetime:
    try:
        at: datetime = stamp.ToDatetime(UTC)
    except (ValueError, OverflowError) as error:
        raise Failure("REQUEST_INVALID", {"fields": {name: "is not a time"}}) from error
    return at


def _word(kind: Any, prefix: str, number: int) -> str | None:
    """The word that our tables have for a value of an enumeration; 0 is none."""
    if number == 0:
        return None
    if number not in kind.values():
        raise Failure("REQUEST_INVALID", {"fields": {prefix.strip("_").lower(): f"there is no value {number}"}})
    return str(kind.Name(number)).removeprefix(prefix).lower()
