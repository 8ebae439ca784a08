from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from pickle import UnpicklingError

import pytest

import cresset
from cresset.serialization import load

from . import hostile
from .checkpoints import loaded, repacked, saved, with_pickle
from .fuzz import CLEAR

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of Linux")
NAMES = [name for name, _ in hostile.files()]
MARK = Path("/tmp/cresset-was-here")

#: What the error says, where it is not that a global is unsupported.
WORDS = {
    "instance": "Unsupported operand 105",
    "stack global": "Unsupported operand 147",
    "extension": "Unsupported operand 130",
    "plain pickle": "Unsupported operand 149",
    "tuple bomb as a key": "a tuple that is a dict key or in a set is too large",
    "tuple bomb in a set": "a tuple that is a dict key or in a set is too large",
    "tuple bomb in an OrderedDict": "a tuple that is a dict key or in a set is too large",
    "deep tuple as a key": "a tuple that is a dict key or in a set is too large",
    "tuple bomb as a storage's key": "a storage's key and location are texts",
    "bomb as a location": "a storage's key and location are texts",
    "bomb as an id": "saved_id must be a tuple of 5 or 6",
    "bomb as a function": "Trying to call reduce for unrecognized function a <class 'tuple'>",
    "bomb as a class": "Can only create new object for nn.Parameter",
    "bomb as an encoding": "_codecs.encode may only make latin1 bytes, but got a <class 'tuple'>",
    "tuple bomb as a state": "expected a dict as state, but got tuple",
    "a set of 2**50 rows": "a set may only be made of a list",
    "an OrderedDict of 2**50 rows": "an OrderedDict may only be made of a list of pairs",
    "a Counter of 2**50 rows": "a Counter may only be made of a dict",
    "2**50 arguments": "expected a tuple of arguments, but got <class 'cresset.tensor.Tensor'>",
    "a size of 2**50 rows": "expected a tuple as size, but got Tensor",
    "bytes by number": "invalid pickle: TypeError",
    "a bytearray by number": "bytearray may only be made of bytes, but got <class 'int'>",
    "one text encoded a thousand times": "the file asks for more copies than it has bytes",
    "one list turned into a thousand sets": "the file asks for more copies than it has bytes",
    "colliding keys": "too many keys of dicts and sets are very large numbers",
    "text of 2 GiB": "Ran out of input",
    "a name without an end": "the name of a global is too long",
    "more dimensions than there are": "tensors of 100 dimensions are not supported, only of 64",
    "2**200 elements": "numel: integer multiplication overflow",
    "a negative size": "Trying to create tensor with invalid geometry: sizes [-1]",
    "a tensor beyond its storage": "are out of bounds for storage of size 12",
    "a storage of 2**50 elements": "record size (12 bytes) does not match expected size",
    "a storage of as many elements as dict keys": "a storage cannot have a <class 'dict'> elem",
    "a storage of 2**50 elements, old form": "unexpected EOF, expected 4503599627370",
    "numbers of 2**50 elements, old form": "storage has wrong size: expected 6 got 11258999",
    "a bomb of zeros": "its compressed records claim 314573105 bytes, more than the 7",
    "a bomb of a pickle": "file data.pkl: it is compressed far more than what it should hold can",
    "a record of 2**40 bytes": "records claim 1099511628",
    "a record of 2**31 bytes": "records claim 21474839",
    "a record of too many bytes": "bytes but the file has",
    "a record packed into ten bytes": "does not match expected size (24 bytes",
    "a pickle packed into ten bytes": "file data.pkl: it is compressed far more than what it sho",
    "a record outside of the file": "file data/0: it lies outside of the file",
    "a record in the table of contents": "file data/0: its header is damaged",
    "an encrypted record": "file in archive is encrypted: archive/data/0",
    "a record of another": "two records have the same name",
    "a record that climbs out": "failed locating file data/0",
    "a nul byte in a name": "file in archive is not in a subdirectory archive/: archive",
    "five thousand names for the same bytes": "its records claim 5021006 bytes but the file has",
    "a record over another": "file archive/byteorder: it lies over the record before it",
    "a name of sixty thousand letters": "file in archive is not in a subdirectory archive/: xxx",
    "a version of a thousand digits": "is not a version number",
    "a byte order of a megabyte": "Unknown endianness type: xxxxxxxxxxxxxxxxxxxx",
}


def expected(name: str) -> str:
    if name.startswith("a record called "):
        return "file in archive is not in a subdirectory archive/"
    return WORDS.get(name, "GLOBAL ")


@pytest.fixture(scope="module")
def outcome() -> dict[str, str]:
    """What loading each file came to, in a process with 512 MiB."""
    MARK.unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.serialization.hostile"],
        capture_output=True, text=True, timeout=300, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_file_gets_an_error_and_nothing_else(outcome, name):
    assert expected(name) in outcome[name]
    assert not outcome[name].startswith(("UNCLEAR", "SLOW", "loaded"))


def test_no_hostile_file_left_a_trace(outcome):
    assert set(WORDS) <= set(NAMES)
    assert len(outcome) == len(NAMES) and not MARK.exists()


def test_a_file_cut_off_anywhere_is_refused():
    for data in (hostile.GOOD, hostile.OLD):
        for length in range(0, len(data), 64):
            with pytest.raises(CLEAR):
                loaded(data[:length])


def test_a_file_cut_off_anywhere_is_refused_when_it_is_mapped(tmp_path):
    path = tmp_path / "x.pt"
    for length in range(0, len(hostile.GOOD), 64):
        path.write_bytes(hostile.GOOD[:length])
        with pytest.raises(CLEAR):
            load(path, mmap=True)


def test_a_flipped_bit_is_an_error_or_changes_nothing():
    good = loaded(hostile.GOOD)
    unnoticed = 0
    for at in range(len(hostile.GOOD)):
        broken = bytearray(hostile.GOOD)
        broken[at] ^= 1 << at % 8
        try:
            found = loaded(bytes(broken))
        except CLEAR:
            continue
        unnoticed += 1
        assert found.keys() == good.keys(), at
        assert all(cresset.equal(found[key], good[key]) for key in good), at
    assert unnoticed < 0.7 * len(hostile.GOOD)  # padding, dates, records that are not read


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_flipped_bit_in_the_old_form_raises_nothing_unclear():
    for at in range(len(hostile.OLD)):
        broken = bytearray(hostile.OLD)
        broken[at] ^= 1 << at % 8
        try:
            loaded(bytes(broken))
        except CLEAR:
            pass


# -- found by the fuzzer -------------------------------------------------------------------------


def test_a_compressed_record_outside_of_the_file_is_refused():
    packed = io.BytesIO(repacked(hostile.GOOD, lambda records: None, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(packed, "a") as archive:
        archive.getinfo("archive/data.pkl").header_offset = 1 << 62
        archive._didModify = True
    with pytest.raises(RuntimeError, match="data.pkl: it lies outside of the file"):
        loaded(packed.getvalue())


def old_form(*parts: bytes) -> bytes:
    """``OLD`` with its first pickles replaced by others."""
    import pickletools

    rest = hostile.OLD
    for _ in parts:
        rest = rest[1 + max(at for _, _, at in pickletools.genops(rest)) :]
    return b"".join(parts) + rest


MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
VERSION = b"\x80\x02M\xe9\x03."


def test_a_bomb_in_place_of_the_version_is_not_shown():
    with pytest.raises(RuntimeError, match="Invalid protocol version: a <class 'tuple'>"):
        loaded(old_form(MAGIC, b"\x80\x02" + hostile.BOMB + b"."))


def test_a_bomb_in_the_list_of_storages_is_not_sorted():
    system, nothing, keys = b"\x80\x02}.", b"\x80\x02N.", b"\x80\x02]" + hostile.BOMB + b"a."
    with pytest.raises(RuntimeError, match="the list of storages is not that of the object"):
        loaded(old_form(MAGIC, VERSION, system, nothing, keys))


def test_a_name_of_sixty_thousand_letters_is_not_shown():
    with pytest.raises(UnpicklingError, match="the name of a global is too long"):
        loaded(with_pickle(b"\x80\x02cos\n" + b"x" * 60_000 + b"\nR."))


def test_a_text_that_is_none_is_not_shown():
    with pytest.raises(UnpicklingError, match="UnicodeDecodeError") as caught:
        loaded(with_pickle(b"\x80\x02X\x60\xea\0\0" + b"\xff" * 60_000 + b"."))
    assert len(str(caught.value)) < 1_000


# -- what honest files need is still there -------------------------------------------------------


def test_containers_of_any_honest_size_load():
    many = {i: {str(i), i} for i in range(3_000)}
    keys = {(i, ("a", 2**80 + i)): i for i in range(3_000)}
    texts = [b"\xff" * 5_000, bytearray(b"\xfe" * 70_000), b"\x80" * 70_000]
    again = loaded(saved([many, keys, texts]))
    assert again == [many, keys, texts]
