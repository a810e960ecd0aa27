"""Data and files that are not what they should be, by the libraries that read them; numbers and indexes."""

from __future__ import annotations

import base64
import bz2
import configparser
import csv
import gzip
import io
import json
import lzma
import pickle
import struct
import tarfile
import tomllib
import xml.etree.ElementTree as ElementTree
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import ezdxf
import faiss
import msgspec
import numpy as np
import pydantic
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.struct_pb2 import Struct

from foundation.mapping import Provider
from tests.foundation.provoked.case import Case, Place


def _zip(change: Callable[[bytearray], None] = lambda _: None, **how: Any) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", **how) as archive:
        archive.writestr("a.txt", b"hello " * 100)
    data = bytearray(packed.getvalue())
    change(data)
    return bytes(data)


def _unzip(data: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        archive.read("a.txt")


def _locked(data: bytearray) -> None:
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1


def _odd_method(data: bytearray) -> None:
    data[8] = 77
    data[data.index(b"PK\x01\x02") + 10] = 77


def _changed(data: bytearray) -> None:
    data[40] ^= 255


def _dxf(text: str) -> Callable[[Place], Any]:
    def read(place: Place) -> None:
        (place.folder / "a.dxf").write_text(text)
        ezdxf.readfile(str(place.folder / "a.dxf"))

    return read


_HEAD = "0\nSECTION\n2\nHEADER\n9\n$ACADVER\n1\n{}\n0\nENDSEC\n"


def _kernel(name: str) -> Callable[[Place], Any]:
    def run(_: Place) -> None:
        from OCP.BRepBuilderAPI import BRepBuilderAPI_MakeEdge
        from OCP.gp import gp_Dir, gp_Pnt, gp_Vec
        from OCP.TCollection import TCollection_AsciiString

        {
            "direction": lambda: gp_Dir(0, 0, 0),
            "vector": lambda: gp_Vec(0, 0, 0).Normalized(),
            "edge": lambda: BRepBuilderAPI_MakeEdge(gp_Pnt(0, 0, 0), gp_Pnt(0, 0, 0)).Edge(),
            "range": lambda: TCollection_AsciiString("x").Value(9),
            "number": lambda: TCollection_AsciiString("x").IntegerValue(),
            "arguments": lambda: gp_Pnt("a"),
        }[name]()

    return run


def _flat() -> Any:
    return faiss.IndexFlatL2(4)


class _Model(pydantic.BaseModel):
    n: int


class _Struct(msgspec.Struct):
    n: int


_DATA, _PACKED, _FILE, _INDEX = ("DATA_INVALID", False), ("ARCHIVE_CORRUPT", False), ("FILE_CORRUPT", False), ("INDEX_FAILED", True)
_DEFECT, _GEOMETRY = ("INTERNAL", False), ("GEOMETRY_INVALID", False)
_READER = Provider.READER

CASES = [
    Case("zip is none", lambda _: _unzip(b"no zip"), *_PACKED),
    Case("zip cut", lambda _: _unzip(_zip()[:-10]), *_PACKED),
    Case("zip changed", lambda _: _unzip(_zip(_changed)), *_PACKED),
    Case("zip packed badly", lambda _: _unzip(_zip(_changed, compression=zipfile.ZIP_DEFLATED)), *_PACKED),
    Case("zip locked", lambda _: _unzip(_zip(_locked)), "ARCHIVE_ENCRYPTED", False),
    Case("zip packed oddly", lambda _: _unzip(_zip(_odd_method)), *_PACKED),
    Case("zip as a file of a user", lambda _: _unzip(b"no zip"), *_FILE, _READER),
    Case("tar is none", lambda _: tarfile.TarFile(fileobj=io.BytesIO(b"x" * 2000)), *_PACKED),
    Case("gzip is none", lambda _: gzip.decompress(b"no gzip"), *_PACKED),
    Case("gzip cut", lambda _: gzip.decompress(gzip.compress(b"x" * 100)[:15]), *_DATA),
    Case("lzma is none", lambda _: lzma.decompress(b"no lzma"), *_PACKED),
    Case("bz2 is none", lambda _: bz2.decompress(b"no bz2 at all"), *_PACKED),
    Case("zlib is none", lambda _: zlib.decompress(b"no zlib"), *_DATA),
    Case("json is none", lambda _: json.loads("{"), *_DATA),
    Case("json too deep", lambda _: json.loads("[" * 100_000), *_DEFECT),
    Case("json cannot say it", lambda _: json.dumps(object()), *_DEFECT),
    Case("toml is none", lambda _: tomllib.loads("="), *_DATA),
    Case("ini is none", lambda _: configparser.ConfigParser().read_string("x"), *_DATA),
    Case("xml is none", lambda _: ElementTree.fromstring("<a>"), *_DATA),
    Case("csv is none", lambda _: list(csv.reader(["a\0b" * 100_000])), *_DATA),
    Case("struct too short", lambda _: struct.unpack("<i", b"x"), *_DATA),
    Case("struct of a file", lambda _: struct.unpack("<i", b"x"), *_FILE, _READER),
    Case("pickle is none", lambda _: pickle.loads(b"nonsense"), *_DATA),
    Case("pickle cut", lambda _: pickle.loads(pickle.dumps([1, 2, 3])[:-1]), *_DATA),
    Case("cannot be pickled", lambda _: pickle.dumps(lambda: 0), *_DEFECT),
    Case("not UTF-8", lambda _: b"\xff".decode(), *_DATA),
    Case("not UTF-8 in a file", lambda _: b"\xff".decode(), "ENCODING_UNSUPPORTED", False, _READER),
    Case("not ASCII", lambda _: "ä".encode("ascii"), *_DATA),
    Case("base64 is none", lambda _: base64.b64decode("x"), *_DATA),
    Case("pydantic refuses", lambda _: _Model(n="x"), *_DATA),  # type: ignore[arg-type]
    Case("pydantic refuses in a route", lambda _: _Model(n="x"), *_DEFECT, Provider.API),  # type: ignore[arg-type]
    Case("msgspec refuses", lambda _: msgspec.json.decode(b'{"n": "x"}', type=_Struct), *_DATA),
    Case("msgspec is none", lambda _: msgspec.json.decode(b"{"), *_DATA),
    Case("msgspec of a process", lambda _: msgspec.msgpack.decode(b"\xc1"), "ENGINE_DEFECT", False, Provider.SANDBOX),
    Case("protobuf is none", lambda _: Struct.FromString(b"\xff\xff"), *_DATA),
    Case("sealed with another secret", lambda _: AESGCM(b"0" * 16).decrypt(b"1" * 12, b"x" * 32, None), "SECRET_MISMATCH", False),
    Case("only to be written", lambda place: (place.folder / "w").open("w").read(), *_DEFECT),
    # drawings
    Case("dxf is none", _dxf("hello\n"), *_FILE, _READER),
    Case("dxf without end", _dxf("0\nSECTION\n2\nHEADER\n"), *_FILE, _READER),
    Case("dxf with a bad number", _dxf("0\nSECTION\n2\nENTITIES\n0\nLINE\n10\nabc\n0\nENDSEC\n0\nEOF\n"), *_FILE),
    Case("dxf with a bad code", _dxf(_HEAD.format("AC1027") + "x\ny\n0\nEOF\n"), *_FILE),
    Case("dxf version of nobody", lambda _: ezdxf.new("R99"), "FORMAT_UNSUPPORTED", False),
    Case("dxf attribute of nothing", lambda _: ezdxf.new().modelspace().add_line((0, 0), (1, 1)).dxf.nonsense, *_FILE),
    Case("dxf block twice", lambda _: [(d := ezdxf.new()).layers.add("x"), d.layers.add("x")], *_FILE),
    Case("dxf layer of nothing", lambda _: ezdxf.new().layers.get("nowhere"), *_FILE),
    # bodies
    *(Case(f"kernel {name}", _kernel(name), *_GEOMETRY) for name in ("direction", "vector", "edge", "range", "number")),
    Case("kernel arguments", _kernel("arguments"), *_DEFECT),
    # numbers
    Case("singular", lambda _: np.linalg.inv(np.zeros((2, 2))), *_GEOMETRY),
    Case("singular in a file", lambda _: np.linalg.inv(np.zeros((2, 2))), *_GEOMETRY, _READER),
    Case("no such axis", lambda _: np.zeros(3).sum(axis=5), *_DEFECT),
    Case("shapes differ", lambda _: np.zeros(3) + np.zeros(4), *_DEFECT),
    Case("shapes differ in a file", lambda _: np.zeros(3) + np.zeros(4), *_FILE, _READER),
    Case("array too large", lambda _: np.zeros(1 << 58), "MEMORY_ERROR", False),
    Case("overflow in a file", lambda _: float("1e308") ** 2, *_GEOMETRY, _READER),
    Case("numpy file is none", lambda _: np.load(io.BytesIO(b"nonsense"), allow_pickle=False), *_FILE, _READER),
    # the index
    Case("faiss no such file", lambda place: faiss.read_index(str(place.folder / "none")), *_INDEX),
    Case("faiss no such kind", lambda _: faiss.index_factory(4, "Nonsense"), *_INDEX),
    Case("faiss not trained", lambda _: faiss.IndexIVFFlat(_flat(), 4, 10).add(np.zeros((2, 4), "f4")), *_INDEX),
    Case("faiss too little to train", lambda _: faiss.IndexIVFFlat(_flat(), 4, 10).train(np.zeros((2, 4), "f4")), *_INDEX),
    Case("faiss no such row", lambda _: _flat().reconstruct(99), *_INDEX),
    Case("faiss damaged", lambda _: faiss.deserialize_index(np.zeros(10, "u1")), *_INDEX),
    Case("faiss another width", lambda _: _flat().add(np.zeros((2, 3), "f4")), *_INDEX, Provider.INDEX),
    Case("faiss not numbers", lambda _: _flat().add("x"), *_INDEX, Provider.INDEX),
]
