"""The objective's terms: what they measure, and where their gradients go."""

from collections.abc import Sequence

import pytest
import torch
from torch.nn import functional

from models.methods.sgpn import TEMPLATE, SgpnParts, Shapes, read_shapes
from models.nets.face_reconstruction import FaceReconstruction
from models.training.sgpn import ObjectiveWeights, adversarial, picture_terms, restored_and_shapes, shape_terms, total
from tests.golden.make_sgpn import WIDTH, face_like, faces_of, parts, synthetic


@pytest.fixture(scope="module")
def crop() -> torch.Tensor:
    return 2 * faces_of(face_like()).crops - 1


@pytest.fixture(scope="module")
def trained() -> SgpnParts:
    """With normalisations as they are trained."""
    made, reconstruction = parts(), FaceReconstruction(WIDTH).eval()
    reconstruction.load_state_dict(synthetic(reconstruction))
    return SgpnParts(reconstruction, made.model, made.network)


def shapes_of(made: SgpnParts, crop: torch.Tensor) -> Shapes:
    return read_shapes(made.reconstruction, made.model, crop, TEMPLATE[None])


def test_a_shape_is_no_distance_from_itself_and_some_from_another(trained: SgpnParts, crop: torch.Tensor) -> None:
    with torch.no_grad():
        here, there = shapes_of(trained, crop), shapes_of(trained, crop.flip(3))
    assert not any(shape_terms(here, here).values())
    assert all(0 < term < 2 for term in shape_terms(here, there).values())


def test_the_drawing_counts_where_both_faces_are(trained: SgpnParts, crop: torch.Tensor) -> None:
    with torch.no_grad():
        shape = shapes_of(trained, crop)
    covered = shape.seen.covered.clone()
    covered[..., :112, :] = 0
    brighter = shape.seen.colour + 25.5
    brighter[..., :112, :] += 1000
    other = Shapes(
        shape.coefficients, shape.head, shape.seen._replace(colour=brighter, covered=covered), shape.pictures
    )
    assert shape_terms(other, shape)["drawing"] == pytest.approx(0.1, abs=1e-4)


def test_the_picture_trains_the_reconstruction_and_the_clean_branch_gets_no_gradient(
    trained: SgpnParts, crop: torch.Tensor
) -> None:
    restored, found = restored_and_shapes(trained, crop, TEMPLATE[None])
    wanted = shapes_of(trained, crop.flip(3))
    terms = {"image": functional.l1_loss(restored, crop)} | shape_terms(found, wanted)
    wanted.coefficients.retain_grad()
    torch.autograd.backward(total(terms))
    assert wanted.coefficients.grad is None
    for module in (trained.reconstruction.backbone.conv1, trained.network.netE, trained.network.netG):
        gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
        assert gradients
        assert all(gradient.isfinite().all() for gradient in gradients)
        assert any(gradient.any() for gradient in gradients)


def test_features_are_compared_by_the_networks_that_are_given() -> None:
    pictures = torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8)

    def halves(image: torch.Tensor) -> Sequence[torch.Tensor]:
        return [image, image[..., :4] * 3]

    terms = picture_terms(*pictures, {"perceptual": halves})
    assert terms == {"image": 1, "perceptual": 2}
    assert total(terms, ObjectiveWeights(image=0.5, perceptual=2)) == 4.5


def test_the_generator_wants_high_logits() -> None:
    assert adversarial(torch.tensor([[8.0]])) < adversarial(torch.tensor([[0.0]])) < adversarial(torch.tensor([[-8.0]]))
    assert adversarial(torch.zeros(4, 1)).item() == pytest.approx(0.6931, abs=1e-4)


def test_a_term_without_a_weight_is_an_error() -> None:
    with pytest.raises(AttributeError, match="style"):
        total({"style": torch.ones(())})
