"""Transforms as objects, to be put together: what users know as ``torchvision.transforms``."""

from cresset.vision.transforms import functional
from cresset.vision.transforms.autoaugment import (
    AugMix,
    AutoAugment,
    RandAugment,
    TrivialAugmentWide,
)
from cresset.vision.transforms.blur import GaussianBlur
from cresset.vision.transforms.color import ColorJitter, Grayscale, RandomGrayscale
from cresset.vision.transforms.combine import (
    Compose,
    Lambda,
    RandomApply,
    RandomChoice,
    RandomOrder,
)
from cresset.vision.transforms.convert import (
    ConvertImageDtype,
    LinearTransformation,
    Normalize,
    PILToTensor,
    ToPILImage,
    ToTensor,
)
from cresset.vision.transforms.erasing import RandomErasing
from cresset.vision.transforms.functional import InterpolationMode
from cresset.vision.transforms.geometry import (
    CenterCrop,
    FiveCrop,
    Pad,
    RandomCrop,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomVerticalFlip,
    Resize,
    TenCrop,
)
from cresset.vision.transforms.policies import AutoAugmentPolicy
from cresset.vision.transforms.tone import (
    RandomAdjustSharpness,
    RandomAutocontrast,
    RandomEqualize,
    RandomInvert,
    RandomPosterize,
    RandomSolarize,
)
from cresset.vision.transforms.warp import (
    ElasticTransform,
    RandomAffine,
    RandomPerspective,
    RandomRotation,
)

__all__ = [
    "AugMix", "AutoAugment", "AutoAugmentPolicy", "CenterCrop", "ColorJitter", "Compose",
    "ConvertImageDtype", "ElasticTransform", "FiveCrop", "GaussianBlur", "Grayscale",
    "InterpolationMode", "Lambda", "LinearTransformation", "Normalize", "PILToTensor", "Pad",
    "RandAugment", "RandomAdjustSharpness", "RandomAffine", "RandomApply", "RandomAutocontrast",
    "RandomChoice", "RandomCrop", "RandomEqualize", "RandomErasing", "RandomGrayscale",
    "RandomHorizontalFlip", "RandomInvert", "RandomOrder", "RandomPerspective",
    "RandomPosterize", "RandomResizedCrop", "RandomRotation", "RandomSolarize",
    "RandomVerticalFlip", "Resize", "TenCrop", "ToPILImage", "ToTensor", "TrivialAugmentWide",
    "functional",
]  # fmt: skip

# After the names above, which it repeats.
from cresset.vision.transforms import transforms  # noqa: E402, F401
