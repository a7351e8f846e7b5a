"""The metrics of an evaluation, each against values computed by hand or by the originals."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage import data
from torch import nn
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torchvision.models import alexnet

from models.feature_networks import INCEPTION, INCEPTION_WEIGHTS
from models.landmark_maps import points
from models.nets.lpips import LPIPS, WIDTHS, load_lpips
from models.nets.resnet_face import degrees_between
from models.quality.deg import mean_degrees
from models.quality.fid import fid
from models.quality.ind_rmse import METRIC as IND_RMSE
from models.quality.kid import kid
from models.quality.lmd import landmark_distance
from models.quality.lpips import chosen
from models.quality.mae import mae
from models.quality.niqe import METRIC as NIQE
from models.quality.niqe import WEIGHTS, fitted, gaussian, halved, niqe, normalised
from models.quality.precision import precision
from models.quality.psnr import psnr
from models.quality.ssim import ssim
from models.quality_metric import PROTOCOLS, PictureMetric, all_metrics

Pixels = NDArray[np.uint8]
OURS, PMRF, ELSFACE = (PROTOCOLS[name] for name in ("daguerre", "pmrf", "elsface"))
ROWS, COLUMNS = np.indices((192, 192))


@pytest.fixture(scope="module")
def photo() -> Pixels:
    return data.astronaut()


@pytest.fixture(scope="module")
def grainy(photo: Pixels) -> Pixels:
    noise = np.random.default_rng(0).normal(0, 12, photo.shape)
    return np.clip(photo + noise, 0, 255).astype(np.uint8)


def flat(level: int, side: int = 64) -> Pixels:
    return np.full((side, side, 3), level, np.uint8)


def test_every_metric_of_every_protocol_exists() -> None:
    assert {name for protocol in PROTOCOLS.values() for name in protocol.metrics} == set(all_metrics())


def test_every_metric_says_which_way_is_better_and_where_it_comes_from() -> None:
    assert all(one.better in {"higher", "lower"} and one.source for one in all_metrics().values())


def test_weights_without_a_url_come_with_steps() -> None:
    files = [file for one in all_metrics().values() for file in one.checkpoints]
    assert files
    assert all(file.url or file.steps for file in files)


def test_psnr_of_five_levels_is_that_of_five_levels() -> None:
    assert psnr(flat(100), flat(105)) == pytest.approx(20 * math.log10(255 / 5), abs=1e-3)


def test_psnr_of_equal_pictures_is_80_db() -> None:
    assert psnr(flat(100), flat(100)) == pytest.approx(80)


def test_psnr_and_ssim_are_basicsrs(photo: Pixels, grainy: Pixels) -> None:
    # calculate_psnr_pt and calculate_ssim_pt of basicsr 1.4.2 on the same two pictures
    assert psnr(grainy, photo) == pytest.approx(27.0425, abs=1e-4)
    assert ssim(grainy, photo, "gaussian") == pytest.approx(0.5732, abs=1e-4)


def test_ssim_of_two_flat_pictures_is_its_luminance_term() -> None:
    constant = (0.01 * 255) ** 2
    expected = (2 * 100 * 120 + constant) / (100**2 + 120**2 + constant)
    assert ssim(flat(100), flat(120), "gaussian") == pytest.approx(expected)
    assert ssim(flat(100), flat(120), "uniform-51") == pytest.approx(expected)


def test_the_windows_of_ssim_are_two_measures(photo: Pixels, grainy: Pixels) -> None:
    assert abs(ssim(grainy, photo, "gaussian") - ssim(grainy, photo, "uniform-51")) > 0.01


def test_mae_is_the_mean_difference() -> None:
    one = flat(100)
    one[:32] = 110
    assert mae(one, flat(100)) == pytest.approx(5)


def test_ind_rmse_is_the_root_of_the_mean_over_pictures() -> None:
    measured = IND_RMSE.build({}, "cpu", PMRF)
    values = [measured(flat(100), flat(103)), measured(flat(100), flat(104))]
    assert IND_RMSE.whole(values, PMRF) == {"ind_rmse": pytest.approx(math.sqrt((9 + 16) / 2))}


def test_degrees_between_known_vectors() -> None:
    one = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]])
    other = torch.tensor([[0.0, 5.0], [2.0, 2.0], [0.0, 1.0]])
    assert degrees_between(one, other).tolist() == pytest.approx([90, 45, 0], abs=1e-6)


def test_near_identical_pairs_count_in_deg_unless_it_is_as_published() -> None:
    assert mean_degrees([0.5, 20, 40], OURS) == {"deg": pytest.approx(60.5 / 3), "deg_identical": 1}
    assert mean_degrees([0.5, 20, 40], PMRF) == {"deg": pytest.approx(30), "deg_identical": 1}


def test_deg_as_published_of_identical_pairs_alone_is_zero() -> None:
    assert mean_degrees([0.1, 0.2], PMRF) == {"deg": 0, "deg_identical": 2}


def test_landmark_distance_is_the_mean_of_the_distances() -> None:
    assert landmark_distance(np.array([[0.0, 0], [3, 4]]), np.array([[0.0, 0], [0, 0]])) == pytest.approx(2.5)


def peaked(y: int, x: int, beside: Mapping[tuple[int, int], float]) -> NDArray[np.float64]:
    maps = np.zeros((1, 1, 64, 64))
    maps[0, 0, y, x] = 1
    for place, value in beside.items():
        maps[0, 0, *place] = value
    return maps


def test_a_point_moves_a_quarter_towards_its_higher_neighbour() -> None:
    found = points(peaked(10, 20, {(10, 21): 0.5, (9, 20): 0.5}))
    assert found[0, 0].tolist() == [20 + 0.5 + 0.25, 10 + 0.5 - 0.25]


@pytest.mark.parametrize("place", [(0, 0), (0, 63), (63, 0), (63, 63)])
def test_a_point_in_a_corner_stays_in_it(place: tuple[int, int]) -> None:
    assert points(peaked(*place, {}))[0, 0].tolist() == [place[1] + 0.5, place[0] + 0.5]


def test_a_border_spoils_the_other_points_only_as_published() -> None:
    maps = np.concatenate([peaked(10, 20, {(11, 20): 0.5}), peaked(63, 30, {})], 1)
    assert points(maps)[0, 0].tolist() == [20.5, 10.75]
    assert points(maps, as_published=True)[0, 0].tolist() == [20.5, 10.5]


def test_fid_of_two_gaussians_is_the_closed_form() -> None:
    rng = np.random.default_rng(0)
    one = rng.normal(size=(500, 2))
    one = (one - one.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(one, rowvar=False))).T
    # same shape, twice as wide, moved by (3, 4): 25 + sum of (2 - 1)^2 over two axes
    assert fid((2 * one + (3, 4)).astype(np.float32), one.astype(np.float32)) == pytest.approx(27, rel=1e-4)


def test_fid_does_not_depend_on_the_side() -> None:
    one, other = np.random.default_rng(0).normal(size=(2, 40, 3)).astype(np.float32)
    assert fid(one, other) == pytest.approx(fid(other, one), rel=1e-6)


def test_kid_of_two_points_a_side_is_the_kernel_by_hand() -> None:
    one, other = np.array([[1.0], [2.0]], np.float32), np.array([[0.0], [3.0]], np.float32)

    def kernel(x: float, y: float) -> float:
        return (x * y + 1) ** 3

    across = sum(kernel(x, y) for x in (1, 2) for y in (0, 3)) / 4
    assert kid(one, other) == pytest.approx(kernel(1, 2) + kernel(0, 3) - 2 * across)


def test_kid_draws_its_subsets_as_torch_fidelity_does() -> None:
    from torch_fidelity.metric_kid import kid_features_to_metric

    one, other = (np.random.default_rng(seed).normal(seed, 1, (40, 5)).astype(np.float32) for seed in (0, 1))
    pair = [torch.from_numpy(side) for side in (other, one)]
    expected = kid_features_to_metric(pair[0], pair[1], kid_subset_size=40, verbose=False)
    assert kid(one, other) == pytest.approx(expected["kernel_inception_distance_mean"], rel=1e-5)
    wide = np.random.default_rng(2).normal(0, 1, (60, 5)).astype(np.float32)
    expected = kid_features_to_metric(torch.from_numpy(wide), pair[1], kid_subset_size=40, verbose=False)
    assert kid(one, wide) == pytest.approx(expected["kernel_inception_distance_mean"], rel=1e-5)


def test_inception_gives_each_picture_its_2048_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With drawn weights: the network, the resize, and that the file is what decides."""
    with monkeypatch.context() as patch:
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        torch.save({}, tmp_path / "none.pth")
        torch.manual_seed(1839)
        network = FeatureExtractorInceptionV3("drawn", ["2048"], str(tmp_path / "none.pth"))
    torch.save(network.state_dict(), tmp_path / INCEPTION_WEIGHTS.name)
    extract = INCEPTION.build({INCEPTION_WEIGHTS.name: tmp_path / INCEPTION_WEIGHTS.name}, "cpu")
    noise = np.random.default_rng(0).integers(0, 256, (3, 40, 40, 3), np.uint8)
    found = extract(list(noise[:2]))
    levels = torch.from_numpy(noise[:2]).permute(0, 3, 1, 2)
    assert found.shape == (2, 2048)
    np.testing.assert_allclose(found, network(levels)[0].numpy(), rtol=1e-5)
    assert np.abs(found[0] - found[1]).max() > 1e-6


def test_precision_counts_who_lies_within_a_third_neighbours_reach() -> None:
    reference = np.array([[0.0], [1], [2], [3]], np.float32)  # reaches: 3, 2, 2, 3
    restored = np.array([[-2.9], [-3.1], [5.9], [1.5], [40]], np.float32)
    assert precision(restored, reference) == pytest.approx(3 / 5)


def test_precision_of_few_pictures_is_their_share() -> None:
    reference = np.array([[0.0], [1], [2], [3]], np.float32)
    assert precision(np.array([[1.5], [40]], np.float32), reference) == pytest.approx(0.5)


def test_the_window_of_niqe_has_sum_one_and_its_peak_in_the_middle() -> None:
    assert gaussian().sum() == pytest.approx(1)
    assert np.unravel_index(gaussian().argmax(), (7, 7)) == (3, 3)


def test_the_fit_of_niqe_finds_what_was_drawn() -> None:
    rng = np.random.default_rng(0)
    shape, left, right = fitted(rng.normal(0, 2, (500, 500)))
    # a normal distribution is a generalised Gaussian of shape 2 and scale sigma * sqrt 2
    assert shape == pytest.approx(2, abs=0.02)
    assert [left, right] == pytest.approx([2 * math.sqrt(2)] * 2, rel=0.01)


def test_niqe_is_the_distance_of_the_mean_features() -> None:
    """Of a picture whose features do not vary: the covariance is the pristine one's half, and cannot move them."""
    picture = np.repeat((np.sin(ROWS * 2 * np.pi / 16) * np.cos(COLUMNS * 2 * np.pi / 16) * 90 + 128)[..., None], 3, 2)
    pixels = picture.astype(np.uint8)
    rng = np.random.default_rng(0)
    mean = rng.normal(size=36)
    measured = [niqe(pixels, mean * factor, np.eye(36) * 1e12) for factor in (1e9, 2e9)]
    # with a covariance that drowns all others, the distance is that of the means over its root
    expected = [float(np.linalg.norm(mean * factor)) / math.sqrt(1e12 / 2) for factor in (1e9, 2e9)]
    assert measured == pytest.approx(expected, rel=1e-4)


def test_niqe_of_a_picture_that_is_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="96"):
        niqe(flat(100), np.zeros(36), np.eye(36))


def test_niqe_halves_a_flat_picture_to_a_flat_one() -> None:
    assert halved(np.full((96, 96), 77.0)) == pytest.approx(np.full((48, 48), 77.0), rel=1e-6)


def test_niqe_sees_no_structure_in_a_flat_picture() -> None:
    assert np.abs(normalised(np.full((96, 96), 77.0))).max() < 1e-9


def test_niqe_reads_its_pristine_parameters(tmp_path: Path, photo: Pixels) -> None:
    rng = np.random.default_rng(0)
    mean, covariance = rng.normal(size=(1, 36)), np.eye(36)
    np.savez(tmp_path / "pristine.npz", mu_pris_param=mean, cov_pris_param=covariance, gaussian_window=gaussian())
    assert isinstance(NIQE, PictureMetric)
    measured = NIQE.build({WEIGHTS.name: tmp_path / "pristine.npz"}, "cpu", PMRF)
    part = np.ascontiguousarray(photo[:192, :192])
    assert measured(part, None) == pytest.approx(niqe(part, mean.ravel(), covariance))


@pytest.fixture(scope="module")
def lpips_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """AlexNet with drawn weights, and weights of its channels in the published layout."""
    torch.manual_seed(1839)
    folder = tmp_path_factory.mktemp("lpips")
    backbone, linear = folder / "alexnet.pth", folder / "linear.pth"
    torch.save(alexnet().state_dict(), backbone)
    torch.save({f"lin{i}.model.1.weight": torch.rand(1, width, 1, 1) for i, width in enumerate(WIDTHS["alex"])}, linear)
    return backbone, linear


@pytest.fixture(scope="module")
def network(lpips_files: tuple[Path, Path]) -> LPIPS:
    return load_lpips("alex", *lpips_files)


def test_lpips_is_what_torchmetrics_computes(network: LPIPS, lpips_files: tuple[Path, Path]) -> None:
    from torchmetrics.functional.image.lpips import (
        _LPIPS,  # pyright: ignore[reportPrivateUsage] - the public function downloads weights
    )

    backbone, linear = lpips_files
    theirs = _LPIPS(pretrained=False, net="alex", pnet_rand=True, use_dropout=True, eval_mode=True)
    features = torch.load(backbone, weights_only=True)
    slices = [theirs.net.get_submodule(f"slice{index}").children() for index in range(1, 6)]
    for index, layer in enumerate(layer for part in slices for layer in part):
        if isinstance(layer, nn.Conv2d):
            layer.load_state_dict({part: features[f"features.{index}.{part}"] for part in ("weight", "bias")})
    # the published file holds the linear layers alone; the features were filled above
    theirs.load_state_dict(torch.load(linear, weights_only=True), strict=False)
    one, other = torch.rand(2, 3, 64, 64) * 2 - 1, torch.rand(2, 3, 64, 64) * 2 - 1
    expected = theirs(one, other).flatten()
    assert network(one, other).tolist() == pytest.approx(expected.tolist(), rel=1e-5)


def test_lpips_of_equal_pictures_is_zero_and_of_others_is_not(network: LPIPS) -> None:
    one, other = torch.rand(1, 3, 64, 64) * 2 - 1, torch.rand(1, 3, 64, 64) * 2 - 1
    assert float(network(one, one)) == 0
    assert float(network(one, other)) > 0


def test_a_protocol_chooses_the_network_of_lpips() -> None:
    assert [file.name for file in chosen(ELSFACE)] == ["alexnet-owt-7be5be79.pth", "lpips-0.1-alex.pth"]
    assert [file.name for file in all_metrics()["lpips"].needs(PMRF)] == ["vgg16-397923af.pth", "lpips-0.1-vgg.pth"]
