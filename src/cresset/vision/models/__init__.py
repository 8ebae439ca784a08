"""Models for images, with room for published weights: what users know as ``torchvision.models``.

Each family has a file with its architecture's table and paper. Names, order and shapes of
parameters and buffers are torchvision's, so that its checkpoints load, and the same seed gives the
same fresh weights.

Every model function takes

- ``weights``: a member of its enum (``ResNet18_Weights.DEFAULT``), a member's name, or None for
  fresh weights;
- ``progress``: whether a download shows its progress;
- what the model's class takes: ``num_classes``, ``dropout``, ...

and returns the model, in training mode.
"""

from cresset.vision.models._api import (
    Weights,
    WeightsEnum,
    get_model,
    get_model_builder,
    get_model_weights,
    get_weight,
    list_models,
)
from cresset.vision.models.alexnet import *  # noqa: F403
from cresset.vision.models.convnext import *  # noqa: F403
from cresset.vision.models.densenet import *  # noqa: F403
from cresset.vision.models.efficientnet import *  # noqa: F403
from cresset.vision.models.googlenet import *  # noqa: F403
from cresset.vision.models.inception import *  # noqa: F403
from cresset.vision.models.mnasnet import *  # noqa: F403
from cresset.vision.models.mobilenet import *  # noqa: F403
from cresset.vision.models.resnet import *  # noqa: F403
from cresset.vision.models.shufflenetv2 import *  # noqa: F403
from cresset.vision.models.squeezenet import *  # noqa: F403
from cresset.vision.models.vgg import *  # noqa: F403
from cresset.vision.models.vision_transformer import *  # noqa: F403

__all__ = ["Weights", "WeightsEnum", "get_model", "get_model_builder", "get_model_weights",
           "get_weight", "list_models"]  # fmt: skip
