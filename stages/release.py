"""Release: the bytes of photos that no later stage needs are dropped before they travel on."""

from dataclasses import replace

from stages.photo import FaultClass, Photo


class Release:
    """Keeps a photo's file only if a face of it waits for a method, or every photo is copied (``keep_all``)."""

    name = "release"

    def __init__(self, keep_all: bool) -> None:
        self.keep_all = keep_all

    def __call__(self, photos: list[Photo]) -> list[Photo]:
        return [photo if self.needed(photo) else replace(photo, data=None) for photo in photos]

    def needed(self, photo: Photo) -> bool:
        waits = any(face.crop is not None for face in photo.faces)
        passed = photo.fault is not None and photo.fault.kind is FaultClass.PASSED
        return (photo.open and waits) or (self.keep_all and (photo.open or passed))
