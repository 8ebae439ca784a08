"""Cresset: PyTorch's API and numbers, from source one person can read, compiled as it runs.

>>> import cresset as torch
>>> x = torch.ones(2, 2, requires_grad=True)
>>> (x * x * 3).mean().backward()
>>> x.grad
tensor([[1.5000, 1.5000],
        [1.5000, 1.5000]])
"""

from __future__ import annotations

import cresset.ops.methods as _methods
from cresset import dtypes as _dtypes
from cresset.autograd import backward as _backward  # noqa: F401  (attaches Tensor.backward)
from cresset.device import device
from cresset.dtypes import dtype, finfo, iinfo
from cresset.printing import get_printoptions, set_printoptions
from cresset.size import Size
from cresset.tensor import Tensor

globals().update({d.name: d for d in _dtypes.ALL})
globals().update(_dtypes.ALIASES)
globals().update(_methods.NAMESPACE)
