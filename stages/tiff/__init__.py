"""What the TIFF codec is made of: directories, layouts, segments, and the surgery that leaves all else as it was."""
