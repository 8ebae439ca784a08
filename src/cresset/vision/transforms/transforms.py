"""The first interface under the name of the module that torchvision has it in, which programs
import from: ``from torchvision.transforms.transforms import ToTensor``."""

from cresset.vision.transforms import *  # noqa: F403
