"""Showing images: in grids, in files, and with what was found in them drawn on."""

from cresset.vision.utils.draw import (
    draw_bounding_boxes,
    draw_keypoints,
    draw_segmentation_masks,
)
from cresset.vision.utils.flow import flow_to_image
from cresset.vision.utils.grid import make_grid, save_image

__all__ = ["draw_bounding_boxes", "draw_keypoints", "draw_segmentation_masks", "flow_to_image",
           "make_grid", "save_image"]  # fmt: skip
