"""Padding and packing sequences, beside PyTorch."""

from __future__ import annotations

import pytest

import cresset
from cresset.nn.utils.rnn import PackedSequence, pack_padded_sequence


def batch(t):
    return t.arange(24.0).view(4, 3, 2)


def packed(t):
    return t.nn.utils.rnn.pack_padded_sequence(batch(t), [1, 4, 2], enforce_sorted=False)


def utils(name):
    return lambda t: getattr(t.nn.utils.rnn, name)


pack, pad, unpad = (utils(f"{n}_sequence") for n in ("pack", "pad", "unpad"))
pack_padded, pad_packed = utils("pack_padded_sequence"), utils("pad_packed_sequence")

ACTIONS = {
    "packed": lambda t: pack_padded(t)(batch(t), [4, 2, 1]),
    "packed, lengths a tensor": lambda t: pack_padded(t)(batch(t), t.tensor([4, 2, 1])),
    "packed, lengths floats": lambda t: pack_padded(t)(batch(t), t.tensor([4.0, 2, 1])),
    "packed, batch first": lambda t: pack_padded(t)(batch(t), [3, 3, 2, 1], batch_first=True),
    "packed, any order": packed,
    "packed, wrong order": lambda t: pack_padded(t)(batch(t), [1, 4, 2]),
    "packed, too few lengths": lambda t: pack_padded(t)(batch(t), [4, 2]),
    "packed, no lengths": lambda t: pack_padded(t)(batch(t), []),
    "packed, length zero": lambda t: pack_padded(t)(batch(t), [4, 2, 0]),
    "padded again": lambda t: pad_packed(t)(packed(t)),
    "padded longer": lambda t: pad_packed(t)(packed(t), True, -1, 5),
    "padded shorter": lambda t: pad_packed(t)(packed(t), total_length=2),
    "sequences": lambda t: pack(t)([t.ones(3), t.ones(2)]),
    "sequences in wrong order": lambda t: pack(t)([t.ones(1), t.ones(2)]),
    "sequences in any order": lambda t: pack(t)([t.ones(1), t.ones(2)], enforce_sorted=False),
    "padded": lambda t: pad(t)([t.ones(3), t.ones(2)]),
    "padded, batch first": lambda t: pad(t)([t.ones(3, 2), t.ones(2, 2)], True, 9.0),
    "padded left": lambda t: pad(t)([t.ones(3), t.ones(2)], True, padding_side="left"),
    "padded elsewhere": lambda t: pad(t)([t.ones(3), t.ones(2)], True, padding_side="x"),
    "padded nothing": lambda t: pad(t)([]),
    "padded a number": lambda t: pad(t)(3),
    "padded numbers": lambda t: pad(t)([t.ones(2), 3]),
    "padded a tensor": lambda t: pad(t)(t.ones(2, 3)),
    "unpadded": lambda t: unpad(t)(t.ones(4, 3), t.tensor([4, 2, 1])),
    "unpadded, batch first": lambda t: unpad(t)(t.ones(3, 4), t.tensor([4, 2, 1]), True),
    "unpacked": lambda t: utils("unpack_sequence")(t)(packed(t)),
    "converted": lambda t: packed(t).double().to(t.float16).float(),
    "made by hand": lambda t: t.nn.utils.rnn.PackedSequence(
        t.ones(3), t.tensor([2, 1]), t.tensor([1, 0])
    ),
    "made of nothing": lambda t: t.nn.utils.rnn.PackedSequence(t.ones(3)),
}


@pytest.mark.parametrize("name", ACTIONS)
def test_gives_what_pytorch_gives(name):
    torch = pytest.importorskip("torch")
    seen = []
    for library in (cresset, torch):
        try:
            seen.append(repr(ACTIONS[name](library)))
        except Exception as error:
            seen.append((type(error).__name__, str(error)))
    assert seen[0] == seen[1]


def test_gradients_flow_through_packing_and_padding():
    x = batch(cresset).requires_grad_()
    padded, lengths = cresset.nn.utils.rnn.pad_packed_sequence(pack_padded_sequence(x, [4, 2, 1]))
    (padded * padded).sum().backward()
    inside = cresset.tensor([[1.0, 1, 1], [1, 1, 0], [1, 0, 0], [1, 0, 0]]).unsqueeze(2)
    assert cresset.equal(x.grad, 2 * x.detach() * inside) and lengths.tolist() == [4, 2, 1]


def test_a_packed_sequence_that_need_not_move_is_itself():
    p = packed(cresset)
    assert p.to("cpu") is p and isinstance(p, PackedSequence) and not p.is_cuda
