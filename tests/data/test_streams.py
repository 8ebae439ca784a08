"""The numbers behind shuffles, splits and worker seeds, as PyTorch 2.13 gave them.

``test_sampler.py`` and ``test_dataloader.py`` compare with PyTorch itself where it is installed;
these hold without it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cresset as torch
from cresset.utils import data

STREAMS: list[tuple[Callable[[], Any], list]] = [
    (lambda: list(data.RandomSampler(range(8))), [2, 5, 4, 6, 1, 7, 0, 3]),
    (lambda: list(data.RandomSampler(range(8), True, 5)), [2, 2, 4, 5, 1]),
    (lambda: list(data.SubsetRandomSampler([4, 5, 6, 7])), [4, 5, 7, 6]),
    (lambda: list(data.WeightedRandomSampler([0.1, 0.9, 0.4], 5)), [2, 1, 1, 2, 1]),
    (lambda: list(data.DistributedSampler(range(7), 2, 1)), [0, 3, 6, 4]),
    (lambda: [list(p) for p in data.random_split(range(7), [3, 4])], [[4, 0, 5], [3, 2, 6, 1]]),
    (
        lambda: [
            list(p)
            for p in data.random_split(range(7), [0.5, 0.5], torch.Generator().manual_seed(4))
        ],
        [[3, 1, 0, 4], [2, 5, 6]],
    ),
    (
        lambda: [b.tolist() for _ in range(2) for b in data.DataLoader(range(7), 3, shuffle=True)],
        [[0, 4, 1], [5, 2, 6], [3], [3, 1, 4], [2, 5, 0], [6]],
    ),
]


@pytest.mark.parametrize(("draw", "expected"), STREAMS)
def test_a_seed_gives_pytorchs_order(draw: Callable[[], Any], expected: list) -> None:
    torch.manual_seed(0)
    assert draw() == expected


class Seeds(data.Dataset):
    """Samples that say what the worker's generators give."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, i: int) -> tuple:
        info = data.get_worker_info()
        assert info is not None
        return info.seed, random.random(), np.random.rand(), torch.rand(1).item()


def test_workers_are_seeded_as_pytorch_seeds_them() -> None:
    torch.manual_seed(0)
    found = list(data.DataLoader(Seeds(), batch_size=None, num_workers=2))
    assert [tuple(sample) for sample in found] == [
        (900450186894289455, 0.21315340548154382, 0.8371640508861415, 0.7821398973464966),
        (900450186894289456, 0.7733861492043289, 0.6702704958690073, 0.6938178539276123),
        (900450186894289455, 0.2764485855185723, 0.38757835109739946, 0.053598999977111816),
    ]


@pytest.mark.parametrize("options", [{}, {"num_workers": 2, "in_order": True}])
def test_the_draw_after_a_pass_does_not_depend_on_workers(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    list(data.DataLoader(range(7), 3, shuffle=True, **options))
    found = torch.rand(1).item()
    torch.manual_seed(0)
    list(data.DataLoader(range(100), 3, shuffle=True))
    assert torch.rand(1).item() == found
