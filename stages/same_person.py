"""Whether crop and restored face show the same person, by a network of ``models/identities``."""

import cv2
import numpy as np
import torch

from models.identity import Identity, similarity
from models.method import TemplateName
from stages.geometry import similarity as placing
from stages.geometry import template
from stages.photo import Pixels


class SamePerson:
    """Compares two pictures of a face. ``seen`` is the template of the network's faces."""

    def __init__(self, identity: Identity, seen: TemplateName) -> None:
        self.identity = identity
        self.seen: TemplateName = seen

    def __call__(self, crop: Pixels, restored: Pixels, cut: TemplateName) -> float:
        """The cosine of the embeddings of two (S, S, 3) uint8 crops that were cut by the template ``cut``."""
        faces = [as_tensor(placed(picture, cut, self.seen)) for picture in (crop, restored)]
        return similarity(self.identity, faces[0], faces[1])[0]


def placed(picture: Pixels, cut: TemplateName, seen: TemplateName) -> Pixels:
    """A crop (S, S, 3) of one template as one of another; what it does not show is mirrored."""
    if cut == seen:
        return picture
    side = picture.shape[0]
    matrix = placing(template(cut, side), template(seen, side))
    moved = cv2.warpAffine(picture, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(moved, np.uint8)


def as_tensor(picture: Pixels) -> torch.Tensor:
    """(S, S, 3) uint8 as (1, 3, S, S) in [0, 1]."""
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255
