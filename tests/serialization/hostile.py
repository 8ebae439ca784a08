"""Files that mean harm, made by code: ``FILES`` has their bytes by what they try.

``python -m tests.serialization.hostile`` loads each of them with little memory, a clock running and
an ear on what Python does (see ``fuzz``), and prints what came of it as JSON.
"""

from __future__ import annotations

import faulthandler
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cresset
from cresset.serialization import load

from .checkpoints import repacked, saved, with_pickle
from .fuzz import CLEAR, MEMORY, Ear, check, check_quietly, limit_memory

GOOD = saved(OrderedDict(w=cresset.arange(6.0).view(2, 3), n=cresset.tensor([7])))
OLD = saved(cresset.arange(6.0), _use_new_zipfile_serialization=False)
#: Storage ``0`` of ``with_pickle``, as a tensor of three elements with a stride of 0 each.
STORAGE = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x03tQ"
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"
HUGE = b"\x8a\x07" + (1 << 50).to_bytes(7, "little")
#: A tensor of 2**50 rows that are one and the same.
EXPANDED = REBUILD + b"(" + STORAGE + b"K\x00" + HUGE + b"\x85K\x00\x85\x89)tR"
#: A tuple of two that are one, sixty times over: 2**60 leaves in 300 bytes.
BOMB = b")q\x01" + b"h\x01\x86q\x01" * 60
LIST_BOMB = b"]q\x01" + b"h\x01\x86q\x01" * 60


class Call:
    """Pickles as a call of ``func(*args)``."""

    def __init__(self, func: Callable[..., Any], *args: Any) -> None:
        self.call = func, args

    def __reduce__(self) -> Any:
        return self.call


def text(value: bytes) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value


def executing() -> Iterator[tuple[str, bytes]]:
    """Calls of what runs programs, opens files or imports."""
    mark = "/tmp/cresset-was-here"
    calls: dict[str, Any] = {
        "os.system": Call(os.system, f"touch {mark}"),
        "subprocess": Call(subprocess.Popen, ["touch", mark]),
        "eval": Call(eval, f"open({mark!r}, 'w')"),
        "exec": Call(exec, f"open({mark!r}, 'w')"),
        "import": Call(__import__, "antigravity"),
        "open": Call(open, mark, "w"),
        "getattr": Call(getattr, 1, "real"),
        "unlink": Call(os.unlink, mark),
        "another pickle": Call(pickle.loads, pickle.dumps(Call(os.system, f"touch {mark}"))),
        "in a dict": {"w": [Call(os.system, f"touch {mark}")]},
    }
    for name, thing in calls.items():
        yield f"{name}, new form", saved(thing)
        yield f"{name}, old form", saved(thing, _use_new_zipfile_serialization=False)
    command = text(f"touch {mark}".encode())
    snippets = {
        "instance": b"(" + command + b"ios\nsystem\n.",
        "object": b"(cos\nsystem\n" + command + b"o.",
        "stack global": text(b"os") + text(b"system") + b"\x93" + command + b"\x85R.",
        "extension": b"\x82\x01" + command + b"\x85R.",
        "new object": b"csubprocess\nPopen\n" + command + b"\x85\x81.",
        "new object with keywords": b"csubprocess\nPopen\n)}\x92.",
        "hub": b"ctorch.hub\nload\n" + command + b"\x85R.",
        "loader": b"ctorch\nload\n" + command + b"\x85R.",
        "numpy": b"cnumpy\nload\n" + command + b"\x85R.",
        "method of a type": b"ccollections\nOrderedDict.fromkeys\n" + command + b"\x85R.",
        "dotted": b"ctorch\nTensor.__init__.__globals__\n)R.",
        "subclass": b"ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\nctorch\nTensor\n"
        + command
        + b"\x85NtR.",
    }
    for name, snippet in snippets.items():
        yield name, with_pickle(b"\x80\x02" + snippet)
    yield "in place of the magic number", pickle.dumps(Call(os.system, f"touch {mark}"), 2)
    yield "plain pickle", pickle.dumps(Call(os.system, f"touch {mark}"))


def greedy() -> Iterator[tuple[str, bytes]]:
    """Pickles that ask for memory or time out of proportion."""
    double = b"ccollections\nOrderedDict\n]"
    rebuild = REBUILD + b"(" + STORAGE + b"K\x00"
    snippets = {
        "tuple bomb as a key": b"}" + BOMB + b"K\x01s.",
        "tuple bomb in a set": b"cbuiltins\nset\n](" + BOMB + b"e\x85R.",
        "tuple bomb in an OrderedDict": double + BOMB + b"K\x01\x86a\x85R.",
        "tuple bomb as a storage's key": STORAGE.replace(text(b"0"), BOMB) + b".",
        "bomb as a location": STORAGE.replace(text(b"cpu"), LIST_BOMB) + b".",
        "bomb as an id": b"(" + text(b"storage") + LIST_BOMB + b"tQ.",
        "bomb as a function": LIST_BOMB + b")R.",
        "bomb as a class": LIST_BOMB + b")\x81.",
        "bomb as an encoding": b"c_codecs\nencode\n" + text(b"x") + LIST_BOMB + b"\x86R.",
        "tuple bomb as a state": b"ctorch._tensor\n_rebuild_from_type_v2\n(" + REBUILD
        + b"ctorch\nTensor\n(" + STORAGE + b"K\x00K\x03\x85K\x01\x85\x89)t" + BOMB + b"tR.",
        "deep tuple as a key": b"})" + b"\x85" * 500_000 + b"K\x01s.",
        "a set of 2**50 rows": b"cbuiltins\nset\n" + EXPANDED + b"\x85R.",
        "an OrderedDict of 2**50 rows": b"ccollections\nOrderedDict\n" + EXPANDED + b"\x85R.",
        "a Counter of 2**50 rows": b"ccollections\nCounter\n" + EXPANDED + b"\x85R.",
        "2**50 arguments": b"ctorch\nSize\n" + EXPANDED + b"R.",
        "a size of 2**50 rows": rebuild + EXPANDED + b"K\x00\x85\x89)tR.",
        "bytes by number": b"cbuiltins\nbytes\n" + HUGE + b"\x85R.",
        "a bytearray by number": b"cbuiltins\nbytearray\n" + HUGE + b"\x85R.",
        "one text encoded a thousand times": b"(" + text(b"x" * 10**6) + b"q\x01"
        + (b"c_codecs\nencode\nh\x01" + text(b"latin1") + b"\x86R") * 1000 + b"t.",
        "one list turned into a thousand sets": b"(](" + b"K\x01" * 10**5 + b"eq\x01"
        + b"cbuiltins\nset\nh\x01\x85R" * 1000 + b"t.",
        "colliding keys": b"}(" + b"".join(
            b"\x8a\x0a" + (k * ((1 << 61) - 1)).to_bytes(10, "little") + b"N"
            for k in range(2, 60_000)) + b"u.",
        "text of 2 GiB": b"X\xff\xff\xff\x7fabc.",
        "a name without an end": b"c" + b"x" * 10**6 + b"\nsystem\n.",
        "more dimensions than there are": rebuild + b"(" + b"K\x01" * 100
        + b"t(" + b"K\x01" * 100 + b"t\x89)tR.",
        "2**200 elements": rebuild + b"(" + HUGE * 4 + b"t("
        + b"K\x00" * 4 + b"t\x89)tR.",
        "a negative size": rebuild + b"J\xff\xff\xff\xff\x85K\x01\x85\x89)tR.",
        "a tensor beyond its storage": rebuild + b"K\x04\x85K\x01\x85\x89)tR.",
        "a storage of 2**50 elements": STORAGE.replace(b"K\x03tQ", HUGE + b"tQ") + b".",
        "a storage of as many elements as dict keys": STORAGE.replace(b"K\x03tQ", b"}tQ") + b".",
    }  # fmt: skip
    for name, snippet in snippets.items():
        yield name, with_pickle(b"\x80\x02" + snippet)
    claim = OLD.replace(b"K\x06", HUGE, 1)
    yield "a storage of 2**50 elements, old form", claim
    count = struct.pack("<q", 6)
    yield "numbers of 2**50 elements, old form", OLD.replace(count, struct.pack("<q", 1 << 50))


def with_entry(change: Callable[[zipfile.ZipInfo], None], name: str = "archive/data/0") -> bytes:
    """``GOOD`` with one entry of its table of contents changed after it was written."""
    out = io.BytesIO(GOOD)
    with zipfile.ZipFile(out, "a") as archive:
        change(archive.getinfo(name))
        archive._didModify = True  # type: ignore[attr-defined]
    return out.getvalue()


def renamed(name: str) -> bytes:
    return repacked(GOOD, lambda records: records.update({name: records.pop("archive/data/0")}))


def packed(name: str, content: bytes) -> bytes:
    return repacked(GOOD, lambda records: records.update({name: content}), zipfile.ZIP_DEFLATED)


def archives() -> Iterator[tuple[str, Any]]:
    """Zip files that lie about what is in them."""

    def claims(size: int, method: int = 0) -> Callable[[zipfile.ZipInfo], None]:
        def change(entry: zipfile.ZipInfo) -> None:
            entry.file_size = entry.compress_size = size
            if method:
                entry.compress_type, entry.compress_size = method, 10

        return change

    yield "a bomb of zeros", lambda: packed("archive/data/0", bytes(300 << 20))
    yield "a bomb of a pickle", lambda: packed("archive/data.pkl", b"\x80\x02" + b"(" * (60 << 20))
    yield "a record of 2**40 bytes", with_entry(claims(1 << 40))
    yield "a record of 2**31 bytes", with_entry(claims(1 << 31))
    yield "a record of too many bytes", with_entry(claims(len(GOOD)))
    yield "a record packed into ten bytes", with_entry(claims(20 << 20, zipfile.ZIP_DEFLATED))
    yield (
        "a pickle packed into ten bytes",
        with_entry(claims(20 << 20, zipfile.ZIP_DEFLATED), "archive/data.pkl"),
    )
    yield (
        "a record outside of the file",
        with_entry(lambda entry: setattr(entry, "header_offset", len(GOOD) + 100)),
    )
    yield (
        "a record in the table of contents",
        with_entry(lambda entry: setattr(entry, "header_offset", len(GOOD) - 60)),
    )
    yield "an encrypted record", with_entry(lambda entry: setattr(entry, "flag_bits", 1))
    yield (
        "a record of another",
        with_entry(lambda entry: setattr(entry, "filename", "archive/data/1")),
    )
    for path in ("../../etc/x", "/etc/x", "..\\..\\x", "C:\\x", "other/data/0"):
        yield f"a record called {path}", renamed(path)
    yield "a record that climbs out", renamed("archive/../../../tmp/cresset-was-here")
    yield "a nul byte in a name", GOOD.replace(b"archive/data/0", b"archive\0data/0")
    f = io.BytesIO()
    with zipfile.ZipFile(f, "w") as bomb:
        bomb.writestr("archive/data.pkl", b"\x80\x02N." + bytes(1000))
        bomb.writestr("archive/version", b"3\n")
        first = bomb.infolist()[0]
        for i in range(5000):
            twin = zipfile.ZipInfo(f"archive/data/{i}")
            twin.header_offset, twin.CRC = first.header_offset, first.CRC
            twin.file_size = twin.compress_size = first.file_size
            bomb.filelist.append(twin)
            bomb.NameToInfo[twin.filename] = twin
        bomb._didModify = True  # type: ignore[attr-defined]
    yield "five thousand names for the same bytes", f.getvalue()
    yield (
        "a record over another",
        with_entry(lambda entry: setattr(entry, "header_offset", 70), "archive/byteorder"),
    )
    yield "a name of sixty thousand letters", renamed("x" * 60_000)
    yield (
        "a version of a thousand digits",
        repacked(GOOD, lambda r: r.update({"archive/version": b"9" * 1000})),
    )
    yield (
        "a byte order of a megabyte",
        repacked(GOOD, lambda r: r.update({"archive/byteorder": b"x" * 10**6})),
    )


def files() -> Iterator[tuple[str, Any]]:
    """Everything above; what takes long to make is a function."""
    for group in (executing(), greedy(), archives()):
        yield from group


def report() -> dict[str, str]:
    """By file what loading it raised, or what else happened."""
    ear = Ear()
    found: dict[str, str] = {}
    everything = [(name, made() if callable(made) else made) for name, made in files()]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.pt"
        for data in (GOOD, OLD, saved(Call(eval, "1"))):
            check_quietly(data, path, ear)
        limit_memory(MEMORY)
        for name, data in everything:
            faulthandler.dump_traceback_later(60, exit=True)
            started = time.process_time()
            try:
                check(data, path, ear)
                load(path, weights_only=True)
                found[name] = "loaded"
            except CLEAR as error:
                found[name] = f"{type(error).__name__}: {error}"
            except BaseException as error:
                found[name] = f"UNCLEAR {type(error).__name__}: {error}"
                ear.heard.clear()
            if time.process_time() - started > 20:
                found[name] = f"SLOW {found[name]}"
            faulthandler.cancel_dump_traceback_later()
    return found


if __name__ == "__main__":
    json.dump(report(), sys.stdout)
