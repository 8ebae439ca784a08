"""``nn.functional`` beside PyTorch: values and two derivatives over grids of options; errors."""

from __future__ import annotations

import pytest

import cresset
import cresset.nn.functional as F

from ..ops.harness import OpRow, gradients, values
from .table_functional import ROWS

GROUPS: dict[str, list[OpRow]] = {}
for _row in ROWS:
    GROUPS.setdefault(_row.name.partition("(")[0], []).append(_row)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("function", GROUPS)
def test_options_mean_what_they_mean_in_pytorch(function):
    for row in GROUPS[function]:
        values(row)
        gradients(row)


def test_known_values():
    x = cresset.arange(6.0).view(1, 1, 6)
    w = cresset.tensor([[[1.0, 0.0, -1.0]]])
    assert F.conv1d(x, w, padding="same").tolist() == [[[-1.0, -2.0, -2.0, -2.0, -2.0, 4.0]]]
    assert F.conv1d(x, w, stride=2, dilation=2).tolist() == [[[-4.0]]]
    assert F.max_pool1d(x, 2, ceil_mode=True, stride=4).tolist() == [[[1.0, 5.0]]]
    assert F.avg_pool1d(x, 2, 2, 1).tolist() == [[[0.0, 1.5, 3.5, 2.5]]]
    assert F.avg_pool1d(x, 2, 2, 1, count_include_pad=False).tolist() == [[[0.0, 1.5, 3.5, 5.0]]]
    target = cresset.tensor([0, 1])
    scores = cresset.zeros(2, 4)
    assert F.cross_entropy(scores, target, ignore_index=1).item() == pytest.approx(1.3862944)
    assert F.nll_loss(scores - 2, target, reduction="none").tolist() == [2.0, 2.0]
