"""Make pictures without faces, for ``daguerre train daguerre-d --faceless OUT``.

    .venv/bin/python scripts/make_faceless.py PORTRAITS MARKS.csv OUT [--found FOLDER]

One folder a kind: what the portraits show beside their faces (chests, corners of the picture, heads whose face is
blurred away), lettering, patterns, lights, drawn hands, foliage, and the pictures without faces that come with
scikit-image and are in the public domain or CC0. ``--found`` is a folder of other pictures (JPEG, PNG, WebP), taken as
they are. Held-out portraits are not used. The same inputs give the same files.
"""

import argparse
import string
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from skimage import data

from infra.storage import Storage, absolute
from models.training.album import Portrait
from stages.albums import marked

Pixels = NDArray[np.uint8]
Rng = np.random.Generator
SEED = 1841
SIDE = 320  # of what is drawn
DRAWN = 200  # of each drawn kind
PORTRAIT_SIDE = 600
BUNDLED = (
    "brick",
    "cell",
    "chelsea",
    "clock",
    "coffee",
    "grass",
    "gravel",
    "horse",
    "hubble_deep_field",
    "logo",
    "immunohistochemistry",
    "microaneurysms",
    "moon",
    "page",
    "retina",
    "rocket",
    "text",
)


def chest(portrait: Portrait, rng: Rng) -> Pixels | None:
    """What is below the face."""
    top = int(portrait.box[1] + portrait.box[3] * 1.08)
    below = portrait.pixels[top:]
    return below if min(below.shape[:2]) >= 64 else None


def corner(portrait: Portrait, rng: Rng) -> Pixels | None:
    """What is beside the face and above the chin, with an ear and hair at times."""
    x, _, width, _ = portrait.box
    left, right = int(x - 0.02 * width), int(x + 1.02 * width)
    part = portrait.pixels[:, : max(0, left)] if rng.random() < 0.5 else portrait.pixels[:, right:]
    return part if part.size and min(part.shape[:2]) >= 64 else None


def blank_head(portrait: Portrait, rng: Rng) -> Pixels | None:
    """The portrait with skin without features for its face, or cloth."""
    x, y, width, height = portrait.box
    mask = np.zeros(portrait.pixels.shape[:2], np.uint8)
    centre = (round(x + width / 2), round(y + height * 0.52))
    cv2.ellipse(mask, centre, (round(width * 0.5), round(height * 0.47)), 0, 0, 360, 255, -1)
    soft = cv2.GaussianBlur(mask, (0, 0), width * 0.03).astype(np.float32)[..., None] / 255
    below = portrait.pixels[int(y + 1.08 * height) :]
    if rng.random() < 0.5 or len(below) < 40:
        inner = blurred(portrait.pixels)
    else:
        inner = cv2.resize(below, mask.shape[::-1], interpolation=cv2.INTER_LINEAR).astype(np.float32)
    mixed = portrait.pixels * (1 - soft) + inner * soft
    return np.rint(mixed).astype(np.uint8)


def blurred(pixels: Pixels) -> NDArray[np.float32]:
    """``pixels`` with nothing left of a face's features."""
    size = (pixels.shape[1], pixels.shape[0])
    few = cv2.resize(pixels, (max(2, size[0] // 80), max(2, size[1] // 80)), interpolation=cv2.INTER_AREA)
    return cv2.resize(few.astype(np.float32), size, interpolation=cv2.INTER_LINEAR).astype(np.float32, copy=False)


def ground(rng: Rng) -> Pixels:
    """Paper, cloth or wall: soft clouds of one colour."""
    small = rng.normal(0, rng.uniform(2, 30), (int(rng.integers(2, 40)),) * 2)
    clouds = cv2.resize(small.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    return np.clip(rng.uniform(0, 255, 3) + clouds[..., None], 0, 255).astype(np.uint8)


def lettering(rng: Rng) -> Pixels:
    """Lines of text, or a few large letters."""
    picture = Image.fromarray(ground(rng))
    pen = ImageDraw.Draw(picture)
    size = int(rng.choice([9, 12, 16, 24, 40, 70, 120, 200]))
    letters = list(string.ascii_letters + string.digits + "&?!.,:;()@%§$#*+=      ")
    y = int(rng.integers(-size, size))
    font = ImageFont.load_default(size)
    while y < SIDE:
        text = "".join(rng.choice(letters, 2 * SIDE // size + 2))
        pen.text((int(rng.integers(-size, 10)), y), text, tuple(int(v) for v in rng.integers(0, 256, 3)), font)
        y += int(size * rng.uniform(1, 1.6))
    return np.asarray(picture)


def pattern(rng: Rng) -> Pixels:
    """Weaves, lattices, checks, brickwork, windows and railings."""
    picture, pitch = ground(rng), int(rng.integers(5, 70))
    width = max(1, int(pitch * rng.uniform(0.1, 0.5)))
    ink = [tuple(int(v) for v in rng.integers(0, 256, 3)) for _ in range(3)]
    for row, y in enumerate(range(0, SIDE, pitch)):
        for x in range(-pitch * (row % 2) // 2, SIDE, pitch):
            end = (x + pitch - width, y + pitch - width)
            shape = int(rng.integers(3)) if rng.random() < 0.1 else pitch % 3
            if shape == 0:
                cv2.rectangle(picture, (x, y), end, ink[0], -1)
                cv2.line(picture, (x + pitch // 2, y), (x + pitch // 2, end[1]), ink[1], max(1, width // 3))
            elif shape == 1:
                cv2.line(picture, (x, y), end, ink[0], width)
                cv2.line(picture, (end[0], y), (x, end[1]), ink[1], width)
            else:
                cv2.circle(picture, (x + pitch // 2, y + pitch // 2), max(1, pitch // 2 - width // 2), ink[2], -1)
    return cv2.warpAffine(
        picture, cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), rng.uniform(-45, 45), 1.5), (SIDE, SIDE)
    ).astype(np.uint8, copy=False)


def lights(rng: Rng) -> Pixels:
    """Round and oval things: lamps, buttons, plates, knobs, wheels, each with its shading, pairs of them among them."""
    picture = ground(rng).astype(np.float32)
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    for _ in range(int(rng.integers(3, 24))):
        x, y, r, flat = *rng.uniform(0, SIDE, 2), float(np.exp(rng.uniform(1, 4.2))), rng.uniform(0.6, 1.6)
        for shift in (0, 2.6 * r) if rng.random() < 0.3 else (0,):
            away = np.hypot((columns - x - shift) / flat, rows - y) / r
            inside = np.clip((1 - away) * r / 1.5, 0, 1)[..., None]
            shade = 1 - rng.uniform(-0.6, 0.8) * np.clip(away, 0, 1)[..., None] ** 2
            rings = 1 + rng.uniform(0, 0.4) * np.cos(away * rng.uniform(3, 20))[..., None]
            picture = picture * (1 - inside) + rng.uniform(20, 255, 3) * shade * rings * inside
    return np.clip(picture, 0, 255).astype(np.uint8)


def hand(rng: Rng) -> Pixels:
    """Fists and fingers: rounded bars of skin beside each other, lit from one side, with creases and nails."""
    picture = ground(rng).astype(np.float32)
    skin = np.array([rng.uniform(90, 250), 0, 0]) * (1, 0, 0)
    skin[1], skin[2] = skin[0] * rng.uniform(0.6, 0.85), skin[0] * rng.uniform(0.42, 0.75)
    thick, long = rng.uniform(14, 46), rng.uniform(1.2, 4.5)
    angle, start = rng.uniform(-40, 40), rng.uniform(60, 200, 2)
    light, bend = rng.uniform(-0.5, 0.5), rng.uniform(-6, 6)
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    back = thick * rng.uniform(1.6, 2.6)
    parts = [(start + (1.5 * thick, 1.6 * thick * long), back, back * 1.2, angle)]
    parts += [
        (start + (n * thick * 0.98, abs(n - 1.5) * thick * 0.3), thick / 2, thick * long, angle + bend * (n - 1.5))
        for n in range(4)
    ]
    for centre, half, length, turned in parts:
        cos, sin = np.cos(np.deg2rad(turned)), np.sin(np.deg2rad(turned))
        across = (columns - centre[0]) * cos + (rows - centre[1]) * sin
        along = -(columns - centre[0]) * sin + (rows - centre[1]) * cos
        beyond = np.maximum(np.abs(along) - length / 2, 0)
        away = np.hypot(across, beyond) / half
        inside = np.clip((1 - away) * half / 1.2, 0, 1)[..., None]
        creases = 1 - 0.25 * (np.abs(np.cos(along / length * np.pi * rng.uniform(1, 3))) < 0.08)
        shade = (1 - 0.55 * np.clip(away, 0, 1) ** 2 + light * across / half * 0.5) * creases
        picture = picture * (1 - inside) + skin * shade[..., None] * inside
    picture += rng.normal(0, 4, picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8)


def foliage(rng: Rng) -> Pixels:
    """Leaves and stones: ovals over ovals in neighbouring colours."""
    picture = ground(rng)
    base, spread = rng.uniform(30, 200, 3), rng.uniform(10, 60)
    size = float(np.exp(rng.uniform(1, 3.5)))
    for _ in range(int(min(4000, 3 * (SIDE / size) ** 2))):
        colour = np.clip(base + rng.normal(0, spread), 0, 255)
        place, axes = rng.integers(0, SIDE, 2), np.maximum(1, size * rng.uniform((0.5, 0.2), (1.3, 0.8))).astype(int)
        turned = float(rng.uniform(0, 360))
        cv2.ellipse(
            picture,
            (int(place[0]), int(place[1])),
            (int(axes[0]), int(axes[1])),
            turned,
            0,
            360,
            tuple(float(v) for v in colour),
            -1,
            cv2.LINE_AA,
        )
    return picture


FROM_PORTRAITS: dict[str, Callable[[Portrait, Rng], Pixels | None]] = {
    "chests": chest,
    "corners": corner,
    "heads": blank_head,
}
FROM_NOTHING: dict[str, Callable[[Rng], Pixels]] = {
    "lettering": lettering,
    "patterns": pattern,
    "lights": lights,
    "hands": hand,
    "foliage": foliage,
}


def save(pixels: Pixels, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(np.ascontiguousarray(pixels)).convert("RGB")
    picture.thumbnail((1024, 1024))
    picture.save(path, quality=92)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("portraits")
    parser.add_argument("marks")
    parser.add_argument("out", type=Path)
    parser.add_argument("--found", type=Path)
    options = parser.parse_args()
    learning, _ = marked(Storage(), absolute(options.portraits), absolute(options.marks), PORTRAIT_SIDE).split()
    for index, portrait in enumerate(learning):
        kind = tuple(FROM_PORTRAITS)[index % len(FROM_PORTRAITS)]
        pixels = FROM_PORTRAITS[kind](portrait, np.random.default_rng([SEED, index]))
        if pixels is not None:
            save(pixels, options.out / kind / f"{index:04d}.jpg")
    for number, (kind, draw) in enumerate(FROM_NOTHING.items()):
        for index in range(DRAWN):
            save(draw(np.random.default_rng([SEED, 100 + number, index])), options.out / kind / f"{index:04d}.jpg")
    for name in BUNDLED:
        save(np.asarray(getattr(data, name)()), options.out / "skimage" / f"{name}.jpg")
    for path in sorted(options.found.iterdir()) if options.found else []:
        with Image.open(path) as picture:
            save(np.asarray(picture.convert("RGB")), options.out / "found" / f"{path.stem}.jpg")


if __name__ == "__main__":
    main()
