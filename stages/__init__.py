"""What happens to a photo: plain callables ``list[Photo] -> list[Photo]``, usable without Ray."""
