"""Every operation on tensors, by family.

Each family module ends with three tables: ``TORCH`` (names users find as ``torch.name``),
``METHODS`` (functions that are also Tensor methods) and ``IN_PLACE`` (functions that also exist
with a trailing underscore). ``methods.py`` attaches them.
"""
