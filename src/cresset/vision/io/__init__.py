"""Image files to tensors and back: what users know as ``torchvision.io``.

``image.py`` has the functions, ``pixels.py`` what happens to the pixels, ``png.py`` the one kind of
file that Pillow cannot read in full. Video is not there, as in torchvision 0.28.
"""

from cresset.vision.io.image import (
    ImageReadMode,
    decode_avif,
    decode_gif,
    decode_heic,
    decode_image,
    decode_jpeg,
    decode_png,
    decode_webp,
    encode_jpeg,
    encode_png,
    read_file,
    read_image,
    write_file,
    write_jpeg,
    write_png,
)

__all__ = ["ImageReadMode", "decode_avif", "decode_gif", "decode_heic", "decode_image",
           "decode_jpeg", "decode_png", "decode_webp", "encode_jpeg", "encode_png", "read_file",
           "read_image", "write_file", "write_jpeg", "write_png"]  # fmt: skip
