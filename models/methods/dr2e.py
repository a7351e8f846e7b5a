"""DR2E: a diffusion takes the degradation away and leaves a clean, smooth face; another method makes it sharp.

Wang, Zhang, Zhang, Zheng, Zhou, Wang, "DR2: Diffusion-based Robust Degradation Remover for Blind Face Restoration",
CVPR 2023. Facts from ``Kaldwin0106/DR2_Drgradation_Remover:dr2e.py``. The enhancer is any method of the registry.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from models.batches import apart_on_cpu
from models.checkpoint import Checkpoint, Device, Dtype
from models.dr2_degradation import preset_for
from models.dr2_parameters import SIDE, Dr2eParameters, Removal, enhancer_spec, for_face, removal_of
from models.handover import by_file, handed, resized
from models.load import load
from models.method import Faces, MethodSpec, Parameters, Restored, Restorer
from models.methods.sparnethd import FORMS as SPARNETHD
from models.methods.sparnethd import TYPES
from models.nets.adm_unet import AdmUNet
from models.nets.adm_unet_cpu import CpuUNet
from models.samplers.diffusion import linear, respaced
from models.samplers.dr2 import Denoiser, Draw, dr2
from models.torch_scale import full_float32

STEPS = 100  # of the 1000 that the network was trained with
KEEP = "dr2"
LICENCE = "MIT; trained on FFHQ (data set CC BY-NC-SA 4.0)"
TENSORS = {
    "time_embed.0.weight": (512, 128),
    "input_blocks.9.1.qkv.weight": (1536, 512, 1),
    "output_blocks.2.0.in_layers.2.weight": (512, 1024, 3, 3),
    "out.2.weight": (6, 128, 3, 3),
}
DR2 = Checkpoint(
    name="DR2_FFHQ.pkl",
    url=None,
    licence=LICENCE,
    commercial=None,
    steps="download it from https://pan.baidu.com/s/1g8cz0hbd3wByfP9Q9bSHCQ?pwd=dr2e in a browser",
    role="dr2",
    tensors=TENSORS,
)
P2 = Checkpoint(
    name="ffhq_p2.pt",
    url=None,
    licence=LICENCE,
    commercial=None,
    steps="download it from https://drive.google.com/drive/folders/1bcWh3XuQzdct4-UPTrIX-lvs47OiLaOM in a browser",
    role="dr2",
    tensors=TENSORS,
)
FORMS = (DR2, P2)

Drawing = Callable[[Sequence[int], torch.device], Draw]
"""From the faces' seeds to their noise."""


class Dr2e:
    """The remover and the enhancer. Faces of a batch may have other N, tau and omega each.

    The figures of a face are its ``N``, ``tau`` and ``omega``, and those of its enhancer.
    """

    def __init__(
        self, denoise: Denoiser, enhancer: Restorer, parameters: Dr2eParameters, device: Device, drawing: Drawing
    ) -> None:
        self._denoise = denoise
        self._enhancer = enhancer
        self._parameters = parameters
        self._device: Device = device
        self._drawing = drawing
        self._process = respaced(linear(), STEPS)

    def restore(self, faces: Faces) -> Restored:
        """See ``models.method.Restorer``."""
        return apart_on_cpu(faces, self._device, self._restored)

    def _restored(self, faces: Faces) -> Restored:
        removals = [self.removal(faces, index) for index in range(len(faces))]
        clean = self._cleaned(faces, removals)
        enhanced = self._enhancer.restore(handed(faces, self._handed_over(clean), self._parameters.enhancer))
        restored = resized(enhanced.faces, faces.crops.shape[-1])
        figures: list[Mapping[str, float]] = [dict(removal.figures) for removal in removals]
        if enhanced.figures:
            figures = [{**theirs, **ours} for theirs, ours in zip(enhanced.figures, figures, strict=True)]
        kept = {KEEP: clean} if KEEP in faces.keep else {}
        return Restored(torch.where(restored.isfinite(), restored.clamp(0, 1), restored), figures, kept)

    def removal(self, faces: Faces, index: int) -> Removal:
        """N, tau and omega of the face at ``index``: by its rule, else by the method's parameters."""
        parameters = for_face(self._parameters, faces.settings[index])
        if parameters.preset != "auto":
            return removal_of(parameters, parameters.preset)
        return removal_of(parameters, preset_for(faces.crops[index], faces.measures[index]))

    def cleaned(self, crops: torch.Tensor, seeds: Sequence[int], removal: Removal) -> torch.Tensor:
        """DR2 of ``crops`` (B, 3, S, S) in [0, 1]: (B, 3, 256, 256) in [0, 1]."""
        draw = self._drawing(seeds, crops.device)
        with full_float32(), torch.inference_mode():
            found = dr2(self._denoise, self._process, at_256(crops), removal.factor, removal.start, removal.stop, draw)
        return (found + 1) / 2

    def _cleaned(self, faces: Faces, removals: Sequence[Removal]) -> torch.Tensor:
        """Those that have the same N, tau and omega go together."""
        clean = faces.crops.new_empty(len(faces), 3, SIDE, SIDE)
        for removal in dict.fromkeys(removals):
            same = [index for index, other in enumerate(removals) if other == removal]
            clean[same] = self.cleaned(faces.crops[same], [faces.seeds[index] for index in same], removal)
        return clean

    def _handed_over(self, clean: torch.Tensor) -> torch.Tensor:
        side = self._parameters.enhancer_resolved.size
        if self._parameters.compat:
            return by_file(clean, side)
        pictures = resized(clean, side)
        return pictures if getattr(self._enhancer, "unclipped", False) else pictures.clamp(0, 1)


def at_256(crops: torch.Tensor) -> torch.Tensor:
    """``crops`` (B, 3, S, S) in [0, 1] as DR2 sees them: (B, 3, 256, 256) in [-1, 1].

    As the original reads a file: reduced by Pillow's cubic in 8 bits, which a crop has anyway.
    """
    levels = crops.clamp(0, 1).mul(255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    found = [np.asarray(Image.fromarray(one).resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for one in levels]
    pictures = torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).to(crops.device, torch.float32)
    return (pictures / 255 - 0.5) / 0.5


def drawn(seeds: Sequence[int], device: torch.device) -> Draw:
    """Noise (B, 3, 256, 256) that each face draws from its own seed, on the CPU, so that the device does not matter."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def draw(_purpose: str) -> torch.Tensor:
        return torch.stack([torch.randn(3, SIDE, SIDE, generator=each) for each in generators]).to(device)

    return draw


def needs(parameters: Parameters) -> tuple[Checkpoint, ...]:
    """DR2's files and the enhancer's."""
    ours = Dr2eParameters.model_validate(parameters.model_dump())
    return (*FORMS, *enhancer_spec(ours.enhancer).checkpoints_for(ours.enhancer_resolved))


def denoiser(path: Path, device: Device, dtype: Dtype) -> Denoiser:
    """The U-Net of the file ``path``. Raises ``CheckpointUnreadable`` and ``CheckpointMismatch``."""
    network = load(AdmUNet(), path).compute_in(TYPES[dtype]).to(device)
    return CpuUNet(network) if device == "cpu" and dtype == "float32" else network


def _build(weights: Mapping[str, Path], parameters: Parameters, device: Device, dtype: Dtype) -> Dr2e:
    ours = Dr2eParameters.model_validate(parameters.model_dump())
    spec, theirs = enhancer_spec(ours.enhancer), ours.enhancer_resolved
    files = {file.name: weights[file.name] for file in spec.checkpoints_for(theirs) if file.name in weights}
    path = next(weights[form.name] for form in FORMS if form.name in weights)
    return Dr2e(denoiser(path, device, dtype), spec.build(files, theirs, device, dtype), ours, device, drawn)


METHOD = MethodSpec(
    name="dr2e",
    summary="A diffusion takes the degradation away, then any other method enhances (SPARNetHD by default)",
    paper="Wang et al.: DR2, Diffusion-based Robust Degradation Remover, CVPR 2023 (arXiv 2303.06885)",
    code="https://github.com/Kaldwin0106/DR2_Drgradation_Remover",
    licence=f"DR2: {LICENCE}; the default enhancer SPARNetHD: CC BY-NC-SA 4.0, non-commercial; other enhancers: theirs",
    commercial=False,
    template="ffhq",
    parameters=Dr2eParameters,
    checkpoints=(*FORMS, *SPARNETHD),
    build=_build,
    keeps=(KEEP,),
    per_face=frozenset({"preset", "N", "tau", "omega"}),
    needs=needs,
)
