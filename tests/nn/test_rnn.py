"""Recurrent layers beside PyTorch's: options, shapes, packed sequences, states, messages."""

from __future__ import annotations

import math
from itertools import product

import pytest

import cresset
from cresset.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from .beside import same_story


def draw(T, *shape):
    """Numbers that both libraries draw alike, so that a story can be told without arrays."""
    return T.randn(*shape, generator=T.Generator().manual_seed(sum(shape)))


def taught(T, layer, *args):
    """Outputs, and the gradients of everything after one backward pass."""
    outs = layer(*args)
    flat = [outs[0], *(outs[1] if isinstance(outs[1], tuple) else (outs[1],))]
    if not hasattr(flat[0], "sum"):  # a packed sequence
        flat[0] = flat[0].data
    total = sum((y * draw(T, *y.shape)).sum() for y in flat)
    total.backward()
    inputs = [x for x in (*args, *(a for b in args if isinstance(b, tuple) for a in b))
              if hasattr(x, "grad")]  # fmt: skip
    gradients = [x.grad for x in inputs if x.requires_grad and x.is_leaf]
    return outs, gradients, [p.grad for p in layer.parameters()]


def leaf(x):
    return x.requires_grad_()


KINDS = ("RNN", "LSTM", "GRU")


def states(T, kind, layers, batch, hidden, cell=None):
    """Initial states, as the layer takes them."""
    shape = (layers, hidden) if batch is None else (layers, batch, hidden)
    h = leaf(draw(T, *shape))
    if kind != "LSTM":
        return h
    wide = (*shape[:-1], cell or hidden)
    return h, leaf(draw(T, *wide))


GRID = list(product(KINDS, (1, 2), (True, False), (False, True), (False, True)))


@pytest.mark.parametrize(("kind", "layers", "bias", "first", "both"), GRID)
def test_a_layer_with_states_is_pytorchs(kind, layers, bias, first, both):
    def story(T):
        T.manual_seed(1)
        layer = getattr(T.nn, kind)(3, 4, layers, bias=bias, batch_first=first, bidirectional=both)
        x = leaf(draw(T, 2, 5, 3) if first else draw(T, 5, 2, 3))
        given = states(T, kind, layers * (1 + both), 2, 4)
        return taught(T, layer, x, given), taught(T, layer, x), list(layer.state_dict())

    same_story(story)


@pytest.mark.parametrize(("kind", "both"), product(KINDS, (False, True)))
def test_a_single_sequence_needs_no_batch(kind, both):
    def story(T):
        layer = getattr(T.nn, kind)(3, 4, 2, bidirectional=both, batch_first=True)
        x = leaf(draw(T, 5, 3))
        given = states(T, kind, 4 if both else 2, None, 4)
        return taught(T, layer, x, given), taught(T, layer, x)

    same_story(story)


@pytest.mark.parametrize(
    ("layers", "both", "bias"), list(product((1, 2), (False, True), (True, False)))
)
def test_a_projected_state_is_smaller(layers, both, bias):
    def story(T):
        layer = T.nn.LSTM(3, 5, layers, proj_size=2, bidirectional=both, bias=bias)
        x = leaf(draw(T, 4, 2, 3))
        given = states(T, "LSTM", layers * (1 + both), 2, 2, 5)
        shapes = {k: tuple(v.shape) for k, v in layer.state_dict().items()}
        return shapes, repr(layer), taught(T, layer, x, given)

    same_story(story, warned=False)  # PyTorch says once which library it does without


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_acts_between_layers_and_in_training_only(kind):
    def story(T):
        layer = getattr(T.nn, kind)(3, 4, 3, dropout=0.5, bidirectional=True)
        x = leaf(draw(T, 5, 2, 3))
        T.manual_seed(11)
        trained = taught(T, layer, x)
        layer.eval()
        return trained, layer(x), layer(x)

    same_story(story)


@pytest.mark.parametrize(("kind", "ordered", "first", "both"), list(product(
    KINDS, (True, False), (True, False), (True, False))))  # fmt: skip
def test_packed_sequences_give_what_pytorch_gives(kind, ordered, first, both):
    def story(T):
        utils = T.nn.utils.rnn
        layer = getattr(T.nn, kind)(3, 4, 2, bidirectional=both, batch_first=first)
        x = leaf(draw(T, 4, 6, 3) if first else draw(T, 6, 4, 3))
        lengths = [6, 4, 4, 1] if ordered else [2, 6, 1, 5]
        packed = utils.pack_padded_sequence(x, lengths, first, enforce_sorted=ordered)
        out, state = layer(packed)
        padded, sizes = utils.pad_packed_sequence(out, first, padding_value=-1.5, total_length=7)
        (padded * draw(T, *padded.shape)).sum().backward()
        given = states(T, kind, 4 if both else 2, 4, 4)
        again, other = layer(packed, given)
        return (
            tuple(packed), tuple(out), state, padded, sizes, x.grad, again.data, other,
            [p.grad for p in layer.parameters()],
        )  # fmt: skip

    same_story(story)


def test_a_packed_sequence_keeps_its_order():
    def story(T):
        utils = T.nn.utils.rnn
        parts = [draw(T, n, 2) for n in (2, 5, 3)]
        packed = utils.pack_sequence(parts, enforce_sorted=False)
        padded = utils.pad_sequence(parts, padding_value=7.0)
        first = utils.pad_sequence(parts, batch_first=True)
        left = utils.pad_sequence(parts, batch_first=True, padding_side="left")
        back = utils.unpad_sequence(first, T.tensor([2, 5, 3]), batch_first=True)
        parts2 = utils.unpack_sequence(packed)
        return (
            tuple(packed), padded, first, left, back, parts2, packed.batch_sizes,
            utils.invert_permutation(packed.sorted_indices), packed.is_cuda, packed.double().data,
            packed.to(T.float64).data.dtype == T.float64, packed.is_pinned(),
        )  # fmt: skip

    same_story(story)


@pytest.mark.parametrize("kind", ["RNNCell", "LSTMCell", "GRUCell"])
def test_cells_take_batches_and_single_inputs(kind):
    def story(T):
        cell = getattr(T.nn, kind)(3, 4)
        results = []
        for shape in ((2,), ()):
            x = leaf(draw(T, *shape, 3))
            h = leaf(draw(T, *shape, 4))
            given = (h, leaf(draw(T, *shape, 4) * 2)) if kind == "LSTMCell" else h
            state = cell(x, given)
            y = state[0] + state[1] if kind == "LSTMCell" else state
            (y * y).sum().backward()
            results += [state, cell(x), x.grad, h.grad, repr(cell)]
        return results, [p.grad for p in cell.parameters()]

    same_story(story)


def test_a_relu_network_and_a_relu_cell():
    def story(T):
        x = draw(T, 3, 2, 3)
        cell = T.nn.RNNCell(3, 4, nonlinearity="relu")
        layer = T.nn.RNN(3, 4, 2, nonlinearity="relu", bidirectional=True)
        return taught(T, layer, leaf(x)), cell(x[0]), repr(layer), repr(cell)

    same_story(story)


def test_names_of_nodes():
    def story(T):
        x = draw(T, 5, 2, 3)
        found = []
        for kind in KINDS:
            layer = getattr(T.nn, kind)(3, 4, batch_first=True)
            out, state = layer(x)
            states = state if isinstance(state, tuple) else (state,)
            found.append([y.grad_fn.name() for y in (out, *states)])
        return found

    same_story(story)


def test_attributes_of_a_layer():
    def story(T):
        layer = T.nn.GRU(3, 4, 2, dropout=0.25, bidirectional=True, batch_first=True)
        return (
            layer.mode, layer.input_size, layer.hidden_size, layer.num_layers, layer.bias,
            layer.batch_first, layer.dropout, layer.bidirectional, layer.proj_size,
            layer._flat_weights_names, len(layer.all_weights), layer.flatten_parameters(),
            layer.all_weights[0][0] is layer.weight_ih_l0, repr(layer),
        )  # fmt: skip

    same_story(story)


# -- messages -------------------------------------------------------------------------------------

ERRORS = {
    "input of three sizes": lambda t: t.nn.RNN(3, 4)(t.ones(2, 5, 7)),
    "input of one size": lambda t: t.nn.GRU(3, 4)(t.ones(3)),
    "rnn input of one size": lambda t: t.nn.RNN(3, 4)(t.ones(3)),
    "packed rnn input": lambda t: t.nn.RNN(3, 4)(
        t.nn.utils.rnn.pack_padded_sequence(t.ones(4, 2, 1), [4, 2])
    ),
    "input of four sizes": lambda t: t.nn.LSTM(3, 4)(t.ones(3, 3, 3, 3)),
    "state of a wrong size": lambda t: t.nn.RNN(3, 4)(t.ones(2, 5, 3), t.ones(1, 5, 3)),
    "state of a wrong batch": lambda t: t.nn.GRU(3, 4)(t.ones(2, 5, 3), t.ones(1, 4, 4)),
    "state without a batch": lambda t: t.nn.GRU(3, 4)(t.ones(2, 5, 3), t.ones(1, 4)),
    "state with a batch": lambda t: t.nn.GRU(3, 4)(t.ones(2, 3), t.ones(1, 1, 4)),
    "lstm states of two kinds": lambda t: t.nn.LSTM(3, 4)(
        t.ones(2, 5, 3), (t.ones(1, 5, 4), t.ones(1, 5, 3))
    ),
    "lstm state without a batch": lambda t: t.nn.LSTM(3, 4)(
        t.ones(2, 5, 3), (t.ones(1, 4), t.ones(1, 4))
    ),
    "lstm state with a batch": lambda t: t.nn.LSTM(3, 4)(
        t.ones(2, 3), (t.ones(1, 1, 4), t.ones(1, 1, 4))
    ),
    "another dtype": lambda t: t.nn.RNN(3, 4)(t.ones(2, 5, 3, dtype=t.float64)),
    "no hidden units": lambda t: t.nn.LSTM(3, 0),
    "no layers": lambda t: t.nn.LSTM(3, 4, 0),
    "hidden size no int": lambda t: t.nn.LSTM(3, 4.0),
    "dropout above 1": lambda t: t.nn.LSTM(3, 4, 2, dropout=1.5),
    "dropout a flag": lambda t: t.nn.LSTM(3, 4, 2, dropout=True),
    "dropout of one layer": lambda t: repr(t.nn.LSTM(3, 4, dropout=0.5)),
    "negative projection": lambda t: t.nn.LSTM(3, 4, proj_size=-1),
    "projection too large": lambda t: t.nn.LSTM(3, 4, proj_size=4),
    "projection of a gru": lambda t: t.nn.GRU(3, 4, proj_size=2),
    "projection of an rnn": lambda t: t.nn.RNN(3, 4, proj_size=2),
    "unknown nonlinearity": lambda t: t.nn.RNN(3, 4, nonlinearity="sin"),
    "cell nonlinearity": lambda t: t.nn.RNNCell(3, 4, nonlinearity="sin")(t.ones(1, 3)),
    "cell input of three sizes": lambda t: t.nn.GRUCell(3, 4)(t.ones(1, 1, 3)),
    "cell state of three sizes": lambda t: t.nn.RNNCell(3, 4)(t.ones(1, 3), t.ones(1, 1, 4)),
    "lstm cell state of three sizes": lambda t: t.nn.LSTMCell(3, 4)(
        t.ones(1, 3), (t.ones(1, 1, 4), t.ones(1, 4))
    ),
    "cell input of a wrong width": lambda t: t.nn.GRUCell(3, 4)(t.ones(1, 5)),
    "cell state of a wrong width": lambda t: t.nn.GRUCell(3, 4)(t.ones(1, 3), t.ones(1, 5)),
    "cell state of a wrong batch": lambda t: t.nn.GRUCell(3, 4)(t.ones(1, 3), t.ones(2, 4)),
    "lengths not sorted": lambda t: t.nn.utils.rnn.pack_padded_sequence(t.ones(4, 2, 1), [2, 4]),
    "a length of 0": lambda t: t.nn.utils.rnn.pack_padded_sequence(t.ones(4, 2, 1), [4, 0]),
    "too few lengths": lambda t: t.nn.utils.rnn.pack_padded_sequence(t.ones(4, 2, 1), [4]),
    "a length too long": lambda t: t.nn.utils.rnn.pack_padded_sequence(t.ones(4, 2, 1), [5, 4]),
    "no padding below a length": lambda t: t.nn.utils.rnn.pad_packed_sequence(
        t.nn.utils.rnn.pack_padded_sequence(t.ones(4, 2, 1), [4, 2]), total_length=3
    ),
    "pad_sequence of nothing": lambda t: t.nn.utils.rnn.pad_sequence([]),
    "pad_sequence on no side": lambda t: t.nn.utils.rnn.pad_sequence([t.ones(1)], padding_side="x"),
    "pack_sequence of a tensor": lambda t: t.nn.utils.rnn.pack_sequence(t.ones(2)),
    "too few positions": lambda t: t.nn.LSTM(3),
    "unknown option": lambda t: t.nn.LSTM(3, 4, colour=1),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_says_what_pytorch_says(name):
    same_story(ERRORS[name])


# -- without PyTorch ------------------------------------------------------------------------------


def test_a_gate_computed_by_hand():
    layer = cresset.nn.RNN(1, 1)
    with cresset.no_grad():
        for p, value in zip(layer.parameters(), (0.5, 2.0, 0.25, -0.25), strict=True):
            p.fill_(value)
    out, state = layer(cresset.tensor([[1.0], [1.0]]))
    first = 0.46211716
    assert out[0].item() == pytest.approx(first, abs=1e-6)
    assert state.item() == pytest.approx(math.tanh(0.5 + 2 * first), abs=1e-6)


def test_packing_sorts_by_length_and_padding_puts_back():
    x = cresset.tensor([[1.0, 0.0, 0.0], [2.0, 3.0, 4.0]])
    packed = pack_padded_sequence(x, [1, 3], batch_first=True, enforce_sorted=False)
    assert packed.data.tolist() == [2.0, 1.0, 3.0, 4.0]
    assert packed.batch_sizes.tolist() == [2, 1, 1]
    back, lengths = pad_packed_sequence(packed, batch_first=True)
    assert back.tolist() == x.tolist() and lengths.tolist() == [1, 3]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bias, bidirectional", [(True, False), (False, True)])
@pytest.mark.parametrize("used", ["all", "outputs", "last states", "one output"])
def test_going_back_through_time_is_the_derivative_of_the_steps(kind, bias, bidirectional, used):
    """A pass that can be differentiated again goes back through the recorded steps instead."""
    layer = getattr(cresset.nn, kind)(3, 4, bias=bias, bidirectional=bidirectional)
    x = draw(cresset, 5, 2, 3).requires_grad_()
    states = [draw(cresset, 1 + bidirectional, 2, 4).requires_grad_() for _ in range(2)]
    given = tuple(states) if kind == "LSTM" else states[0]
    out, last = layer(x, given)
    flat = [out, *(last if kind == "LSTM" else (last,))]
    chosen = {"all": flat, "outputs": flat[:1], "last states": flat[1:], "one output": [out[2]]}
    total = sum((y * draw(cresset, *y.shape)).sum() for y in chosen[used])
    inputs = [x, *(states if kind == "LSTM" else states[:1]), *layer.parameters()]
    plain = cresset.autograd.grad(total, inputs, retain_graph=True)
    through = cresset.autograd.grad(total, inputs, create_graph=True)
    for a, b in zip(plain, through, strict=True):
        assert cresset.allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_frozen_parts_get_no_gradient(kind):
    layer = getattr(cresset.nn, kind)(3, 4)
    layer.weight_hh_l0.requires_grad_(False)
    out, _ = layer(draw(cresset, 5, 2, 3))
    out.sum().backward()
    assert layer.weight_hh_l0.grad is None
    assert all(p.grad is not None for p in layer.parameters() if p.requires_grad)
