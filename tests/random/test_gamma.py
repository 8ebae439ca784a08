"""Gamma and Dirichlet samples: PyTorch's numbers from PyTorch's draws."""

from __future__ import annotations

import numpy as np
import pytest

from cresset.random.gamma import dirichlet, gamma
from cresset.random.generator import Generator


def test_a_seed_gives_pytorchs_shares() -> None:
    g = Generator().manual_seed(1)
    rows = dirichlet(g, np.ones((2, 3), np.float32))
    np.testing.assert_array_equal(
        rows,
        np.array(
            [[0.5179755, 0.3448762, 0.13714829], [0.5539017, 0.13375181, 0.31234652]], np.float32
        ),
    )


@pytest.mark.parametrize("concentration", [1.0, 0.3, 2.5, 40.0])
def test_every_seed_gives_pytorchs_shares(concentration: float) -> None:
    torch = pytest.importorskip("torch")
    table = np.full((3, 4), concentration, np.float32)
    for seed in range(20):
        torch.manual_seed(seed)
        g = Generator().manual_seed(seed)
        np.testing.assert_array_equal(
            dirichlet(g, table), torch._sample_dirichlet(torch.from_numpy(table)).numpy()
        )
        assert g.floats(1)[0] == torch.rand(1).item()  # as many draws


def test_the_mean_of_samples_is_their_shape() -> None:
    g = Generator().manual_seed(0)
    for shape in (0.5, 3.0):
        samples = [gamma(g, shape) for _ in range(4000)]
        assert np.mean(samples) == pytest.approx(shape, rel=0.1)
        assert np.var(samples) == pytest.approx(shape, rel=0.15)


def test_a_shape_of_zero_gives_zero_and_draws_nothing() -> None:
    g, twin = Generator().manual_seed(0), Generator().manual_seed(0)
    assert gamma(g, 0.0) == 0.0
    assert g.floats(1)[0] == twin.floats(1)[0]
