"""Blend two files of weights of one network: those that a training began with, and those that it ended with.

    python scripts/blend_weights.py START.safetensors END.safetensors OUT.safetensors --start 0.5

Each weight is ``--start`` of the first file's and the rest of the second's, as Wortsman et al. do it ("Robust
fine-tuning of zero-shot models", CVPR 2022): what the training was not about comes back, and most of what it was about
stays. A weight that only the second file has is taken as it is. Numbers keep the second file's types.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file

from models.load import read_tensors

Tensors = Mapping[str, torch.Tensor]


def blended(start: Tensors, end: Tensors, share: float) -> dict[str, torch.Tensor]:
    """``share`` of ``start`` and the rest of ``end``. Raises ``SystemExit`` if they are not of one network."""
    strange = [name for name in start if name not in end or start[name].shape != end[name].shape]
    if strange:
        raise SystemExit(f"no weights of the same network: {strange[0]} is not in both, or of another shape")
    return {
        name: tensor.float().lerp(start[name].float(), share).to(tensor.dtype) if name in start else tensor
        for name, tensor in end.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--start", type=float, required=True)
    options = parser.parse_args()
    save_file(blended(read_tensors(options.first), read_tensors(options.second), options.start), options.out)


if __name__ == "__main__":
    main()
