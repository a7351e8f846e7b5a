"""Changed samples as changes of quantised DCT coefficients.

What is added is the transform of the *difference*, quantised; a block without one keeps its coefficients to the bit.
The transform is linear, so nothing of the photo is quantised a second time.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.jpeg.coefficients import Change
from stages.jpeg.segments import Coding, Component, Frame, Unfit

# ITU-T T.871, clause 7: what a difference in red, green and blue is in Y, Cb and Cr
YCC = np.array([[0.299, 0.587, 0.114], [-0.168735892, -0.331264108, 0.5], [0.5, -0.418687589, -0.081312411]])
LARGEST = 2047

Plane = NDArray[np.float32]


def transform() -> Plane:
    """The orthonormal DCT of eight samples as a matrix (8, 8), frequencies down (T.81, A.3.3)."""
    frequency, place = np.mgrid[:8, :8]
    matrix = np.cos((2 * place + 1) * frequency * np.pi / 16) / 2
    matrix[0] /= np.sqrt(2)
    return matrix.astype(np.float32)


def mixing(coding: Coding, adobe: bool) -> NDArray[np.float64]:
    """The linear part of the way from samples to components, (components, channels). Adobe stores ink upside down."""
    if coding == "ycc":
        return YCC
    if coding == "ycck":  # libjpeg hands out 255 less what YCC gives as C, M and Y, and ink is 255 less that
        full = np.eye(4)
        full[:3, :3] = YCC
        full[3, 3] = -1
        return full
    channels = {"grey": 1, "rgb": 3, "cmyk": 4}[coding]
    return np.eye(channels) * (-1 if coding == "cmyk" and adobe else 1)


@dataclass(frozen=True, slots=True)
class Changer:
    """Makes changes for one photo. ``steps`` are the quantisation tables, (8, 8) in natural order, by number."""

    frame: Frame
    mixing: NDArray[np.float64]
    steps: Mapping[int, NDArray[np.float32]]

    def changes(self, x0: int, y0: int, difference: NDArray[np.int16]) -> list[Change]:
        """The changes that add ``difference`` (h, w, channels), in levels, from the stored pixel (x0, y0) on."""
        width, height = self.frame.mcu
        corner = x0 // width, y0 // height
        end = -(-(x0 + difference.shape[1]) // width), -(-(y0 + difference.shape[0]) // height)
        found: list[Change] = []
        for index, component in enumerate(self.frame.components):
            plane = np.zeros(((end[1] - corner[1]) * height, (end[0] - corner[0]) * width), np.float32)
            left, top = x0 - corner[0] * width, y0 - corner[1] * height
            view = plane[top : top + difference.shape[0], left : left + difference.shape[1]]
            for weight, channel in zip(self.mixing[index], np.moveaxis(difference, 2, 0), strict=True):
                view += np.float32(weight) * channel
            self.fill_outside(plane, corner[0] * width, corner[1] * height)
            values = self.quantised(self.reduced(plane, component), component)
            row, column = corner[1] * component.down, corner[0] * component.across
            rows, columns = self.frame.blocks(component)
            values = values[: rows - row, : columns - column]
            if values.any():
                found.append(Change(index, row, column, values))
        return found

    def fill_outside(self, plane: Plane, x0: int, y0: int) -> None:
        """Repeat the photo's last row and column in the part of the last blocks that is cut off."""
        right, bottom = self.frame.width - x0, self.frame.height - y0
        plane[:, right:] = plane[:, right - 1 : right]
        plane[bottom:] = plane[bottom - 1 : bottom]

    def reduced(self, plane: Plane, component: Component) -> Plane:
        """The mean of each rectangle of pixels that shares a sample of the component."""
        (across, left_over), (down, over) = [
            divmod(most, own) for most, own in zip(self.frame.most, (component.across, component.down), strict=True)
        ]
        if left_over or over:
            raise Unfit("a component's sampling is a fraction of another's")
        shape = plane.shape[0] // down, down, plane.shape[1] // across, across
        return plane.reshape(shape).mean(axis=(1, 3), dtype=np.float32)

    def quantised(self, plane: Plane, component: Component) -> NDArray[np.int16]:
        """A plane's blocks, transformed and divided by the table's steps, (rows, columns, 64) in natural order."""
        matrix = transform()
        blocks = plane.reshape(plane.shape[0] // 8, 8, plane.shape[1] // 8, 8).transpose(0, 2, 1, 3)
        values = matrix @ blocks @ matrix.T / self.steps[component.table]
        return np.clip(np.rint(values), -LARGEST, LARGEST).astype(np.int16).reshape(*values.shape[:2], 64)
