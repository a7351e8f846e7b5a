"""Makes out/hard-faces.png, a sheet to look at: the scenes of ``hard_faces``, each as the truth, as what is left of it,
and restored from the truth's own crops by difference and by replacement.

.venv/bin/python tests/stages/contact_sheet.py
"""

from pathlib import Path

from hard_faces import Scene, restored, result_of, scenes
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 430
GAP = 6


def main() -> None:
    rows = [row(scene) for scene in scenes()]
    height = sum(max(picture.height for picture in pictures) + GAP for pictures in rows)
    sheet = Image.new("RGB", (4 * (LONGEST + GAP), height), "white")
    top = 0
    for pictures in rows:
        for column, picture in enumerate(pictures):
            sheet.paste(picture, (column * (LONGEST + GAP), top))
        top += max(picture.height for picture in pictures) + GAP
    target = ROOT / "out" / "hard-faces.png"
    target.parent.mkdir(exist_ok=True)
    sheet.save(target)
    print(target)


def row(scene: Scene) -> list[Image.Image]:
    by_mode = [result_of(restored(scene, "difference")), result_of(restored(scene, "replace"))]
    return [fitted(Image.fromarray(picture)) for picture in (scene.truth, scene.photo, *by_mode)]


def fitted(picture: Image.Image) -> Image.Image:
    """``picture`` with its longer side at ``LONGEST``."""
    scale = LONGEST / max(picture.size)
    size = round(picture.width * scale), round(picture.height * scale)
    return picture.resize(size, Image.Resampling.LANCZOS)


if __name__ == "__main__":
    main()
