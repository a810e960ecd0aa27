"""Uploads: bytes go from the wire to disk as they come, hashed and counted on the way; nothing is held in memory.

Many files come as multipart fields named `files` (a field `labels` may carry a JSON object), one file as a raw body.
A zip archive stands for the files in it (`archives.py`).
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from anyio.to_thread import run_sync
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from api import archives
from api.archives import Entry
from foundation.clock import Clock
from foundation.errors import Failure
from foundation.settings import UploadSettings
from ledger.files import FileStore, Incoming
from ledger.parts import NewPart
from tasks.recognition import recognise

_BITE = 1 << 18
_NAME_MAX = 255
LABELS_MAX = 16_384


@dataclass(slots=True)
class Received:
    """What came in, in order: parts to add, and files that were refused with their problem."""

    parts: list[NewPart] = field(default_factory=list)
    answers: list[NewPart | dict[str, Any]] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)

    def add(self, part: NewPart) -> None:
        self.parts.append(part)
        self.answers.append(part)

    def refuse(self, name: str, failure: Failure, origin: dict[str, str] | None = None) -> None:
        self.answers.append({"name": name, "error": failure.public()} | (origin or {}))


def clean_name(name: str) -> str:
    """A file name as data: no folders, no control characters, at most 255 characters."""
    return _printable(name.replace("\\", "/").rpartition("/")[2]) or "unnamed"


def _printable(text: str) -> str:
    return "".join("_" if unicodedata.category(char)[0] == "C" else char for char in text).strip()[:_NAME_MAX]


async def receive(
    stream: AsyncIterator[bytes], content_type: str, raw_name: str, store: FileStore, limits: UploadSettings, clock: Clock
) -> Received:
    """Take a whole upload request. Raises BODY_TOO_LARGE, UPLOAD_INVALID, STORAGE_FULL."""
    kind, options = parse_options_header(content_type)
    if kind == b"multipart/form-data":
        sink: _Multipart | _Raw = _Multipart(options.get(b"boundary", b""), store, limits, clock)
    else:
        sink = _Raw(raw_name, store, limits, clock)
    total, bites, held = 0, bytearray(), 0
    try:
        async for data in stream:
            total, held = total + len(data), held + len(data)
            if total > limits.max_body_bytes:
                raise Failure("BODY_TOO_LARGE", {"limit_bytes": limits.max_body_bytes})
            bites += data
            if held >= _BITE:
                await run_sync(sink.write, bytes(bites))
                bites, held = bytearray(), 0
        await run_sync(sink.write, bytes(bites))
        return await run_sync(sink.end)
    except FormParserError as error:
        raise Failure("UPLOAD_INVALID", {"reason": str(error)[:200]}) from error
    finally:
        sink.abandon()


class IncomingFile:
    """One file on its way in. Past its limit it is refused and the rest of it skipped, so that its neighbours get through."""

    def __init__(self, name: str, store: FileStore, limits: UploadSettings) -> None:
        self.name, self._store, self._limits = clean_name(name), store, limits
        self._refused: Failure | None = None
        self._incoming: Incoming = store.receive(limits.max_file_bytes)

    def write(self, data: bytes) -> None:
        if self._refused is None:
            try:
                self._incoming.write(data)
            except Failure as failure:
                if failure.code != "FILE_TOO_LARGE":
                    raise
                self._refused = failure
                self.abandon()

    def end(self, received: Received, clock: Clock) -> None:
        if self._refused is not None:
            received.refuse(self.name, self._refused)
        elif archives.looks_like_one(self._incoming.head) and self._unpack(received, clock):
            self.abandon()
        else:
            received.add(_kept(self._incoming, self.name, {}, clock))

    def _unpack(self, received: Received, clock: Clock) -> bool:
        """Take the files of an archive in its place. False: it is no archive, but a zipped document of another program."""
        with self._incoming.read_back() as file:
            try:
                entries = archives.entries(file, self._incoming.bytes, self._limits)
                if entries is None:
                    return False
                if not entries:
                    raise Failure("FILE_EMPTY")
                if len(entries) + len(received.answers) > self._limits.max_files:
                    raise Failure("ARCHIVE_LIMIT", {"limit_files": self._limits.max_files})
            except Failure as failure:
                received.refuse(self.name, failure)
                return True
            for entry in entries:
                self._take(entry, received, clock)
        return True

    def _take(self, entry: Entry, received: Received, clock: Clock) -> None:
        """One file of an archive; what is wrong with it is told of it alone."""
        name, folder = clean_name(entry.name), _printable(entry.folder)
        origin = {"archive": self.name} | ({"folder": folder} if folder else {})
        try:
            if entry.refused is not None:
                raise entry.refused
            with self._store.receive(self._limits.max_file_bytes) as incoming:
                for data in entry.bites():
                    incoming.write(data)
                if archives.looks_like_one(incoming.head):
                    raise Failure("ARCHIVE_LIMIT", {"limit_nesting": 0})
                received.add(_kept(incoming, name, origin, clock))
        except Failure as failure:
            if failure.row.status >= 500:  # the server's own: the next file would fare no better
                raise
            received.refuse(name, failure, origin)

    def abandon(self) -> None:
        self._incoming.__exit__(None, None, None)


def _kept(incoming: Incoming, name: str, origin: dict[str, str], clock: Clock) -> NewPart:
    format = recognise(incoming.head, incoming.bytes)
    return NewPart(clock.new_id("part"), name, incoming.keep(), incoming.bytes, format.value, origin)


class _Raw:
    """A body that is one file."""

    def __init__(self, name: str, store: FileStore, limits: UploadSettings, clock: Clock) -> None:
        self._file, self._clock = IncomingFile(name, store, limits), clock

    def write(self, data: bytes) -> None:
        self._file.write(data)

    def end(self) -> Received:
        received = Received()
        self._file.end(received, self._clock)
        return received

    def abandon(self) -> None:
        self._file.abandon()


class _Multipart:
    """A multipart body. The parser calls back for every piece; one file is open at a time."""

    def __init__(self, boundary: bytes, store: FileStore, limits: UploadSettings, clock: Clock) -> None:
        if not boundary:
            raise Failure("UPLOAD_INVALID", {"reason": "the multipart boundary is missing"})
        self._store, self._limits, self._clock = store, limits, clock
        self._received = Received()
        self._file: IncomingFile | None = None
        self._field: str = ""
        self._fields = 0
        self._labels = bytearray()
        self._header: list[bytearray] = [bytearray(), bytearray()]
        self._disposition = b""
        self._complete = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_part_data": self._data,
                "on_part_end": self._part_end,
                "on_end": self._end,
            },
        )

    def write(self, data: bytes) -> None:
        self._parser.write(data)

    def end(self) -> Received:
        if not self._complete:
            raise Failure("UPLOAD_INVALID", {"reason": "the body ends before its closing boundary"})
        if self._labels:
            self._received.labels = _labels(bytes(self._labels))
        return self._received

    def abandon(self) -> None:
        if self._file is not None:
            self._file.abandon()

    def _begin(self) -> None:
        self._field, self._disposition, self._header = "", b"", [bytearray(), bytearray()]
        self._fields += 1
        if self._fields > self._limits.max_files + 1:  # one of them may hold the labels
            raise Failure("BODY_TOO_LARGE", {"limit_files": self._limits.max_files})

    def _header_end(self) -> None:
        name, value = self._header
        if name.lower() == b"content-disposition":
            self._disposition = bytes(value)
        self._header = [bytearray(), bytearray()]

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._field = options.get(b"name", b"").decode("utf-8", "replace")
        filename = options.get(b"filename")
        if filename is not None:
            if self._field != "files":
                raise Failure("UPLOAD_INVALID", {"reason": "files come in fields named 'files'", "field": self._field[:64]})
            if len(self._received.answers) >= self._limits.max_files:
                raise Failure("BODY_TOO_LARGE", {"limit_files": self._limits.max_files})
            self._file = IncomingFile(filename.decode("utf-8", "replace"), self._store, self._limits)
        elif self._field != "labels":
            raise Failure("UPLOAD_INVALID", {"reason": "a field is neither a file nor 'labels'", "field": self._field[:64]})

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            self._file.write(data[start:end])
        elif len(self._labels) + end - start > LABELS_MAX:
            raise Failure("UPLOAD_INVALID", {"reason": f"labels are longer than {LABELS_MAX} bytes"})
        else:
            self._labels += data[start:end]

    def _part_end(self) -> None:
        if self._file is not None:
            self._file.end(self._received, self._clock)
            self._file = None

    def _end(self) -> None:
        self._complete = True


def _labels(text: bytes) -> dict[str, str]:
    try:
        labels = json.loads(text)
    except ValueError as error:
        raise Failure("UPLOAD_INVALID", {"reason": "labels are not JSON"}) from error
    if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
        raise Failure("UPLOAD_INVALID", {"reason": "labels are an object of texts"})
    if any("\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text) for text in (*labels, *labels.values())):
        raise Failure("UPLOAD_INVALID", {"reason": "labels hold letters that are none"})
    return labels
