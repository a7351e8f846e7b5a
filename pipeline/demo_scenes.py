"""What the demo's photos show and how each has aged."""

from dataclasses import dataclass
from typing import Literal

from models.degradations.chain import Ageing, compose
from models.degradations.codec import jpeg
from models.degradations.film import grain
from models.degradations.optics import blur, resample
from models.degradations.surface import dust, scratches
from models.degradations.tone import duotone, fade, sepia

HEAD = (106, 8, 240, 300)  # the portrait's window that an oval shows


@dataclass(frozen=True, slots=True)
class Sitter:
    """One figure: ``window`` (x, y, width, height) of the portrait, its top left corner ``at`` (x, y) on the canvas."""

    window: tuple[int, int, int, int]
    scale: float
    at: tuple[int, int] = (0, 0)
    mirrored: bool = False


@dataclass(frozen=True, slots=True)
class Scene:
    """One photo, ``size`` (width, height). Without sitters it is the bundled picture ``view``, at its own size."""

    path: str
    size: tuple[int, int]
    ageing: Ageing
    sitters: tuple[Sitter, ...] = ()
    view: Literal["astronaut", "coffee", "rocket"] = "astronaut"


BROWN = compose(sepia(0.9), fade(0.8, 0.08))
PALE = compose(sepia(0.5), fade(0.65, 0.16))
SILVER = compose(duotone((0.02, 0.02, 0.02), (0.98, 0.98, 0.96)), fade(0.85, 0.06))
COLD = compose(duotone((0.05, 0.08, 0.16), (0.95, 0.97, 0.96)), fade(0.9, 0.03))
COLOUR = fade(0.8, 0.1)

WORN = compose(blur(0.8), grain(0.06, 0.6), dust(12), jpeg(85))
GRAINY = compose(blur(0.6), grain(0.08, 0.7), jpeg(80))
SOFT = compose(resample(1.8), grain(0.045, 0.8), dust(10), jpeg(75))
SCRATCHED = compose(blur(0.9), grain(0.07, 0.6), scratches(5), dust(30), jpeg(80))
WRECKED = compose(blur(1.2), grain(0.09, 0.9), scratches(9, 0.8, 2), dust(60, 2.5), jpeg(60))


def single(path: str, window: tuple[int, int, int, int], scale: float, ageing: Ageing, mirrored: bool = False) -> Scene:
    """One sitter who fills the photo."""
    size = (round(window[2] * scale), round(window[3] * scale))
    return Scene(path, size, ageing, (Sitter(window, scale, mirrored=mirrored),))


SCENES = (
    single("albums/1927/at the studio.jpg", (0, 0, 512, 512), 1.25, Ageing(BROWN, WORN)),
    single("albums/1927/portrait 2.png", (90, 0, 270, 330), 1.8, Ageing(BROWN, SCRATCHED)),
    single("albums/1931/looking left.jpg", (70, 0, 310, 310), 1.7, Ageing(SILVER, GRAINY), mirrored=True),
    single("albums/1931/close.jpg", (120, 10, 210, 250), 2.2, Ageing(PALE, SOFT)),
    single("albums/1944/found in the attic.png", (80, 0, 300, 360), 1.6, Ageing(SILVER, WRECKED)),
    single("albums/1962/in colour.jpg", (20, 0, 420, 420), 1.4, Ageing(COLOUR, GRAINY)),
    Scene(
        "albums/1931/two sisters.jpg",
        (760, 520),
        Ageing(BROWN, GRAINY),
        (Sitter(HEAD, 1.4, (24, 60)), Sitter(HEAD, 1.5, (382, 36), mirrored=True)),
    ),
    Scene(
        "albums/1938/three at the fair.png",
        (880, 460),
        Ageing(COLD, WORN),
        (Sitter(HEAD, 1.15, (10, 80)), Sitter(HEAD, 1.35, (284, 20), mirrored=True), Sitter(HEAD, 1.1, (608, 100))),
    ),
    Scene(
        "albums/1938/the whole class.jpg",
        (720, 860),
        Ageing(PALE, SCRATCHED),
        (
            Sitter(HEAD, 1.25, (36, 34)),
            Sitter(HEAD, 1.35, (364, 20), mirrored=True),
            Sitter(HEAD, 1.35, (20, 436), mirrored=True),
            Sitter(HEAD, 1.2, (386, 464)),
        ),
    ),
    Scene("albums/1962/breakfast.jpg", (600, 400), Ageing(COLOUR, WORN), view="coffee"),
    Scene("albums/1962/the launch.png", (640, 427), Ageing(COLD, SCRATCHED), view="rocket"),
)
