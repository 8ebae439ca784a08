"""The second interface of transforms: of whole samples, labels and all.

What users know as ``torchvision.transforms.v2``, for PIL images and plain tensors. Names are those
of the first interface with few exceptions; random numbers are often drawn in another order.
"""

from cresset.vision.transforms.functional import InterpolationMode
from cresset.vision.transforms.policies import AutoAugmentPolicy
from cresset.vision.transforms.v2 import functional
from cresset.vision.transforms.v2 import whole as _whole  # noqa: F401  (adds to a table)
from cresset.vision.transforms.v2.augment import (
    AugMix,
    AutoAugment,
    RandAugment,
    TrivialAugmentWide,
)
from cresset.vision.transforms.v2.color import (
    RGB,
    ColorJitter,
    Grayscale,
    RandomChannelPermutation,
    RandomGrayscale,
    RandomPhotometricDistort,
)
from cresset.vision.transforms.v2.combine import Compose, RandomApply, RandomChoice, RandomOrder
from cresset.vision.transforms.v2.convert import (
    ConvertImageDtype,
    Identity,
    Lambda,
    LinearTransformation,
    Normalize,
    PILToTensor,
    ToDtype,
    ToImage,
    ToPILImage,
    ToPureTensor,
    ToTensor,
    UniformTemporalSubsample,
)
from cresset.vision.transforms.v2.erasing import RandomErasing
from cresset.vision.transforms.v2.geometry import (
    CenterCrop,
    FiveCrop,
    Pad,
    RandomCrop,
    RandomHorizontalFlip,
    RandomResize,
    RandomResizedCrop,
    RandomShortestSize,
    RandomVerticalFlip,
    RandomZoomOut,
    Resize,
    ScaleJitter,
    TenCrop,
)
from cresset.vision.transforms.v2.inputs import check_type, has_all, has_any, query_chw, query_size
from cresset.vision.transforms.v2.mix import CutMix, MixUp
from cresset.vision.transforms.v2.tone import (
    JPEG,
    GaussianBlur,
    GaussianNoise,
    RandomAdjustSharpness,
    RandomAutocontrast,
    RandomEqualize,
    RandomInvert,
    RandomPosterize,
    RandomSolarize,
)
from cresset.vision.transforms.v2.transform import Transform
from cresset.vision.transforms.v2.warp import (
    ElasticTransform,
    RandomAffine,
    RandomPerspective,
    RandomRotation,
)
