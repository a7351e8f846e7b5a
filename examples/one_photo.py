"""Restores the faces of one photo without Ray, with the same stages as an archive's.

    python examples/one_photo.py in.jpg out.jpg [--detector yunet]

The result has the kind of file of the input, whatever its name. ``daguerre-d``, the default detector, and the default
method need no download; ``yunet`` does (``daguerre weights fetch yunet_n_640_640.onnx``).
"""

import argparse
from functools import partial
from pathlib import Path

from infra.config import Config, Detect
from infra.errors import OperatorError
from infra.storage import Storage, absolute
from infra.weights import WeightStore, sha256
from stages.align import Align
from stages.codec import Limits
from stages.detect import Decode
from stages.detect import Detect as FindFaces
from stages.needed import needed
from stages.paste import Paste
from stages.photo import Photo, Source
from stages.read import Read
from stages.recipe import named, resolve
from stages.restore import Restore
from stages.score import Score
from stages.stage import Stage, run
from stages.write import Conclude
from stages.xmp import EditRecord, edited


def stages_of(config: Config) -> list[Stage]:
    """What happens to a photo between its file and its result, in order. The config must not be ``aligned``."""
    store = WeightStore.from_environment(source=config.weights)
    paths = store.require(needed(config, store))
    recipe = resolve(config, lambda file: sha256(paths[file.name]) if file.name in paths else None)
    if recipe.detect is None or recipe.paste is None:
        raise ValueError("a photo that is one aligned face is not for this example")
    limits = Limits(config.read.max_bytes, config.read.max_pixels)
    find: list[Stage] = [
        Read(Storage(config.storage), limits),
        Decode(limits),
        FindFaces(
            recipe.detect.spec.build(paths, recipe.detect.settings("cpu")),
            recipe.detect.smallest,
            recipe.detect.longest,
        ),
        Align(recipe),
    ]
    restore: list[Stage] = []
    for name, method in recipe.methods.items():
        how = named(config, name)
        restorer = method.spec.build(paths, method.resolved, how.device, method.dtype)
        restore.append(Restore(name, restorer, how.batch_size, how.device))
    finish: list[Stage] = [Paste(recipe.paste.feather), Score(recipe.aligned), Conclude()]
    return [*find, *restore, *finish]


def restore_photo(path: Path, config: Config) -> Photo:
    """The photo at ``path`` with its faces, its status and, if a face changed, its ``edits``."""
    return run(stages_of(config), [Photo(Source(absolute(str(path)), path.name))])[0]


def tell(photo: Photo) -> None:
    """What was done, a line for the photo and one for each face."""
    print(
        f"{photo.source.path}: {photo.status}{f' ({photo.fault.kind}: {photo.fault.message})' if photo.fault else ''}"
    )
    for face in photo.faces:
        print(
            f"  face {face.index}: {face.status} by {face.method or 'none'}, rule {face.rule}, {face.side or 0:.0f} px"
        )
        for name, before in face.before.items():
            after = f" -> {face.after[name]:.3g}" if name in face.after else ""
            print(f"    {name} {before:.3g}{after}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Restore the faces of one photo.")
    parser.add_argument("photo", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("--detector", default="daguerre-d", help="daguerre-d (default), yunet, ...")
    options = parser.parse_args()
    try:
        photo = restore_photo(options.photo, Config(detect=Detect(detector=options.detector)))
    except OperatorError as error:
        parser.exit(2, f"error: {error.message}\n{error.hint}\n")
    tell(photo)
    if photo.picture is None or not photo.edits:
        print("no face was changed: nothing written")
        return 0 if photo.fault is None else 1
    record = EditRecord("Daguerre", ("classic",), "one photo")
    written = photo.picture.write(photo.edits, partial(edited, record=record))
    print(f"written by way of {written.way}")
    options.result.write_bytes(written.content)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
