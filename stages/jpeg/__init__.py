"""JPEG below the level of pixels: segments, DCT coefficients, Huffman codes."""
