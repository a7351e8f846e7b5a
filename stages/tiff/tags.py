"""The numbers of TIFF tags that are read here, and the names of what cannot be worked on (TIFF 6.0 and its notes)."""

SUBFILE, OLD_SUBFILE = 254, 255
WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 256, 257, 258, 259, 262, 266
STRIP_OFFSETS, ORIENTATION, SAMPLES, ROWS, STRIP_COUNTS = 273, 274, 277, 278, 279
X_RESOLUTION, Y_RESOLUTION, PLANAR, RESOLUTION_UNIT, PREDICTOR = 282, 283, 284, 296, 317
COLOUR_MAP, TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_COUNTS, SUB_DIRECTORIES = 320, 322, 323, 324, 325, 330
INK_SET, EXTRA_SAMPLES, SAMPLE_FORMAT, JPEG_TABLES, XMP, ICC = 332, 338, 339, 347, 700, 34675

RAW, LZW, JPEG, PACKBITS, ZSTD = 1, 5, 7, 32773, 50000
DEFLATES = frozenset({8, 32946})
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, SEPARATED, YCBCR = 0, 1, 2, 3, 5, 6
UNSAID = 65535

COMPRESSIONS = {
    2: "CCITT RLE",
    3: "fax group 3",
    4: "fax group 4",
    6: "old-style JPEG",
    9: "JBIG",
    10: "JBIG",
    33003: "JPEG 2000",
    33005: "JPEG 2000",
    34661: "JBIG",
    34712: "JPEG 2000",
    34887: "LERC",
    34892: "lossy DNG JPEG",
    34925: "LZMA",
    34926: "Zstandard of an old number",
    34927: "WebP",
    50001: "WebP",
    50002: "JPEG XL",
}
PHOTOMETRICS = {
    4: "mask",
    6: "YCbCr",
    8: "CIELab",
    9: "ICCLab",
    10: "ITULab",
    32803: "colour filter array",
    32844: "LogL",
    32845: "LogLuv",
    34892: "linear raw",
}

# What belongs to the old form of the samples, and goes when a page is written in another: besides what is replaced,
# SubfileType's kin of value ranges and response curves, and the tables of palettes, JPEG and YCbCr.
OF_THE_FORM = frozenset(
    {BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER, STRIP_OFFSETS, SAMPLES, ROWS, STRIP_COUNTS, PLANAR, PREDICTOR}
    | {COLOUR_MAP, TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_COUNTS, INK_SET, EXTRA_SAMPLES, SAMPLE_FORMAT}
    | {280, 281, 290, 291, 301, 321, 336, 340, 341, JPEG_TABLES, 512, 513, 514, 515, 517, 518, 519, 520, 521}
    | {529, 530, 531, 532}
)
