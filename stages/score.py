"""Score: the same measures after as before, for each restored face and for the photo."""

from collections.abc import Sequence
from dataclasses import replace

from models.quality_measure import measure
from stages.align import standard_crop
from stages.canvas import Canvas, rounded
from stages.colour import floats
from stages.geometry import reduced
from stages.photo import Face, FaceStatus, Photo, Pixels
from stages.picture import Edit
from stages.stage import each

VIEW = 1024  # a photo's own quality is measured at this longer side


class Score:
    """Faces are measured on the standard crop of the pasted photo, photos on a view of at most 1024 pixels of the first
    page that changed.
    """

    name = "score"

    def __init__(self, aligned: bool) -> None:
        self.aligned = aligned

    def __call__(self, photos: list[Photo]) -> list[Photo]:
        return each(self.name, photos, self.score)

    def score(self, photo: Photo) -> Photo:
        if photo.picture is None or photo.raster is None or not photo.edits:
            return photo
        pages = sorted({edit.page for edit in photo.edits})
        canvases = {page: Canvas(photo.raster, page, photo.edits) for page in pages}
        faces = tuple(self.face(face, canvases) for face in photo.faces)
        first = Canvas(photo.raster, pages[0])
        before = Canvas(photo.picture, pages[0]).view(VIEW)
        longest = max(before.shape[:2])
        after = with_edits(first.view(longest), first, [edit for edit in photo.edits if edit.page == pages[0]])
        return replace(photo, faces=faces, before=measure(before), after=measure(after))

    def face(self, face: Face, canvases: dict[int, Canvas]) -> Face:
        if face.status is not FaceStatus.RESTORED:
            return face
        canvas = canvases[face.page]
        whole = (0, 0, canvas.width, canvas.height)
        crop = canvas.rgb(whole) if self.aligned else standard_crop(face, canvas)[1]
        return replace(face, after=measure(crop))


def with_edits(view: Pixels, canvas: Canvas, edits: Sequence[Edit]) -> Pixels:
    """A reduced ``view`` of a page with what the edits change in it, reduced alike."""
    levels, factor = floats(view), view.shape[1] / canvas.width
    for edit in edits:
        change = canvas.colour.to_srgb(edit.samples) - canvas.levels(edit.window)
        x0, y0, x1, y1, small = reduced(floats(change), edit.window, factor, view.shape[1], view.shape[0])
        levels[y0:y1, x0:x1] += small
    return rounded(levels)
