"""Decode and detect: what the detector sees, and where its finds lie in the photo."""

from collections.abc import Sequence

import numpy as np
import pytest
from pictures import Plain

from models.detector import Detection, Detector
from stages.detect import Detect, View, enlarged
from stages.photo import Fault, FaultClass, Photo, Pixels, Source
from stages.picture import Samples

BLACK = np.zeros((800, 1200, 3), np.uint8)


class Marks:
    """Finds the box around all white pixels of each photo, and remembers its calls."""

    def __init__(self) -> None:
        self.calls: list[list[tuple[int, ...]]] = []

    def detect(self, photos: Sequence[Pixels]) -> list[list[Detection]]:
        self.calls.append([photo.shape for photo in photos])
        return [self.one(photo) for photo in photos]

    def one(self, photo: Pixels) -> list[Detection]:
        y, x = np.nonzero(photo[..., 0] > 127)
        if not len(x):
            return []
        box = float(x.min()), float(y.min()), float(np.ptp(x)) + 1, float(np.ptp(y)) + 1
        points = np.tile([[x.mean(), y.mean()]], (5, 1))
        return [Detection(box, points, 0.9)]


def marked(x: int, y: int, side: int, shape: tuple[int, int] = (800, 1200)) -> Pixels:
    page = np.zeros((*shape, 3), np.uint8)
    page[y : y + side, x : x + side] = 255
    return page


def seen(*pages: Pixels) -> Photo:
    return Photo(Source("file:///a.png", "a.png"), picture=Plain(*pages))


def detect(detector: Detector, smallest: float = 12, together: int = 16) -> Detect:
    return Detect(detector, smallest, 300, together)


def test_a_find_in_a_reduced_view_lies_where_the_face_is_in_the_photo() -> None:
    face = detect(Marks())([seen(marked(600, 300, 60))])[0].faces[0]
    assert face.landmarks is not None
    np.testing.assert_allclose(face.landmarks[0], [629.5, 329.5], atol=0.01)
    np.testing.assert_allclose(face.box[2:], [60, 60], atol=0.01)


def test_the_smallest_face_is_counted_in_pixels_of_the_photo() -> None:
    photo = seen(marked(600, 300, 32))  # 8 px in the view
    assert len(detect(Marks(), 31)([photo])[0].faces) == 1
    assert not detect(Marks(), 33)([photo])[0].faces


def test_photos_and_pages_go_through_the_detector_together_and_keep_their_own_faces() -> None:
    detector = Marks()
    ended = Photo(Source("file:///b.png", "b.png")).failed(Fault("read", FaultClass.EMPTY, "empty"))
    photos = [seen(marked(30, 30, 60), BLACK, marked(90, 90, 30)), ended, seen(BLACK), seen(marked(300, 30, 90))]
    done = detect(detector)(photos)
    assert [len(call) for call in detector.calls] == [5]
    assert [[face.page for face in photo.faces] for photo in done] == [[0, 2], [], [], [0]]
    assert [[face.index for face in photo.faces] for photo in done] == [[0, 1], [], [], [0]]
    assert done[1] is ended
    assert all("detect" in photo.seconds for photo in (done[0], done[2]))


def test_nothing_open_asks_the_detector_nothing() -> None:
    detector = Marks()
    ended = Photo(Source("file:///b.png", "b.png")).failed(Fault("read", FaultClass.EMPTY, "empty"))
    assert detect(detector)([ended]) == [ended]
    assert detector.calls == []


def test_a_photo_is_never_enlarged_for_the_detector() -> None:
    detector = Marks()
    detect(detector)([seen(marked(3, 3, 9, (90, 70)))])
    assert detector.calls == [[(90, 70, 3)]]


def test_pages_are_looked_at_a_few_at_a_time() -> None:
    detector = Marks()
    photo = detect(detector, together=2)([seen(*[marked(30 * page, 30, 60) for page in range(5)])])[0]
    assert [len(call) for call in detector.calls] == [2, 2, 1]
    assert [face.page for face in photo.faces] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("together", "calls"), [(1, 0), (2, 3)])
def test_only_a_detector_of_whole_batches_lets_go_of_what_was_decoded(together: int, calls: int) -> None:
    let_go: list[int] = []

    class Counted(Plain):
        def let_go(self) -> None:
            let_go.append(1)

    photo = Photo(Source("file:///a.png", "a.png"), picture=Counted(BLACK, BLACK, BLACK))
    detect(Marks(), together=together)([photo])
    assert len(let_go) == calls


def test_a_page_that_cannot_be_decoded_fails_its_photo_as_decoding_and_no_other() -> None:
    class Broken(Plain):
        def samples(self, page: int, least: int | None = None) -> Samples:
            raise ValueError("a broken strip")

    bad = Photo(Source("file:///b.png", "b.png"), picture=Broken(BLACK, BLACK))
    done = detect(Marks())([bad, seen(marked(30, 30, 60))])
    assert done[0].fault == Fault("decode", FaultClass.CORRUPT, "a broken strip")
    assert len(done[1].faces) == 1


@pytest.mark.parametrize("scale", [1, 8])
def test_points_keep_their_place_between_pixel_centres(scale: int) -> None:
    view = View(0, 0, np.zeros((10, 20, 3), np.uint8), 20 * scale, 10 * scale)
    found = enlarged(Detection((0, 0, 20, 10), np.array([[9.5, 4.5]] * 5), 1.0), view)
    assert found.landmarks is not None
    np.testing.assert_allclose(found.landmarks[0], [10 * scale - 0.5, 5 * scale - 0.5])
    assert found.box[2:] == (20 * scale, 10 * scale)
