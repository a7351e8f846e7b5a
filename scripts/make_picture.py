"""Makes docs/before-after.jpg, the picture in the README, from the demo's own output: one face before and after.

scripts/demo && .venv/bin/python scripts/make_picture.py [FOLDER OF THE DEMO]
"""

import json
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
PHOTO = "albums/1927/at the studio.jpg"
MARGIN = 0.35  # around the face's box, as a share of its sides
HEIGHT = 480
GAP = 8
LARGEST = 150_000  # bytes


Window = tuple[int, int, int, int]


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "out" / "demo"
    window = around_the_face(folder)
    pictures = [scaled(folder / part / PHOTO, window) for part in ("archive", "restored/photos")]
    sheet = Image.new("RGB", (sum(picture.width for picture in pictures) + GAP, HEIGHT), "white")
    sheet.paste(pictures[0], (0, 0))
    sheet.paste(pictures[1], (pictures[0].width + GAP, 0))
    target = ROOT / "docs" / "before-after.jpg"
    sheet.save(target, quality=88, optimize=True)
    if target.stat().st_size > LARGEST:
        raise SystemExit(f"{target} has {target.stat().st_size} bytes, more than {LARGEST}")
    print(target)


def around_the_face(folder: Path) -> Window:
    """The window (left, top, right, bottom) of the photo that shows its face."""
    photos = json.loads((folder / "truth.json").read_text())["photos"]
    x, y, width, height = next(photo["faces"][0] for photo in photos if photo["path"] == PHOTO)
    across, down = MARGIN * width, MARGIN * height
    return round(x - across), round(y - down), round(x + width + across), round(y + height + down)


def scaled(path: Path, window: Window) -> Image.Image:
    """The window of the picture at ``path`` at the sheet's height."""
    with Image.open(path) as picture:
        face = picture.convert("RGB").crop(window)
    return face.resize((round(face.width * HEIGHT / face.height), HEIGHT), Image.Resampling.BICUBIC)


if __name__ == "__main__":
    main()
