"""Pickles of data sets, read without executing anything."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import standins

from cresset.vision.datasets.unpickle import load_plain


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("dtype", ["uint8", ">i4", "float64", "bool"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_plain_pickles_of_each_protocol_are_read(
    tmp_path: Path, protocol: int, dtype: str, order: Any
) -> None:
    array = np.asarray(np.arange(12).reshape(3, 4), dtype=dtype, order=order)
    content = {"data": array, "labels": [1, 2], "more": (None, True, 1.5, "text", {"k": array[0]})}
    (tmp_path / "x").write_bytes(pickle.dumps(content, protocol))
    read = load_plain(tmp_path / "x")
    assert read["data"].dtype == array.dtype
    assert (read["data"] == array).all()
    assert read["labels"] == [1, 2]
    assert read["more"][:4] == (None, True, 1.5, "text")
    assert (read["more"][4]["k"] == array[0]).all()


@pytest.mark.parametrize(
    "thing",
    [np.array([{}], dtype=object), np.array(["text"]), np.zeros(2, "i4,f4"), {1}.__class__, print,
     np.random.default_rng(0), slice(1)],
)  # fmt: skip
def test_pickles_of_anything_else_are_refused(tmp_path: Path, thing: Any) -> None:
    for protocol in (2, 5):
        (tmp_path / "x").write_bytes(pickle.dumps({"data": thing}, protocol))
        with pytest.raises(pickle.UnpicklingError):
            load_plain(tmp_path / "x")


@pytest.mark.parametrize(
    "raw",
    [b"", b"\x80\x02}q", b"cnumpy\ndtype\n(S'u1'\ntR}b.", b"cnumpy\nndarray\n(I9\ntR.",
     b"cnumpy\ndtype\n(S'O'\ntR.", b"c_codecs\nencode\n(S'a'\nS'zip'\ntR.",
     b"cnumpy.core.multiarray\n_reconstruct\n(tR(tb.",
     b"cnumpy.core.multiarray\n_reconstruct\n}S'x'\nI1\nsb.", b"\x82\x01."],
)  # fmt: skip
def test_malformed_pickles_are_refused(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "x").write_bytes(raw)
    with pytest.raises(pickle.UnpicklingError):
        load_plain(tmp_path / "x")


@pytest.mark.parametrize("length", [10, 255, 256, 4095, 4096, 100_000])
def test_byte_strings_of_python_2_are_text_or_an_arrays(tmp_path: Path, length: int) -> None:
    text = "\xe9t\xe9 " * (length // 4) + "." * (length % 4)
    array = np.arange(length, dtype=np.uint8)
    content = {"text": text.encode("latin1"), "list": [text.encode("latin1"), 1], "data": array}
    (tmp_path / "x").write_bytes(standins.python2_pickle(content))
    read = load_plain(tmp_path / "x")
    assert read["text"] == text
    assert read["list"] == [text, 1]
    assert (read["data"] == array).all()


def test_every_damaged_byte_of_a_batch_is_read_or_refused(tmp_path: Path) -> None:
    raw = standins.python2_pickle({"data": np.zeros((1, 4), np.uint8), "labels": [3]})
    for place in range(len(raw)):
        for change in (1, 0x20, 0xFF):
            damaged = bytearray(raw)
            damaged[place] ^= change
            (tmp_path / "x").write_bytes(damaged)
            try:
                load_plain(tmp_path / "x")
            except pickle.UnpicklingError:
                pass
