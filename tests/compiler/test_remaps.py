"""Elements in another order, against the kernels."""

from __future__ import annotations

import pytest

import cresset as torch
import cresset.nn.functional as F
from cresset.core.modes import PROCESS

from .both import agree

pytestmark = pytest.mark.skipif(PROCESS.eager, reason="eager mode compiles nothing")

DTYPES = [torch.bool, torch.int64, torch.bfloat16, torch.float16, torch.float32, torch.complex64]


@pytest.mark.parametrize("kind", DTYPES)
def test_turned_rolled_and_repeated(kind):
    x = torch.arange(30).view(2, 5, 3).to(kind)
    y = x.transpose(0, 2)[:, 1:]

    def program():
        return [
            x.flip(0), x.flip(1, 2), y.flip(0, 2), x.roll(2, 1), x.roll((-1, 7), (0, 2)),
            x.roll(4), y.roll((1, 2), (1, 1)), x.repeat(2, 1, 3), y.repeat(2, 1, 2, 1),
            x.tril(), x.triu(1), y.tril(-1), x.flip(()),
        ]  # fmt: skip

    agree(program)


@pytest.mark.parametrize("kind", [torch.int64, torch.float16, torch.float32, torch.float64])
def test_padding_with_a_value(kind):
    x = torch.arange(24).view(2, 3, 4).to(kind)

    def program():
        return [
            F.pad(x, (1, 2)), F.pad(x, (0, 1, 2, 0), value=3), F.pad(x, (-1, 2, 1, -1)),
            F.pad(x.transpose(0, 2), (1, 1, 1, 1, 1, 1), value=-1), F.pad(x, (-2, -1, 1, 1)),
        ]  # fmt: skip

    agree(program)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_padding_with_what_is_inside(mode):
    x, y = torch.randn(2, 3, 5, 6), torch.randn(1, 2, 3, 4, 5)

    def program():
        return [
            F.pad(x, (1, 2, 3, 0), mode=mode), F.pad(x.transpose(2, 3), (2, 2, 0, 1), mode=mode),
            F.pad(x[0], (3, 1), mode=mode), F.pad(y, (1, 1, 2, 1, 0, 2), mode=mode),
        ]  # fmt: skip

    agree(program)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "constant"])
def test_gradients_of_padding(mode):
    def program():
        x = torch.randn(2, 3, 5, 6, requires_grad=True)
        (F.pad(x, (1, 2, 3, 0), mode=mode) * torch.randn(2, 3, 8, 9)).sum().backward()
        return [x.grad]

    agree(program, 2e-6, 2e-6)


def test_pixels_and_channels_change_places():
    x = torch.randn(2, 8, 4, 6)

    def program():
        return [
            F.pixel_shuffle(x, 2), F.pixel_unshuffle(x, 2), F.pixel_shuffle(x[0], 2),
            F.channel_shuffle(x, 4),
        ]  # fmt: skip

    agree(program)
