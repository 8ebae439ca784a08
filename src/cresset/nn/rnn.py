"""Recurrent layers: RNN, LSTM, GRU, and their cells.

A layer multiplies its whole input by the input weights at once; the loop over time then needs one
matrix product and one fused elementwise step per position (``cresset/ops/rnn.py``).
"""

from __future__ import annotations

import math
import warnings
from typing import Any, ClassVar

from cresset.nn import functional as F
from cresset.nn import init
from cresset.nn.module import Module
from cresset.nn.parameter import Parameter
from cresset.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence
from cresset.ops.creation import empty, zeros
from cresset.ops.join import cat, stack
from cresset.ops.rnn import gru_step, lstm_step, recurrent_layer, rnn_step
from cresset.tensor import Tensor

__all__ = ["GRU", "GRUCell", "LSTM", "LSTMCell", "RNN", "RNNBase", "RNNCell", "RNNCellBase"]


class RNNBase(Module):
    """Parameters and the loop over layers, directions and time.

    Per layer k and direction: ``weight_ih_l{k}`` (gates * hidden, input), ``weight_hh_l{k}``
    (gates * hidden, hidden or proj), ``bias_ih_l{k}``, ``bias_hh_l{k}``, with suffix ``_reverse``
    for the backward direction; all uniform in ±1/sqrt(hidden_size).
    """

    gates: ClassVar[dict[str, int]] = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}

    def __init__(
        self, mode: str, input_size: int, hidden_size: int, num_layers: int = 1,
        bias: bool = True, batch_first: bool = False, dropout: float = 0.0,
        bidirectional: bool = False, proj_size: int = 0, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.mode, self.input_size, self.hidden_size = mode, input_size, hidden_size
        self.num_layers, self.bias, self.batch_first = num_layers, bias, batch_first
        self.dropout, self.bidirectional, self.proj_size = float(dropout), bidirectional, proj_size
        if not isinstance(dropout, (int, float)) or not 0 <= dropout <= 1 or isinstance(
            dropout, bool
        ):  # fmt: skip
            raise ValueError(
                "dropout should be a number in range [0, 1] representing the probability of an "
                "element being zeroed"
            )
        if dropout > 0 and num_layers == 1:
            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero "
                f"dropout expects num_layers greater than 1, but got dropout={dropout} and "
                f"num_layers={num_layers}",
                stacklevel=3,
            )
        if not isinstance(hidden_size, int):
            raise TypeError(f"hidden_size should be of type int, got: {type(hidden_size).__name__}")
        if hidden_size <= 0:
            raise ValueError("hidden_size must be greater than zero")
        if num_layers <= 0:
            raise ValueError("num_layers must be greater than zero")
        if proj_size < 0:
            raise ValueError(
                "proj_size should be a positive integer or zero to disable projections"
            )
        if proj_size >= hidden_size:
            raise ValueError("proj_size has to be smaller than hidden_size")
        directions = 2 if bidirectional else 1
        rows = self.gates[mode] * hidden_size
        out = proj_size or hidden_size
        #: Per layer and direction the names of its parameters; PyTorch's name for the list.
        self._all_weights: list[list[str]] = []
        for layer in range(num_layers):
            for direction in range(directions):
                width = input_size if layer == 0 else out * directions
                suffix = f"_l{layer}" + ("_reverse" if direction else "")
                shapes: list[tuple[str, tuple[int, ...]]] = [
                    ("weight_ih", (rows, width)),
                    ("weight_hh", (rows, out)),
                ]
                if bias:
                    shapes += [("bias_ih", (rows,)), ("bias_hh", (rows,))]
                if proj_size:
                    shapes.append(("weight_hr", (proj_size, hidden_size)))
                for name, shape in shapes:
                    setattr(
                        self, name + suffix, Parameter(empty(shape, device=device, dtype=dtype))
                    )
                self._all_weights.append([name + suffix for name, _ in shapes])
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def flatten_parameters(self) -> None:
        """Kept for PyTorch's API: parameters need no packing here."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for name in ("_flat_weights", "_flat_weights_names"):  # PyTorch's, made up here
            self.__dict__.pop(name, None)

    @property
    def _flat_weights_names(self) -> list[str]:
        return [name for names in self._all_weights for name in names]

    @property
    def _flat_weights(self) -> list[Parameter]:
        return [getattr(self, name) for name in self._flat_weights_names]

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters per layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        if self.proj_size != 0:
            text += f", proj_size={self.proj_size}"
        if self.num_layers != 1:
            text += f", num_layers={self.num_layers}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        if self.batch_first is not False:
            text += f", batch_first={self.batch_first}"
        if self.dropout != 0:
            text += f", dropout={self.dropout}"
        if self.bidirectional is not False:
            text += f", bidirectional={self.bidirectional}"
        return text

    # -- one direction of one layer ----------------------------------------------------------------

    def _direction(
        self, x: Tensor, state: Any, weights: list[Tensor], reverse: bool, sizes: Any
    ) -> tuple[Tensor, Any]:
        """Run over time. x: (t, n, width); sizes: running sequences per step, or None for all."""
        w_ih, w_hh = weights[0], weights[1]
        b_ih, b_hh = (weights[2], weights[3]) if self.bias else (None, None)
        project = weights[-1] if self.proj_size else None
        sums = F.linear(x, w_ih, b_ih)
        if project is None and sizes is None:
            given = state if self.mode == "LSTM" else (state,)
            out, *last = recurrent_layer(self.mode, sums, given, w_hh, b_hh, reverse)
            return out, tuple(last) if self.mode == "LSTM" else last[0]
        steps = x.shape[0]
        order = range(steps - 1, -1, -1) if reverse else range(steps)
        outputs: list[Any] = [None] * steps
        for t in order:
            count = None if sizes is None else sizes[t]
            old = state
            part = sums[t]  # type: ignore[index]
            if count is not None and count < x.shape[1]:
                part = part.narrow(0, 0, count)
                state = _narrow(state, count)
            state, out = self._cell(part, state, w_hh, b_hh, project)
            if count is not None and count < x.shape[1]:
                rest = x.shape[1] - count
                state = _join(state, old, count, rest)
                out = cat([out, out.new_zeros((rest, out.shape[1]))], 0)
            outputs[t] = out
        return stack(outputs), state

    def _cell(
        self, part: Tensor, state: Any, w_hh: Tensor, b_hh: Tensor | None, project: Any
    ) -> tuple[Any, Tensor]:
        if self.mode == "LSTM":
            h, c = state
            h, c = lstm_step(part + F.linear(h, w_hh, b_hh), c)
            if project is not None:
                h = F.linear(h, project)
            return (h, c), h
        if self.mode == "GRU":
            h = gru_step(part, F.linear(state, w_hh, b_hh), state)
            return h, h
        h = rnn_step(part + F.linear(state, w_hh, b_hh), self.mode[4:].lower())
        return h, h

    # -- all layers --------------------------------------------------------------------------------

    def forward(self, input: Any, hx: Any = None) -> tuple:
        packed = isinstance(input, PackedSequence)
        sizes = sorted_indices = unsorted_indices = None
        if packed:
            sorted_indices, unsorted_indices = input.sorted_indices, input.unsorted_indices
            batch_sizes = input.batch_sizes
            sizes = batch_sizes.tolist()
            plain = PackedSequence(input.data, batch_sizes)
            x, lengths = pad_packed_sequence(plain)
            batched = True
        else:
            x = input
            if x.dim() not in (2, 3):
                kind = "RNN" if self.mode.startswith("RNN") else self.mode
                tensor = " tensor" if kind == "RNN" else ""
                raise ValueError(
                    f"{kind}: Expected input to be 2D or 3D, got {x.dim()}D{tensor} instead"
                )
            batched = x.dim() == 3
            if not batched:
                x = x.unsqueeze(1)
            elif self.batch_first:
                x = x.transpose(0, 1)
        if hx is not None and not packed:
            self._check_state_dims(hx, batched)
        if hx is not None or not packed or self.mode != "LSTM":
            self._check_input(x)
        state = self._initial_state(x, hx, batched, sorted_indices)
        output, state = self._layers(x, state, sizes)
        if packed:
            again = pack_padded_sequence(output, lengths, enforce_sorted=True)
            output = PackedSequence(again.data, batch_sizes, sorted_indices, unsorted_indices)
            if unsorted_indices is not None:
                state = _map(state, lambda s: s.index_select(1, unsorted_indices))
            return output, state
        if not batched:
            return output.squeeze(1), _map(state, lambda s: s.squeeze(1))  # type: ignore[attr-defined]
        if self.batch_first:
            # In place or not decides the name of the node on the tape, as in PyTorch.
            swap = output.transpose if self.mode == "LSTM" else output.transpose_  # type: ignore[attr-defined]
            output = swap(0, 1)
        return output, state

    def _check_input(self, x: Tensor) -> None:
        held = getattr(self, self._all_weights[0][0]).dtype
        if x.dtype is not held:
            raise ValueError(
                f"RNN input dtype ({x.dtype}) does not match weight dtype ({held}). Convert input: "
                f"input.to({held}), or convert model: model.to({x.dtype})"
            )
        if x.shape[-1] != self.input_size:
            raise RuntimeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got "
                f"{x.shape[-1]}"
            )

    def _check_state_dims(self, hx: Any, batched: bool) -> None:
        wanted, kind = (3, "batched") if batched else (2, "unbatched")
        if self.mode == "LSTM":
            dims = [s.dim() for s in hx]
            if dims != [wanted, wanted]:
                raise RuntimeError(
                    f"For {kind} {wanted}-D input, hx and cx should also be {wanted}-D but got "
                    f"({dims[0]}-D, {dims[1]}-D) tensors"
                )
        elif hx.dim() != wanted:
            raise RuntimeError(
                f"For {kind} {wanted}-D input, hx should also be {wanted}-D but got {hx.dim()}-D "
                "tensor"
            )

    def _initial_state(self, x: Tensor, hx: Any, batched: bool, order: Any) -> Any:
        count = self.num_layers * (2 if self.bidirectional else 1)
        out = self.proj_size or self.hidden_size
        if hx is None:
            h = zeros(count, x.shape[1], out, dtype=x.dtype, device=x.device)
            if self.mode != "LSTM":
                return h
            return h, zeros(count, x.shape[1], self.hidden_size, dtype=x.dtype, device=x.device)
        if not batched:
            hx = _map(hx, lambda s: s.unsqueeze(1))
        widths = (out, self.hidden_size)
        for i, (s, width) in enumerate(
            zip(hx if self.mode == "LSTM" else (hx,), widths, strict=False)
        ):
            expected = (count, x.shape[1], width)
            if tuple(s.shape) != expected:
                name = ("hidden[0]", "hidden[1]")[i] if self.mode == "LSTM" else "hidden"
                raise RuntimeError(f"Expected {name} size {expected}, got {list(s.shape)}")
        if order is not None:
            hx = _map(hx, lambda s: s.index_select(1, order))
        return hx

    def _layers(self, x: Tensor, state: Any, sizes: Any) -> tuple[Tensor, Any]:
        directions = 2 if self.bidirectional else 1
        finals = []
        for layer in range(self.num_layers):
            parts = []
            for direction in range(directions):
                k = layer * directions + direction
                first = _map(state, lambda s, k=k: s[k])
                weights = [getattr(self, name) for name in self._all_weights[k]]
                out, last = self._direction(x, first, weights, bool(direction), sizes)
                parts.append(out)
                finals.append(last)
            x = parts[0] if directions == 1 else cat(parts, -1)
            if self.dropout and self.training and layer < self.num_layers - 1:
                x = F.dropout(x, self.dropout, True)
        if self.mode == "LSTM":
            return x, (stack([h for h, _ in finals]), stack([c for _, c in finals]))
        return x, stack(finals)


def _map(state: Any, function: Any) -> Any:
    """Apply to the state, or to both parts of an LSTM's."""
    if isinstance(state, (tuple, list)):
        return tuple(function(s) for s in state)
    return function(state)


def _narrow(state: Any, count: int) -> Any:
    return _map(state, lambda s: s.narrow(0, 0, count))


def _join(new: Any, old: Any, count: int, rest: int) -> Any:
    """The new state of the sequences that still run, the old one of those that have ended."""
    if isinstance(new, tuple):
        return tuple(cat([a, b.narrow(0, count, rest)], 0) for a, b in zip(new, old, strict=True))
    return cat([new, old.narrow(0, count, rest)], 0)


class RNN(RNNBase):
    """``h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh)``, or with relu.

    Shapes: input (t, n, input_size), or (n, t, input_size) with ``batch_first``, or a
    PackedSequence; output (t, n, directions * hidden_size), final state (layers * directions, n,
    hidden_size).

    >>> import cresset as torch
    >>> output, h = torch.nn.RNN(10, 20, 2)(torch.zeros(5, 3, 10))
    >>> output.shape, h.shape
    (torch.Size([5, 3, 20]), torch.Size([2, 3, 20]))
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if "proj_size" in kwargs:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        if len(args) > 3:
            self_nonlinearity = args[3]
            args = args[:3] + args[4:]
        else:
            self_nonlinearity = kwargs.pop("nonlinearity", "tanh")
        if self_nonlinearity not in ("tanh", "relu"):
            raise ValueError(
                f"Unknown nonlinearity '{self_nonlinearity}'. Select from 'tanh' or 'relu'."
            )
        super().__init__("RNN_" + self_nonlinearity.upper(), *args, **kwargs)
        self.nonlinearity = self_nonlinearity


class LSTM(RNNBase):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997), gates i, f, g, o.

    ``c' = f * c + i * g``, ``h' = o * tanh(c')``. States are pairs (h, c).

    >>> import cresset as torch
    >>> output, (h, c) = torch.nn.LSTM(10, 20, 2)(torch.zeros(5, 3, 10))
    >>> output.shape, c.shape
    (torch.Size([5, 3, 20]), torch.Size([2, 3, 20]))
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("LSTM", *args, **kwargs)


class GRU(RNNBase):
    """Gated recurrent unit (Cho et al., 2014), gates r, z, n.

    ``n = tanh(x_n + r * h_n)``, ``h' = (1 - z) * n + z * h``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if "proj_size" in kwargs:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        super().__init__("GRU", *args, **kwargs)


class RNNCellBase(Module):
    """Parameters of a single step."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool, num_chunks: int, device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        rows = num_chunks * hidden_size
        self.weight_ih = Parameter(empty((rows, input_size), device=device, dtype=dtype))
        self.weight_hh = Parameter(empty((rows, hidden_size), device=device, dtype=dtype))
        if bias:
            self.bias_ih = Parameter(empty(rows, device=device, dtype=dtype))
            self.bias_hh = Parameter(empty(rows, device=device, dtype=dtype))
        else:
            self.register_parameter("bias_ih", None)
            self.register_parameter("bias_hh", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        nonlinearity = getattr(self, "nonlinearity", "tanh")
        return text + (f", nonlinearity={nonlinearity}" if nonlinearity != "tanh" else "")

    def _prepare(self, input: Tensor, hx: Any, pair: bool) -> tuple[Tensor, Any, bool]:
        if input.dim() not in (1, 2):
            raise ValueError(
                f"{type(self).__name__}: Expected input to be 1D or 2D, got {input.dim()}D instead"
            )
        for i, s in enumerate(() if hx is None else hx if pair else (hx,)):
            if s.dim() not in (1, 2):
                name = f"hx[{i}]" if pair else "hidden"
                raise ValueError(
                    f"{type(self).__name__}: Expected {name} to be 1D or 2D, got {s.dim()}D instead"
                )
        single = input.dim() == 1
        x = input.unsqueeze(0) if single else input  # type: ignore[attr-defined]
        if hx is None:
            h = zeros(x.shape[0], self.hidden_size, dtype=x.dtype, device=x.device)
            hx = (h, h) if pair else h
        elif single:
            hx = _map(hx, lambda s: s.unsqueeze(0))
        self._check_sizes(x, hx if pair else (hx,))
        return x, hx, single

    def _check_sizes(self, x: Tensor, states: Any) -> None:
        width, wanted = self.weight_ih.shape[1], self.weight_hh.shape[1]
        if x.shape[1] != width:
            raise RuntimeError(
                f"input has inconsistent input_size: got {x.shape[1]} expected {width}"
            )
        for i, s in enumerate(states):
            if s.shape[0] != x.shape[0]:
                raise RuntimeError(
                    f"Input batch size {x.shape[0]} doesn't match hidden{i} batch size {s.shape[0]}"
                )
            if s.shape[1] != wanted:
                raise RuntimeError(
                    f"hidden{i} has inconsistent hidden_size: got {s.shape[1]}, expected {wanted}"
                )


class RNNCell(RNNCellBase):
    """One step of RNN."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh",
        device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        x, h, single = self._prepare(input, hx, False)
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        total = F.linear(x, self.weight_ih, self.bias_ih) + F.linear(
            h, self.weight_hh, self.bias_hh
        )
        out = rnn_step(total, self.nonlinearity)
        return out.squeeze(0) if single else out  # type: ignore[attr-defined]


class LSTMCell(RNNCellBase):
    """One step of LSTM: returns (h, c)."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input: Tensor, hx: Any = None) -> tuple[Tensor, Tensor]:
        x, (h, c), single = self._prepare(input, hx, True)
        gates = F.linear(x, self.weight_ih, self.bias_ih) + F.linear(
            h, self.weight_hh, self.bias_hh
        )
        state = lstm_step(gates, c)
        return _map(state, lambda s: s.squeeze(0)) if single else state


class GRUCell(RNNCellBase):
    """One step of GRU."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        x, h, single = self._prepare(input, hx, False)
        out = gru_step(
            F.linear(x, self.weight_ih, self.bias_ih), F.linear(h, self.weight_hh, self.bias_hh), h
        )
        return out.squeeze(0) if single else out  # type: ignore[attr-defined]
