"""Batches of sequences of different lengths: padding and packing.

A packed batch holds the elements of all sequences time step by time step, longest sequence first;
``batch_sizes[t]`` says how many sequences are still running at step t.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterable
from typing import Any

from cresset.dtypes import float16, float32, float64, int32, int64
from cresset.ops.creation import full, tensor
from cresset.ops.join import cat, stack
from cresset.tensor import Tensor

_Packed = namedtuple("_Packed", ["data", "batch_sizes", "sorted_indices", "unsorted_indices"])


class PackedSequence(_Packed):
    """A packed batch of sequences; make one with ``pack_padded_sequence`` or ``pack_sequence``."""

    __slots__ = ()

    def __new__(cls, data: Any, batch_sizes: Any = None, sorted_indices: Any = None,
                unsorted_indices: Any = None) -> PackedSequence:  # fmt: skip
        if batch_sizes is None:  # the old way: PackedSequence((data, batch_sizes))
            if not (isinstance(data, (list, tuple)) and len(data) == 2):
                raise AssertionError("Expected data to be a list or tuple of length 2")
            data, batch_sizes = data
        if unsorted_indices is None and sorted_indices is not None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The batch in another dtype or on another device; itself if nothing changes."""
        data = self.data.to(*args, **kwargs)
        if data is self.data:
            return self
        indices = [None if i is None else i.to(data.device) for i in self[2:]]
        return PackedSequence(data, self.batch_sizes, *indices)

    def cuda(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The batch on a CUDA device (the current one by default)."""
        return self.to(*args, **kwargs) if args or kwargs else self.to("cuda")

    def cpu(self) -> PackedSequence:
        """The batch in host memory."""
        return self.to("cpu")

    def double(self) -> PackedSequence:
        """The batch as float64."""
        return self.to(float64)

    def float(self) -> PackedSequence:
        """The batch as float32."""
        return self.to(float32)

    def half(self) -> PackedSequence:
        """The batch as float16."""
        return self.to(float16)

    def long(self) -> PackedSequence:
        """The batch as int64."""
        return self.to(int64)

    def int(self) -> PackedSequence:
        """The batch as int32."""
        return self.to(int32)

    def pin_memory(self) -> PackedSequence:
        """Itself: host memory needs no pinning here."""
        return self

    def is_pinned(self) -> bool:
        """Never: host memory needs no pinning here."""
        return False

    @property
    def is_cuda(self) -> bool:
        """Whether the data is on a CUDA device."""
        return self.data.is_cuda


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that undoes another."""
    return None if permutation is None else permutation.argsort()  # type: ignore[attr-defined]


def pack_padded_sequence(
    input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Pack a padded batch (t, n, ...) of sequences with the given lengths."""
    given = lengths.tolist() if isinstance(lengths, Tensor) else lengths
    counts = [int(n) for n in given]
    if batch_first:
        input = input.transpose(0, 1)  # type: ignore[attr-defined]
    if input.shape[1] != len(counts):
        raise RuntimeError(
            f"Expected `len(lengths)` to be equal to batch_size, but got {len(counts)} "
            f"(batch_size={input.shape[1]})"
        )
    if any(n <= 0 for n in counts):
        raise RuntimeError(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' "
            "that is <= 0"
        )
    order = None
    if enforce_sorted:
        if any(a < b for a, b in zip(counts, counts[1:], strict=False)):
            raise RuntimeError(
                "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. "
                "You can pass `enforce_sorted=False` to pack_padded_sequence and/or pack_sequence "
                "to sidestep this requirement if you do not need ONNX exportability."
            )
    else:
        index = sorted(range(len(counts)), key=lambda i: -counts[i])
        order = tensor(index, device=input.device)
        counts = [counts[i] for i in index]
        input = input.index_select(1, order)  # type: ignore[attr-defined]
    sizes = [sum(1 for n in counts if n > t) for t in range(counts[0])]
    # A length beyond the input repeats its last step's number of sequences but has no data.
    data = cat([input[t, :n] for t, n in enumerate(sizes[: input.shape[0]])])  # type: ignore[index]
    return PackedSequence(data, tensor(sizes), order)


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The padded batch and the lengths."""
    sizes = sequence.batch_sizes.tolist()
    data = sequence.data
    steps = len(sizes) if total_length is None else total_length
    if steps < len(sizes):
        raise ValueError(
            "Expected total_length to be at least the length of the longest sequence in input, but "
            f"got total_length={total_length} and max sequence length being {len(sizes)}"
        )
    rows, start = [], 0
    shape = tuple(data.shape[1:])
    for n in sizes:
        part = data[start : start + n].unsqueeze(0)
        if n < sizes[0]:
            rest = full(
                (1, sizes[0] - n, *shape), padding_value, dtype=data.dtype, device=data.device
            )
            part = cat([part, rest], 1)
        rows.append(part)
        start += n
    if steps > len(sizes):
        rows.append(full((steps - len(sizes), sizes[0], *shape), padding_value, dtype=data.dtype,
                         device=data.device))  # fmt: skip
    padded = cat(rows)
    lengths = tensor([sum(1 for n in sizes if n > i) for i in range(sizes[0])])
    if sequence.unsorted_indices is not None:
        padded = padded.index_select(1, sequence.unsorted_indices)  # type: ignore[attr-defined]
        lengths = lengths.index_select(0, sequence.unsorted_indices.cpu())  # type: ignore[attr-defined]
    return (padded.transpose(0, 1) if batch_first else padded), lengths  # type: ignore[attr-defined]


def pad_sequence(sequences: Any, batch_first: bool = False, padding_value: float = 0.0,
                 padding_side: str = "right") -> Tensor:  # fmt: skip
    """Sequences of different lengths stacked, padded to the longest: (t, n, ...).

    With ``batch_first`` (n, t, ...). Raises RuntimeError if there are none.

    >>> import cresset as torch
    >>> torch.nn.utils.rnn.pad_sequence([torch.ones(3), torch.ones(2)], batch_first=True)
    tensor([[1., 1., 1.],
            [1., 1., 0.]])
    """
    if not isinstance(sequences, Iterable):
        raise RuntimeError(
            "pad_sequence: Expected iterable for input sequences, but got arg of type: "
            f"{type(sequences)}"
        )
    items = list(sequences)
    if not items:
        raise RuntimeError("received an empty list of sequences")
    for i, s in enumerate(items):
        if not isinstance(s, Tensor):
            raise TypeError(
                f"expected Tensor as element {i} in argument 0, but got {type(s).__name__}"
            )
    if padding_side not in ("left", "right"):
        raise RuntimeError(
            f"Expected padding_side to be one of left or right, but got {padding_side}."
        )
    longest = max(s.shape[0] for s in items)
    rows = []
    for s in items:
        missing = longest - s.shape[0]
        if missing:
            rest = full((missing, *s.shape[1:]), padding_value, dtype=s.dtype, device=s.device)
            s = cat([s, rest] if padding_side == "right" else [rest, s])
        rows.append(s)
    return stack(rows, 0 if batch_first else 1)


def unpad_sequence(padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False) -> list:
    """The sequences of a padded batch, each with its own length."""
    batch = padded_sequences if batch_first else padded_sequences.transpose(0, 1)  # type: ignore[attr-defined]
    rows: Any = batch
    return [row[:n] for row, n in zip(rows, lengths.tolist(), strict=True)]


def pack_sequence(sequences: list[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Pack a list of sequences."""
    lengths = [s.size(0) for s in sequences]  # type: ignore[attr-defined]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list:
    """The sequences of a packed batch."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
