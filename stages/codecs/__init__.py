"""File formats, one file each: every module here that defines ``CODEC`` is known."""
