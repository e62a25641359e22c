"""Numbers of the fields of a TIFF.

Source: TIFF Revision 6.0 (Adobe, 1992) and its Technical Notes 1 to 3.
"""

from __future__ import annotations

SUBFILE, OLD_SUBFILE, WIDTH, HEIGHT, BITS = 254, 255, 256, 257, 258
COMPRESSION, PHOTOMETRIC, FILL_ORDER = 259, 262, 266
STRIPS, ORIENTATION, SAMPLES, STRIP_ROWS, STRIP_BYTES = 273, 274, 277, 278, 279
LOWEST, HIGHEST, PLANAR, PREDICTOR, PALETTE = 280, 281, 284, 317, 320
TILE_WIDTH, TILE_HEIGHT, TILES, TILE_BYTES = 322, 323, 324, 325
SUB_IMAGES, INKS, EXTRA, FORMAT, DISPLAY_LOW, DISPLAY_HIGH = 330, 332, 338, 339, 340, 341
YCBCR_FACTORS, SUBSAMPLING, REFERENCE_BLACK_WHITE = 529, 530, 532
XMP, VOLUME_DEPTH, DNG_VERSION = 700, 32997, 50706
# Fields that describe the layout of pixels; the others are metadata.
PIXEL_TAGS = frozenset(
    (*range(256, 260), 262, 266, 273, *range(277, 280), 284, 292, 293, 317, 320, *range(322, 326))
) | {332, 338, 339, 347, *range(512, 522), *range(529, 533)}
# Some programs repeat these for each channel, which Pillow warns about.
SINGLE = {256, 257, 259, 262, 266, 277, 278, 284, 317, 322, 323}
