"""What PyTorch 0.1 to 0.4 took: under ``--legacy``, and what PyTorch still takes without it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import cresset as torch
from cresset.autograd import Variable
from cresset.compat import legacy

F, nn = torch.nn.functional, torch.nn


@pytest.fixture
def old() -> Iterator[None]:
    legacy.enable()
    yield
    legacy.disable()


def test_the_only_element_of_a_loss_is_read_by_index(old: None) -> None:
    loss = F.mse_loss(torch.ones(2), torch.zeros(2))
    assert f"{loss.data[0]:.3f}" == "1.000"
    with pytest.raises(IndexError):
        loss.data[1]


def test_a_loss_takes_a_gradient_of_one_element(old: None) -> None:
    x = Variable(torch.ones(2, 2), requires_grad=True)
    (3 * (x + 2) * (x + 2)).mean().backward(torch.Tensor([1.0]))
    assert x.grad.tolist() == [[4.5, 4.5], [4.5, 4.5]]


def test_the_tape_is_walked_by_its_old_names(old: None) -> None:
    x = Variable(torch.ones(1), requires_grad=True)
    y = (x * 2).exp()
    assert x.creator is None
    assert y.creator.name() == "ExpBackward0"
    assert y.creator.previous_functions[0][0].name() == "MulBackward0"
    leaf = y.creator.previous_functions[0][0].previous_functions[0][0]
    assert leaf.previous_functions == ()


def test_a_mask_is_turned_round_by_subtraction(old: None) -> None:
    assert (1 - (torch.tensor([1.0, -1.0]) > 0)).tolist() == [0, 1]


def test_the_index_of_a_largest_element_may_be_indexed_once_more(old: None) -> None:
    _, predicted = torch.max(torch.tensor([[1.0, 3.0, 2.0]]), 1)
    assert ["a", "b", "c"][predicted[0][0]] == "b"


def test_an_iterator_of_a_loader_has_next(old: None) -> None:
    assert iter(torch.utils.data.DataLoader([7, 8])).next().tolist() == [7]


REFUSED: dict[str, Any] = {
    "loss.data[0]": lambda: torch.tensor(1.0).data[0],
    "backward of one element": lambda: (
        torch.ones(1, requires_grad=True).sum().backward(torch.ones(1))
    ),
    "1 - mask": lambda: 1 - (torch.ones(1) > 0),
    "creator": lambda: torch.ones(1).creator,
    "next()": lambda: iter(torch.utils.data.DataLoader([7])).next(),
}


@pytest.mark.parametrize("name", REFUSED)
def test_without_the_flag_it_fails_as_in_pytorch(name: str) -> None:
    with pytest.raises((AttributeError, IndexError, RuntimeError)):
        REFUSED[name]()


#: Calls that PyTorch 2.13 still takes, and what they give.
TAKEN: dict[str, Any] = {
    "add_": lambda T: T.ones(2).add_(0.5, T.ones(2)),
    "add": lambda T: T.add(T.ones(2), 2, T.ones(2)),
    "sub_": lambda T: T.ones(2).sub_(0.5, T.ones(2)),
    "addcmul_": lambda T: T.ones(2).addcmul_(0.5, T.ones(2), T.ones(2) * 3),
    "addcdiv_": lambda T: T.ones(2).addcdiv_(-1, T.ones(2), T.ones(2) * 4),
    "range": lambda T: T.range(0, 1, 0.25),
    "size_average": lambda T: T.nn.MSELoss(size_average=False)(T.ones(3), T.zeros(3)),
    "reduce": lambda T: T.nn.L1Loss(reduce=False)(T.ones(3), T.zeros(3)),
    "sigmoid": lambda T: T.nn.functional.sigmoid(T.zeros(2)),
    "softmax without dim": lambda T: T.nn.functional.softmax(T.zeros(2, 2)),
    "a byte mask": lambda T: T.arange(3)[T.ByteTensor([1, 0, 1])],
    "xavier_uniform": lambda T: T.nn.init.constant(T.ones(2), 0.5),
    "upsample": lambda T: T.nn.functional.upsample(T.ones(1, 1, 1, 1), scale_factor=2),
    "Variable": lambda T: T.autograd.Variable(T.ones(2), volatile=True),
    "volatile": lambda T: T.tensor(T.autograd.Variable(T.ones(2)).volatile),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TAKEN)
def test_what_pytorch_still_takes_needs_no_flag(name: str) -> None:
    oracle = pytest.importorskip("torch")
    ours, theirs = TAKEN[name](torch), TAKEN[name](oracle)
    assert (ours.tolist(), str(ours.dtype)) == (theirs.tolist(), str(theirs.dtype))


def test_a_hand_written_optimiser_of_2017_moves_the_weights() -> None:
    p = torch.ones(2, requires_grad=True)
    (p * 3).sum().backward()
    p.data.add_(-0.1, p.grad.data)
    assert p.tolist() == pytest.approx([0.7, 0.7])


def test_a_model_is_kept_in_a_t7_file(tmp_path: Path) -> None:
    net = nn.Linear(2, 2)
    torch.save(net.state_dict(), tmp_path / "net.t7")
    again = torch.load(tmp_path / "net.t7", map_location=lambda storage, location: storage)
    net.load_state_dict(again)
    assert list(again) == ["weight", "bias"]
