"""The second tier: plans that came back become machine code.

``compile_plan`` takes a program and its reference plan and gives a plan with the same ``run``. The
stages, one file each: a *lowering* (``pointwise``, ``convolution``, ``pooling``, ``products``,
``reductions``, ``losses``, ``updates``) says how one step becomes loops; ``code`` writes them as
LLVM IR; ``native`` groups steps into segments, places values in memory and runs them; ``host``
knows the processor. A step without a lowering runs its reference kernel between segments.
"""

from cresset.compiler.native import compile_plan

__all__ = ["compile_plan"]
