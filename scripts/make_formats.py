"""Makes the table in docs/formats.md: what becomes of each file in a folder of photos in many formats.

.venv/bin/python scripts/make_formats.py ../shared/photos/formats

Each file goes through the stages with a face in the middle of each page (detectors apart) and a method that brightens
it; the result is opened again and compared with its source, sample by sample and record by record.
"""

import io
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, IptcImagePlugin

from infra.config import Config
from infra.storage import Storage
from stages.align import Align
from stages.canvas import common, moved, view
from stages.codec import Limits, open_picture
from stages.detect import Decode
from stages.geometry import template
from stages.output import Wanted
from stages.paste import Paste
from stages.photo import Face, FaceStatus, Photo, Source, Status
from stages.picture import Edit, Picture, Samples
from stages.read import Read
from stages.recipe import resolve
from stages.stage import run
from stages.write import Conclude, Write
from stages.xmp import EditRecord

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "formats.md"
BEGIN, END = "<!-- made by scripts/make_formats.py -->", "<!-- end -->"
HEAD = ["File", "Source", "Result", "Profile", "Kept as they were", "Pixels outside the masks"]
LIMITS = Limits(500_000_000, 250_000_000)
RECORD = EditRecord("Daguerre", ("brighter",), "0123456789abcdef")
MOVED = {  # what a TIFF's result says of the place of its samples, and the XMP
    *(
        ExifTags.Base.StripOffsets,
        ExifTags.Base.StripByteCounts,
        ExifTags.Base.TileOffsets,
        ExifTags.Base.TileByteCounts,
    ),
    ExifTags.Base.XMLPacket,
}


@dataclass(frozen=True)
class Row:
    """One file: what it is, what became of it, and what of it is as it was. ``outside`` is None without a result."""

    file: str
    source: str
    result: str
    profile: str
    kept: tuple[str, ...]
    lost: tuple[str, ...]
    outside: int | None

    def cells(self) -> list[str]:
        """The row as the table has it."""
        kept = ", ".join(self.kept) + (f"; lost: {', '.join(self.lost)}" if self.lost else "")
        outside = {None: "", 0: "identical"}.get(self.outside, f"at most {self.outside} levels")
        return [f"`{self.file}`", self.source, self.result, self.profile, kept, outside]


def main() -> None:
    folder = Path(sys.argv[1])
    rows = [row_of(path) for path in sorted(folder.iterdir()) if path.is_file()]
    text = DOCUMENT.read_text()
    before, rest = text.split(BEGIN, 1)
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{table(rows)}\n\n{END}{rest.split(END, 1)[1]}")
    print(table(rows))


def table(rows: list[Row]) -> str:
    lines = [HEAD, ["---"] * len(HEAD), *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def row_of(path: Path) -> Row:
    """What becomes of the file at ``path``."""
    with tempfile.TemporaryDirectory() as folder:
        photo, edits = restored(path, Path(folder))
        what = describe(photo)
        if photo.fault or photo.output is None:
            fault = photo.fault
            result = f"{photo.status}, `{fault.kind}`: {fault.message}" if fault else str(photo.status)
            return Row(path.name, what, result, photo.profile or "none", (), (), None)
        content = next(found for found in Path(folder).rglob("photos/*") if found.is_file())
        made = content.read_bytes()
        after = open_picture(np.frombuffer(made, np.uint8), content.name, LIMITS)
        before = open_picture(np.fromfile(path, np.uint8), path.name, LIMITS)
        kept, lost = compare(path.read_bytes(), made)
        outside = max(largest_outside(before, after, page, edits) for page in range(len(before.pages)))
        facts = after.pages[0]
        changed = "" if photo.output.way != "converted" else f" {photo.output.format}, {facts.mode}, {facts.depth} bit"
        result = f"{photo.output.way}{changed}" + (f" ({photo.output.note})" if photo.output.note else "")
        return Row(path.name, what, result, photo.profile or "none", kept, lost, outside)


def describe(photo: Photo) -> str:
    if photo.format is None:
        return "not opened"
    pages = f", {photo.pages} pages" if photo.pages and photo.pages > 1 else ""
    depth = "" if photo.mode == "1" else f", {photo.depth} bit"
    return f"{photo.format}, {photo.mode}{depth}{pages}"


def restored(path: Path, sink: Path) -> tuple[Photo, tuple[Edit, ...]]:
    """The photo, restored into ``sink``, and its edits."""
    recipe = resolve(
        Config.model_validate({"detect": {"detector": "cascade"}, "leave": {"larger_than": 0}}), lambda _: ""
    )
    photo = Photo(Source(path.resolve().as_uri(), path.name, target=path.name))
    photo = run([Read(Storage(), LIMITS), Decode(LIMITS)], [photo])[0]
    if photo.picture is None or not photo.open:
        return photo, ()
    faces = [middle(index, photo.picture) for index, page in enumerate(photo.picture.pages) if not page.passed]
    photo = Align(recipe)([replace(photo, faces=tuple(faces))])[0]
    photo = replace(photo, faces=tuple(brighter(face) for face in photo.faces))
    photo = run([Paste(0.15), Conclude()], [photo])[0]
    write = Write(Storage(), sink.as_uri(), False, False, lambda _: RECORD, Wanted())
    return write([photo])[0] if photo.status is Status.RESTORED else photo, photo.edits


def middle(page: int, picture: Picture) -> Face:
    """A face in the middle of a page."""
    facts = picture.pages[page]
    side = 0.5 * min(facts.width, facts.height)
    corner = np.array([facts.width - side, facts.height - side]) / 2
    return Face(page, (0, 0, side, side), 1.0, template("ffhq", 512) * (side / 512) + corner, page=page)


def brighter(face: Face) -> Face:
    if face.crop is None:
        return face
    lighter = np.minimum(face.crop.astype(int) + 24, 255).astype(np.uint8)
    return replace(face, status=FaceStatus.RESTORED, restored=lighter)


def largest_outside(before: Picture, after: Picture, page: int, edits: tuple[Edit, ...]) -> int:
    """The largest change outside the masks, in levels; other kinds of samples are compared as far as they go."""
    old, new = whole(before, page), whole(after, page)
    if before.pages[page].space != after.pages[page].space:
        old = np.repeat(old[..., :1], 3, axis=2)
    channels = min(old.shape[2], new.shape[2])
    change = np.abs(old[..., :channels].astype(int) - new[..., :channels]).max(axis=2)
    facts = before.pages[page]
    for edit in edits:
        if edit.page == page:
            shared = common(edit.window, (0, 0, facts.width, facts.height))
            view(change, shared)[view(edit.mask, moved(shared, edit.window))] = 0
    return int(change.max())


def whole(picture: Picture, page: int) -> Samples:
    facts = picture.pages[page]
    return picture.window(page, (0, 0, facts.width, facts.height))


def compare(before: bytes, after: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of the records that are as they were, and of those that are not."""
    old, new = records(before), records(after)
    same = tuple(name for name in old if name in new and alike(name, old[name], new[name]))
    return same, tuple(name for name in old if name not in same)


def alike(name: str, old: object, new: object) -> bool:
    """Whether a record is as it was; the XMP has the edit's record besides."""
    if name != "XMP" or not isinstance(old, bytes) or not isinstance(new, bytes):
        return old == new
    owned = old.split(b"</rdf:RDF>")[0].rstrip()
    return RECORD.recipe.encode() in new and all(part in new for part in owned.split(b"\n"))


def records(content: bytes) -> dict[str, object]:
    """What a file says beside its pixels, as Pillow (or pillow-heif) reads it."""
    if content[4:8] == b"ftyp" and b"avif" not in content[8:32]:
        import pillow_heif

        opened = pillow_heif.open_heif(io.BytesIO(content))
        found: dict[str, object] = {"EXIF": opened.info.get("exif"), "ICC": opened.info.get("icc_profile")}
        return {name: value for name, value in found.items() if value}
    with Image.open(io.BytesIO(content)) as opened:
        info = opened.info
        tags = {key: value for key, value in opened.getexif().items() if key not in MOVED}
        found = {
            "EXIF": info.get("exif") or (tags if opened.format == "TIFF" else None),
            "orientation": tags.get(ExifTags.Base.Orientation),
            "XMP": info.get("xmp"),
            "IPTC": IptcImagePlugin.getiptcinfo(opened) if opened.format in {"JPEG", "TIFF"} else None,
            "ICC": info.get("icc_profile"),
            "comment": codestream_comment(content) if opened.format == "JPEG2000" else info.get("comment"),
            "resolution": info.get("dpi"),
        }
    return {
        ("tags" if name == "EXIF" and isinstance(value, dict) else name): value
        for name, value in found.items()
        if value
    }


def codestream_comment(content: bytes) -> bytes | None:
    """The first comment of a JPEG 2000 codestream; Pillow finds it only where no box comes before."""
    place = content.find(b"\xff\x64")
    return content[place : place + 2 + int.from_bytes(content[place + 2 : place + 4])] if place >= 0 else None


if __name__ == "__main__":
    main()
