"""MobileNet v2 and v3 under one name; each has a file of its own."""

from cresset.vision.models.mobilenetv2 import *  # noqa: F403
from cresset.vision.models.mobilenetv2 import __all__ as _v2
from cresset.vision.models.mobilenetv3 import *  # noqa: F403
from cresset.vision.models.mobilenetv3 import __all__ as _v3

__all__ = _v2 + _v3
