"""Blocks of layers, as torchvision's: their parts, names, draws and outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from oracle import load_torchvision

import cresset
from cresset.vision import ops
from cresset.vision.ops import misc

#: How to make it of (the library, its torchvision.ops); the shape of its input.
BLOCKS: list[tuple[str, Any, tuple[int, ...]]] = [
    ("conv", lambda t, o: o.Conv2dNormActivation(3, 8, stride=2, dilation=2), (2, 3, 9, 9)),
    ("uneven", lambda t, o: o.Conv2dNormActivation(
        4, 8, (3, 5), groups=2, norm_layer=None, activation_layer=t.nn.SiLU, inplace=None,
    ), (2, 4, 6, 7)),
    ("spread", lambda t, o: o.Conv2dNormActivation(3, 4, 3, dilation=(1, 2)), (1, 3, 8, 8)),
    ("bare", lambda t, o: o.Conv2dNormActivation(3, 4, 1, activation_layer=None), (1, 3, 4, 4)),
    ("conv3d", lambda t, o: o.Conv3dNormActivation(2, 4), (1, 2, 5, 5, 5)),
    ("squeeze", lambda t, o: o.SqueezeExcitation(8, 2), (2, 8, 5, 5)),
    ("mlp", lambda t, o: o.MLP(6, [5, 4, 3], norm_layer=t.nn.LayerNorm, inplace=True), (2, 6)),
    ("mlp_without", lambda t, o: o.MLP(6, [4], bias=False), (2, 6)),
    ("permute", lambda t, o: o.Permute([0, 2, 1]), (2, 3, 4)),
    ("frozen", lambda t, o: o.FrozenBatchNorm2d(3), (2, 3, 4, 4)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "make", "shape"), BLOCKS, ids=[row[0] for row in BLOCKS])
def test_a_block_is_torchvisions(name: str, make: Any, shape: tuple[int, ...]) -> None:
    torch, torchvision = load_torchvision()
    torch.manual_seed(0)
    cresset.manual_seed(0)
    theirs, ours = make(torch, torchvision.ops), make(cresset, ops)
    assert repr(ours) == repr(theirs)
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    expected = theirs(torch.from_numpy(x)).detach().numpy()
    found = ours(cresset.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    state = theirs.state_dict()
    assert {k: tuple(v.shape) for k, v in ours.state_dict().items()} == {
        k: tuple(v.shape) for k, v in state.items()
    }


def test_stochastic_depth_leaves_out_what_torchvision_does() -> None:
    torch, torchvision = load_torchvision()
    x = np.ones((6, 2, 3), np.float32)
    for p, mode in ((0.5, "row"), (0.5, "batch"), (1.0, "row"), (0.0, "batch")):
        torch.manual_seed(2)
        cresset.manual_seed(2)
        theirs = torchvision.ops.StochasticDepth(p, mode)
        ours = ops.StochasticDepth(p, mode)
        assert repr(ours) == repr(theirs)
        for _ in range(3):
            expected = theirs(torch.from_numpy(x)).numpy()
            assert np.array_equal(ours(cresset.from_numpy(x)).numpy(), expected)


def test_stochastic_depth_keeps_the_mean_and_whole_rows() -> None:
    cresset.manual_seed(0)
    out = ops.stochastic_depth(cresset.ones(1000, 2), 0.25, "row").numpy()
    assert np.isin(out, [0.0, np.float32(4 / 3)]).all()
    assert (out[:, 0] == out[:, 1]).all()
    assert abs(out.mean() - 1) < 0.05
    x = cresset.ones(2, 2)
    assert ops.stochastic_depth(x, 0.5, "row", training=False) is x
    with pytest.raises(ValueError, match="drop probability has to be between 0 and 1, but got 2"):
        ops.stochastic_depth(x, 2.0, "row")
    with pytest.raises(ValueError, match="mode has to be either 'batch' or 'row', but got col"):
        ops.stochastic_depth(x, 0.5, "col")


def test_a_frozen_norm_reads_a_batch_norms_checkpoint_and_has_nothing_to_train() -> None:
    norm = cresset.nn.BatchNorm2d(2)
    norm(cresset.randn(4, 2, 3, 3))
    frozen = ops.FrozenBatchNorm2d(2)
    frozen.load_state_dict(norm.state_dict())
    assert list(frozen.parameters()) == []
    x = cresset.randn(2, 2, 3, 3)
    cresset.testing.assert_close(frozen(x), norm.eval()(x).detach())


def test_the_common_class_is_not_to_be_used_itself() -> None:
    with pytest.warns(UserWarning, match="Don't use ConvNormActivation directly"):
        misc.ConvNormActivation(3, 4)
