"""Read TIFF: libtiff, in Pillow, decompresses, and what the bytes mean is settled here.

    tags       numbers of fields
    directory  the fields of a page
    layout     what they say about the pixels; refused unless it is understood
    libtiff    pixels are given to Pillow under other fields
    samples    from compressed bytes to samples
    picture    from samples to colours

Pillow reads some hundred combinations of the tags about pixels, and takes a few others for one of
them: planes apart at 16 bits, for example. So the pixels are described to it as rows of plain
bytes, which any combination is, and turned into samples and colours here. What a file does not
say, or says in a way that is not understood, is refused. JPEG and fax compression are Pillow's
affair, in the few combinations that there are.

Source: TIFF Revision 6.0 (Adobe, 1992) and its Technical Notes 1 to 3.
"""

from triptych.images.tiff.directory import exif_orientation
from triptych.images.tiff.directory import is_camera_raw
from triptych.images.tiff.directory import lacks_its_end
from triptych.images.tiff.directory import orientation_and_xmp
from triptych.images.tiff.directory import parts
from triptych.images.tiff.picture import open

__all__ = [
    "exif_orientation",
    "is_camera_raw",
    "lacks_its_end",
    "open",
    "orientation_and_xmp",
    "parts",
]
