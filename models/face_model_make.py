"""The morphable face's file, made from what its publishers give to each user.

The recipe is that of ``sicxu/Deep3DFaceRecon_pytorch`` and ``ascust/3DMM-Fitting-Pytorch:convert_bfm09_data.py``: the
Basel Face Model of 2009 for shape and skin, FaceWarehouse's expressions on the same mesh, cut to the face.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import savemat

from models.checkpoint_file import CheckpointUnreadable
from models.face_model_file import FaceModelUnusable, face_arrays, read_matlab
from models.nets.face_model import EXPRESSION, IDENTITY, TEXTURE

Array = NDArray[Any]

BASEL, FACTS = "01_MorphableModel.mat", "facemodel_info.mat"
FRONT, TRIMMED = "BFM_front_idx.mat", "BFM_exp_idx.mat"
EXPRESSIONS, DEVIATIONS = "Exp_Pca.bin", "std_exp.txt"
SOURCES = (BASEL, EXPRESSIONS, DEVIATIONS, FACTS, FRONT, TRIMMED)
DECIMETRE = 1e5  # in the Basel model's micrometres
SHAPE = ("shapePC", "shapeEV", "shapeMU")
SKIN = ("texPC", "texEV", "texMU")
COPIED = ("tri", "point_buf", "keypoints", "skinmask")


def make_face_model(folder: Path, target: Path) -> None:
    """Write ``target`` (.mat), the model of the six ``SOURCES`` in ``folder``, once it is checked.

    Raises ``CheckpointUnreadable`` and ``FaceModelUnusable``.
    """
    if missing := [name for name in SOURCES if not (folder / name).is_file()]:
        raise FaceModelUnusable(str(folder), f"it has no {', '.join(missing)}")
    arrays = face_model_of(folder)
    face_arrays(arrays, str(folder))
    savemat(target, arrays)


def face_model_of(folder: Path) -> dict[str, Array]:
    """The arrays by their names in the file, float32, with indices from 1."""
    front = indices(folder / FRONT, "idx")
    basel = vertices(indices(folder / TRIMMED, "trimIndex")[front])
    shape, skin = read_matlab(folder / BASEL, SHAPE), read_matlab(folder / BASEL, SKIN)
    made = {
        "meanshape": shape["shapeMU"].ravel()[basel][None] / DECIMETRE,
        "idBase": (shape["shapePC"] * shape["shapeEV"].ravel())[basel, :IDENTITY] / DECIMETRE,
        "exBase": expressions(folder)[vertices(front)] / DECIMETRE,
        "meantex": skin["texMU"].ravel()[basel][None],
        "texBase": (skin["texPC"] * skin["texEV"].ravel())[basel, :TEXTURE],
    }
    made |= read_matlab(folder / FACTS, COPIED)
    return {name: np.asarray(array, np.float32) for name, array in made.items()}


def indices(path: Path, key: str) -> NDArray[np.int64]:
    """The numbers below ``key``, from 0."""
    return read_matlab(path, (key,))[key].ravel().astype(np.int64) - 1


def vertices(chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    """The places of x, y and z of vertices in a row of all coordinates."""
    return (3 * chosen[:, None] + np.arange(3)).ravel()


def expressions(folder: Path) -> Array:
    """The first 64 expressions (3 V, 64) of the whole mesh, by their deviations. Their mean is not used.

    The file holds their number in an int32, then float32: the mean, and each one.
    """
    path = folder / EXPRESSIONS
    count = int(np.fromfile(path, "<i4", 1)[0]) if path.stat().st_size > 4 else 0
    values = np.fromfile(path, "<f4", offset=4)
    if count < EXPRESSION or len(values) % (3 * (count + 1)):
        raise CheckpointUnreadable(path, f"{len(values)} numbers are not the mean and {count} expressions of a mesh")
    deviations = np.loadtxt(folder / DEVIATIONS).ravel()
    if len(deviations) < EXPRESSION:
        raise CheckpointUnreadable(folder / DEVIATIONS, f"{len(deviations)} numbers are less than {EXPRESSION}")
    each = values.reshape(count + 1, -1)[1 : EXPRESSION + 1]
    return each.T * deviations[:EXPRESSION].astype(np.float32)
