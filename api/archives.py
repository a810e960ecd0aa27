"""Zip archives among uploads: each file in one is a part, or refused by itself; what is no honest archive is refused whole.

The names in an archive are data and never paths: nothing is written but to the file store, under hashes. What the archive says of itself is
checked first (entries, bytes, ratio, overlaps), and what comes out is counted as it comes, because it may lie.
"""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import IO

from foundation.errors import Failure
from foundation.settings import UploadSettings

_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
_BITE = 1 << 18
_LOCAL_HEADER = 30  # bytes before the name of an entry
_CATALOGUE_BYTES_PER_ENTRY = 512
"""zipfile reads the whole catalogue into memory, so its size is capped before: 46 bytes, the name and extra fields of each entry."""
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DOCUMENTS = frozenset({"[Content_Types].xml", "Document.xml", "mimetype", "META-INF/MANIFEST.MF"})
"""What has one of these at its top is a document of another program that happens to be zipped (3MF, FreeCAD, OpenDocument, Java)."""
_LEFT_BY_MACOS = ("__MACOSX/",)
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeDecodeError, ValueError, OverflowError)


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in an archive: its whole name there, and why it is refused, or how to read it in bites."""

    name: str
    refused: Failure | None
    bites: Callable[[], Iterator[bytes]]

    @property
    def folder(self) -> str:
        return self.name.replace("\\", "/").rpartition("/")[0]


def looks_like_one(head: bytes) -> bool:
    return head.startswith(_MAGIC)


def entries(file: IO[bytes], size: int, limits: UploadSettings) -> list[Entry] | None:
    """The files of an archive of `size` bytes, in its order; None: it is one document of another program.

    Raises ARCHIVE_LIMIT, ARCHIVE_CORRUPT. Reading an entry raises ARCHIVE_CORRUPT; what it gives is never longer than it said.
    """
    try:
        archive = zipfile.ZipFile(_Capped(file, limits.max_files * _CATALOGUE_BYTES_PER_ENTRY))
        infos = archive.infolist()
        if any(info.filename in _DOCUMENTS for info in infos):
            return None
        _check_whole(infos, size, limits)
    except _BROKEN as error:
        raise _corrupt(error) from error
    files = [info for info in infos if not info.is_dir() and not info.filename.startswith(_LEFT_BY_MACOS)]
    return [Entry(_name(info), _refusal(info, limits), partial(_bites, archive, info)) for info in files]


def _check_whole(infos: list[zipfile.ZipInfo], size: int, limits: UploadSettings) -> None:
    if len(infos) > limits.max_files:
        raise Failure("ARCHIVE_LIMIT", {"limit_entries": limits.max_files, "entries": len(infos)})
    total = sum(info.file_size for info in infos)
    if total > limits.max_unpacked_bytes:
        raise Failure("ARCHIVE_LIMIT", {"limit_unpacked_bytes": limits.max_unpacked_bytes, "unpacked_bytes": total})
    if total > limits.max_unpacked_ratio * size:
        raise Failure("ARCHIVE_LIMIT", {"limit_unpacked_ratio": limits.max_unpacked_ratio, "unpacked_bytes": total})
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise Failure("ARCHIVE_CORRUPT", {"reason": "entries of the archive overlap"})
        end = info.header_offset + _LOCAL_HEADER + info.compress_size


def _refusal(info: zipfile.ZipInfo, limits: UploadSettings) -> Failure | None:
    """Why an entry is not read at all."""
    unsafe = _unsafe(info)
    if unsafe:
        return Failure("ARCHIVE_UNSAFE_PATH", {"reason": unsafe})
    if info.flag_bits & 0x1:
        return Failure("ARCHIVE_ENCRYPTED")
    if info.compress_type not in _METHODS:
        return Failure("ARCHIVE_CORRUPT", {"reason": f"compression method {info.compress_type} is not read here, only deflate and none"})
    if info.file_size > limits.max_file_bytes:
        return Failure("FILE_TOO_LARGE", {"limit_bytes": limits.max_file_bytes})
    return None


def _unsafe(info: zipfile.ZipInfo) -> str:
    """What is wrong with where an entry wants to go, empty if nothing. The whole name counts, zipfile cuts it at a NUL."""
    name = info.orig_filename.replace("\\", "/")
    if "\0" in name:
        return "the name holds a NUL"
    if name.startswith("/") or name[1:2] == ":":
        return "the name is an absolute path"
    if ".." in name.split("/"):
        return "the name leads out of the archive"
    kind = stat.S_IFMT(info.external_attr >> 16)
    return "the entry is a link or a device" if kind not in (0, stat.S_IFREG) else ""


def _name(info: zipfile.ZipInfo) -> str:
    return info.orig_filename.partition("\0")[0]


def _bites(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    left = info.file_size
    try:
        with archive.open(info) as stream:
            while data := stream.read(_BITE):
                left -= len(data)
                yield data
        if left:
            raise zipfile.BadZipFile(f"a file in it is {left} bytes shorter than it says")
    except _BROKEN as error:
        raise _corrupt(error) from error


def _corrupt(error: Exception) -> Failure:
    return Failure("ARCHIVE_CORRUPT", {"reason": str(error)[:200] or type(error).__name__})


class _Capped:
    """A file of which nothing is read in bites above a size."""

    def __init__(self, file: IO[bytes], most: int) -> None:
        self._file, self._most = file, max(most, _BITE)
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(self._most + 1 if size < 0 else min(size, self._most + 1))
        if len(data) > self._most:
            raise Failure("ARCHIVE_LIMIT", {"limit_catalogue_bytes": self._most})
        return data
