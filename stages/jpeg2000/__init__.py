"""What the JPEG 2000 codec is made of: the boxes of a JP2 file, and the codestream in them."""
