"""``torch.utils.dlpack``: sharing memory with other libraries (see ``cresset/dlpack.py``)."""

from cresset.dlpack import DLDeviceType, from_dlpack, to_dlpack

__all__ = ["DLDeviceType", "from_dlpack", "to_dlpack"]
