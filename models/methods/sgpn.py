"""SGPN: the face's shape is read from the degraded photo, drawn, and guides a generative network beside the photo.

Zhu et al., "Blind Face Restoration via Integrating Face Shape and Generative Priors", CVPR 2022. Facts from
``TencentYoutuResearch/FaceRestoration-sgpn:demo_face_restoration.py``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import torch
from torch import nn

from models.batches import apart_on_cpu
from models.checkpoint import Checkpoint, Device, Dtype
from models.checkpoint_file import tensor_shapes
from models.face_model_file import FACE_MODELS, read_face_model
from models.load import Tensors, fill, read_tensors, renamed
from models.method import Faces, MethodSpec, Parameters, Restored
from models.nets.face_model import FaceModel, Head, parted
from models.nets.face_model_picture import Picture, in_crop, picture
from models.nets.face_reconstruction import FaceReconstruction, fused
from models.nets.face_reconstruction_warp import CROP, SIDE, Points, matrices, warped
from models.nets.sgpn import SGPN

Network = TypeVar("Network", bound=nn.Module)

LICENCE = "Tencent's own for SGPN (THL A29 Limited): academic research only, notices must stay"
STEPS = "download the archive https://drive.google.com/file/d/14GsUEJHJxDpJSiZRFB0Eo9oGcshcI6a3 in a browser"
NETWORK = Checkpoint(
    name="sgpn.pth",
    url=None,
    licence=LICENCE,
    commercial=False,
    steps=STEPS,
    tensors={"netE.final_linear.0.weight": (256, 8192), "netG.convs.13.convs_mask.0.weight": (64, 192, 1, 1)},
)
RECONSTRUCTION: Mapping[str, tuple[int, ...]] = {
    "backbone.layer4.2.conv3.weight": (2048, 512, 1, 1),
    "final_layers.4.weight": (27, 2048, 1, 1),
}
FINETUNED = Checkpoint(
    name="d3dfr_finetune_ours.pth",
    url=None,
    licence=LICENCE,
    commercial=False,
    steps=STEPS,
    tensors=dict(RECONSTRUCTION),
)
PUBLIC = (
    Checkpoint(
        name="d3dfr_opensource.pth",
        url=None,
        licence="MIT code of Deep3DFaceRecon; trained with the Basel Face Model: non-commercial",
        commercial=False,
        steps=STEPS,
        role="d3dfr-public",
        tensors=dict(RECONSTRUCTION),
    ),
    Checkpoint(
        name="epoch_20.pth",
        url=None,
        licence="MIT code of Deep3DFaceRecon; trained with the Basel Face Model: non-commercial",
        commercial=False,
        steps="the model epoch_20.pth of https://github.com/sicxu/Deep3DFaceRecon_pytorch, in a browser",
        role="d3dfr-public",
        tensors={f"net_recon.{name}": shape for name, shape in RECONSTRUCTION.items()},
    ),
)
CONTAINERS = ("net_recon", "state_dict", "params")
RENAMES = {"module.": ""}
KEEP = "face-shape"
TYPES: Mapping[Dtype, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
TEMPLATE: Points = np.array(
    [
        [202.040684282, 242.883963459],
        [309.430245547, 242.289980922],
        [256.076799665, 303.959170377],
        [211.959774933, 366.828194743],
        [300.891124907, 366.336309516],
    ]
)  # where the crop's template has the five landmarks
SPREAD = 1.0  # px: landmarks that lie nearer to their mean than this are none


class SgpnParameters(Parameters):
    """``reconstruction`` is the network that reads the shape: SGPN's own, or the public one that it was tuned from."""

    size: Literal[512] = CROP  # pyright: ignore[reportIncompatibleVariableOverride] - narrower: the network has one
    reconstruction: Literal["finetuned", "public"] = "finetuned"


@dataclass(frozen=True, slots=True)
class SgpnParts:
    """What the method is made of."""

    reconstruction: FaceReconstruction
    model: FaceModel
    network: SGPN


@dataclass(frozen=True, slots=True)
class Shapes:
    """What was read from crops: ``coefficients`` (B, 257), the ``head`` in space, what the camera has ``seen`` of it,
    and ``pictures`` (B, 3, S, S) of that in the crops, in [-1, 1].
    """

    coefficients: torch.Tensor
    head: Head
    seen: Picture
    pictures: torch.Tensor


class Sgpn:
    """The chain of the three parts. Shapes are always computed in float32, ``dtype`` is that of encoder and generator.

    Each face's figures are the angles of the head that was found, in degrees, and whether it had ``landmarks`` (1) or
    the template's were taken (0).
    """

    def __init__(self, parts: SgpnParts, device: Device, dtype: Dtype) -> None:
        self._reconstruction = parts.reconstruction.to(device)
        self._model = parts.model.to(device)
        self._network = parts.network.compute_in(TYPES[dtype]).to(device)
        self._device: Device = device

    def restore(self, faces: Faces) -> Restored:
        """See ``models.method.Restorer``."""
        return apart_on_cpu(faces, self._device, self._restored)

    def shapes(self, crops: torch.Tensor, landmarks: Points) -> Shapes:
        """Of ``crops`` (B, 3, 512, 512) RGB in [-1, 1] with ``landmarks`` (B, 5, 2) in their pixels."""
        return read_shapes(self._reconstruction, self._model, crops, landmarks)

    def faces(self, crops: torch.Tensor, shapes: Shapes) -> torch.Tensor:
        """Restored faces (B, 3, 512, 512) in [-1, 1]."""
        return self._network(crops, shapes.pictures, shapes.coefficients).float().clamp(-1, 1)

    def _restored(self, faces: Faces) -> Restored:
        with torch.inference_mode():
            crops = 2 * faces.crops - 1
            points, given = usable(faces.landmarks.double().cpu().numpy())
            shapes = self.shapes(crops, points)
            restored = self.faces(crops, shapes) / 2 + 0.5
            kept = {KEEP: shapes.pictures / 2 + 0.5} if KEEP in faces.keep else {}
            return Restored(restored, figures(shapes.coefficients, given), kept)


def read_shapes(network: FaceReconstruction, model: FaceModel, crops: torch.Tensor, landmarks: Points) -> Shapes:
    """Of ``crops`` (B, 3, 512, 512) RGB in [-1, 1] with ``landmarks`` (B, 5, 2) in their pixels.

    Differentiable in the network's weights and in the crops, though not in what the faces cover.
    """
    there, back = (crops.new_tensor(np.stack(one)) for one in zip(*map(matrices, landmarks), strict=True))
    coefficients = network(0.5 * warped(crops, there, SIDE) + 0.5)
    head = model(coefficients)
    seen = picture(model, head)
    return Shapes(coefficients, head, seen, in_crop(seen, back, CROP))


def usable(landmarks: Points) -> tuple[Points, list[bool]]:
    """``landmarks`` (B, 5, 2), with the template's where a face has none, and which faces have."""
    spread = np.linalg.norm(landmarks - landmarks.mean(1, keepdims=True), axis=2).max(1)
    given = spread > SPREAD  # false for what is not a number
    return np.where(given[:, None, None], landmarks, TEMPLATE), given.tolist()


def figures(coefficients: torch.Tensor, given: Sequence[bool]) -> list[Mapping[str, float]]:
    """What the manifest says of each face."""
    angles = parted(coefficients).angles.rad2deg().tolist()
    return [
        {"pitch": pitch, "yaw": yaw, "roll": roll, "landmarks": float(has)}
        for (pitch, yaw, roll), has in zip(angles, given, strict=True)
    ]


def load_parts(network: Path, reconstruction: Path, model: Path) -> SgpnParts:
    """The parts in published files, ready for inference.

    The networks' tensors may lie bare or in a container. Raises ``CheckpointUnreadable``, ``CheckpointMismatch`` and
    ``FaceModelUnusable``.
    """
    return SgpnParts(
        reconstruction=fused(filled(FaceReconstruction(), reconstruction)),
        model=FaceModel(read_face_model(model)),
        network=filled(SGPN(), network),
    )


def filled(network: Network, path: Path) -> Network:
    """``network`` with the tensors of ``path``, each in its place."""
    fill(network, published_tensors(path), str(path))
    return network.eval().requires_grad_(False)


def published_tensors(path: Path) -> Tensors:
    """The tensors of the file, by the published names, whatever holds them."""
    names = tensor_shapes(path)
    inside = (one for one in CONTAINERS if any(name.startswith(f"{one}.") for name in names))
    return renamed(read_tensors(path, next(inside, "")), RENAMES)


def _needs(parameters: Parameters) -> Sequence[Checkpoint]:
    public = SgpnParameters.model_validate(parameters.model_dump()).reconstruction == "public"
    return (NETWORK, *(PUBLIC if public else (FINETUNED,)), *FACE_MODELS)


def _build(weights: Mapping[str, Path], parameters: Parameters, device: Device, dtype: Dtype) -> Sgpn:
    files = (FINETUNED, *PUBLIC)
    reconstruction = next(weights[file.name] for file in files if file.name in weights)
    model = next(weights[file.name] for file in FACE_MODELS if file.name in weights)
    return Sgpn(load_parts(weights[NETWORK.name], reconstruction, model), device, dtype)


METHOD = MethodSpec(
    name="sgpn",
    summary="A 3D model of the face, fitted to the photo, and the photo guide a StyleGAN2 generator",
    paper="Zhu et al.: Blind Face Restoration via Integrating Face Shape and Generative Priors, CVPR 2022",
    code="https://github.com/TencentYoutuResearch/FaceRestoration-sgpn",
    licence=f"{LICENCE}; Basel Face Model 2009: non-commercial research, no redistribution",
    commercial=False,
    template="arcface",
    parameters=SgpnParameters,
    checkpoints=(NETWORK, FINETUNED, *FACE_MODELS, *PUBLIC),
    build=_build,
    keeps=(KEEP,),
    needs=_needs,
)
