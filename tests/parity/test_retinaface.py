"""RetinaFace through this project's code against retinaface-pytorch and facexlib."""

from typing import cast

import numpy as np
import torch
from kit import Case
from numpy.typing import NDArray

from models.load import fill
from models.nets.retinaface import BodyName, Levels, RetinaFace
from models.pyramid import Pixels, Rows
from models.retinaface_boxes import faces_of
from models.retinaface_detector import BGR_MEAN, RGB_IMAGENET, Preparation, facexlib_size, ternaus_view

KNOWN = ("resnet50_*", "mobile025_*", "decode*", "preprocess*")
RELATIVE = 1e-5
PIXELS, NETWORK_PIXELS = 0.02, 0.0001
LEVEL = 0.018  # what one grey level of a resized photo is after normalising
TERNAUS_SCORE = 0.7
KIT_ORDER = [0, 1, 2, 3, 14, *range(4, 14)]  # columns of a row in the order of the kit


def test_it_computes_what_the_originals_compute(case: Case) -> None:
    [check] = [check for start, check in CHECKS.items() if case.name.startswith(start)]
    check(case)


def check_network(case: Case) -> None:
    """Outputs and the parts on the way to them."""
    network = RetinaFace(cast("BodyName", case.part))
    fill(network, {name: torch.from_numpy(value) for name, value in case.weights().items()}, case.name)
    outputs = everything(network.eval(), torch.from_numpy(case.inputs["x"]))
    for name in case.outputs:
        assert case.relative_error(name, outputs[name].numpy()) < RELATIVE, name


def everything(network: RetinaFace, photos: torch.Tensor) -> dict[str, torch.Tensor]:
    with torch.inference_mode():
        body: Levels = network.body(photos)
        fpn: Levels = network.fpn(body)
        ssh = [network.ssh1(fpn[0]), network.ssh2(fpn[1]), network.ssh3(fpn[2])]
        outputs = dict(zip(("loc", "conf", "landms"), network(photos), strict=True))
    for part, levels in (("body", body), ("fpn", fpn), ("ssh", ssh)):
        outputs |= {f"{part}{index}": level for index, level in enumerate(levels, 1)}
    return outputs


def check_decoding(case: Case) -> None:
    """Both lines of weights, from the same raw outputs."""
    for name in case.outputs:
        if name.startswith("facexlib_"):
            rows = corners(decoded(case, int(name.removeprefix("facexlib_")) / 100))[:, KIT_ORDER]
            expected = case.outputs[name].reshape(-1, 15)
            np.testing.assert_allclose(rows, expected, rtol=0, atol=NETWORK_PIXELS, err_msg=name)
    rows = as_ternaus(case)
    boxes, scores, landmarks = (case.outputs[f"ternaus_{name}"] for name in ("boxes", "scores", "landmarks"))
    np.testing.assert_allclose(rows[:, :4], boxes.reshape(-1, 4), rtol=0, atol=PIXELS)
    np.testing.assert_allclose(rows[:, 14], scores.reshape(-1), rtol=0, atol=PIXELS)
    np.testing.assert_allclose(rows[:, 4:14], landmarks.reshape(-1, 10), rtol=0, atol=PIXELS)


def decoded(case: Case, lowest: float) -> Rows:
    """The faces of a decode case in network pixels, best first."""
    raw = [torch.from_numpy(case.inputs[name]) for name in ("loc", "conf", "landms")]
    height, width = (int(side) for side in case.inputs["network_size"])
    return faces_of(raw[0], raw[1], raw[2], (height, width), lowest)[0]


def corners(rows: Rows) -> Rows:
    """x, y, width, height as x0, y0, x1, y1."""
    rows = rows.copy()
    rows[:, 2:4] += rows[:, :2]
    return rows


def as_ternaus(case: Case) -> Rows:
    """In photo pixels. Both axes have the factor of the height, and a box that begins past the photo is dropped."""
    height, width = (int(side) for side in case.inputs["photo_size"])
    rows = corners(decoded(case, TERNAUS_SCORE))
    rows[:, :14] *= height / int(case.inputs["network_size"][0])
    return rows[(rows[:, 0] < width - 1) & (rows[:, 1] < height - 1)]


def check_preparation(case: Case) -> None:
    """The network's input, and the sizes to which the originals bring a photo."""
    photo = np.ascontiguousarray(case.inputs["photo"].transpose(1, 2, 0))
    np.testing.assert_array_equal(prepared(BGR_MEAN, photo), case.outputs["facexlib"])
    size = facexlib_size(photo.shape[0], photo.shape[1])
    np.testing.assert_allclose(size, case.outputs["facexlib_1600_size"], rtol=1e-6)
    for name in case.outputs:
        if name.startswith("ternaus_"):
            actual = prepared(RGB_IMAGENET, ternaus_view(photo, int(name.removeprefix("ternaus_"))))
            np.testing.assert_allclose(actual, case.outputs[name], rtol=0, atol=1.01 * LEVEL, err_msg=name)
            assert np.abs(actual - case.outputs[name]).mean() < 0.1 * LEVEL, name


def prepared(prepare: Preparation, photo: Pixels) -> NDArray[np.float32]:
    return prepare(torch.from_numpy(photo)[None])[0].numpy()


CHECKS = {
    "resnet50": check_network,
    "mobile025": check_network,
    "decode": check_decoding,
    "preprocess": check_preparation,
}
