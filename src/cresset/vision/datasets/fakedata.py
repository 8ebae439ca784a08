"""Random images with random classes, to try a program without data."""

from __future__ import annotations

from typing import Any

from cresset import dtypes
from cresset.ops.random import get_rng_state, manual_seed, randint, randn, set_rng_state
from cresset.vision.datasets.vision import Transform, VisionDataset
from cresset.vision.transforms.functional import to_pil_image


class FakeData(VisionDataset):
    """Noise as (PIL image, int). Sample i is the same at each look, in each process.

    Args:
        size: how many samples.
        image_size: (channels, height, width).
        num_classes: classes are drawn from 0 to ``num_classes - 1``.
        transform, target_transform: applied to the image and to the class (a 0-dim tensor).
        random_offset: added to the index to give the seed of a sample.

    The default generator is left as it was.
    """

    def __init__(
        self,
        size: int = 1000,
        image_size: tuple[int, int, int] = (3, 224, 224),
        num_classes: int = 10,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        random_offset: int = 0,
    ) -> None:
        super().__init__(transform=transform, target_transform=target_transform)
        self.size = size
        self.num_classes = num_classes
        self.image_size = image_size
        self.random_offset = random_offset

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        if index >= len(self):
            raise IndexError(f"{type(self).__name__} index out of range")
        state = get_rng_state()
        manual_seed(index + self.random_offset)
        noise = randn(*self.image_size)
        target = randint(0, self.num_classes, size=(1,), dtype=dtypes.int64)[0]
        set_rng_state(state)
        image, target = self._transformed(to_pil_image(noise), target)
        return image, target.item()

    def __len__(self) -> int:
        return self.size
