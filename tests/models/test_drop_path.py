"""Drop-path: whole clips skip a block's residual branch while training."""

import pytest
import torch

from x3d_det.models import X3D, X3DSpec
from x3d_det.models.layers import Bottleneck, drop_path

SPEC = X3DSpec(num_frames=2, crop_size=32, sampling_stride=1, depth_factor=1.0)


def block(probability, **options):
    torch.manual_seed(0)
    return Bottleneck(4, 8, 4, drop_path=probability, **options)


def test_each_clip_is_dropped_whole_or_scaled_by_the_chance_of_staying():
    torch.manual_seed(0)
    x_BCTHW = torch.randn(200, 3, 2, 2, 2)
    y_BCTHW = drop_path(x_BCTHW, 0.25)
    dropped = [bool((clip == 0).all()) for clip in y_BCTHW]
    for was_dropped, before, after in zip(dropped, x_BCTHW, y_BCTHW, strict=True):
        expected = torch.zeros_like(before) if was_dropped else before / 0.75
        torch.testing.assert_close(after, expected)
    assert 30 <= sum(dropped) <= 70  # 50 expected, standard deviation 6.1


def test_mean_and_dtype_stay():
    torch.manual_seed(0)
    ones = torch.ones(20_000, 1, 1, 1, 1)
    assert drop_path(ones, 0.4).mean().item() == pytest.approx(1, abs=0.02)
    assert drop_path(ones.bfloat16(), 0.4).dtype == torch.bfloat16


def test_a_dropped_clip_is_its_shortcut_and_gives_the_branch_no_gradient():
    layer = block(0.5)
    x_BCTHW = torch.rand(8, 4, 2, 5, 5)  # above 0, so that the last ReLU changes nothing
    torch.manual_seed(4)
    kept = torch.rand(8, 1, 1, 1, 1).flatten() < 0.5
    torch.manual_seed(4)
    y_BCTHW = layer(x_BCTHW)
    assert 0 < kept.sum() < 8
    for clip in range(8):
        assert torch.equal(y_BCTHW[clip], x_BCTHW[clip]) != bool(kept[clip])
    y_BCTHW[~kept].sum().backward()
    assert layer.norm_c.weight.grad.abs().max() == 0


def test_none_in_evaluation_and_none_at_rate_0():
    x_BCTHW = torch.rand(4, 4, 2, 5, 5)
    assert torch.equal(block(0.9).eval()(x_BCTHW), block(0.0).eval()(x_BCTHW))
    layer = block(0.0)
    torch.manual_seed(5)
    layer(x_BCTHW)
    drawn = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(3), drawn)  # nothing was drawn from the generator


def test_the_same_generator_drops_the_same_clips():
    layer, x_BCTHW = block(0.5), torch.rand(16, 4, 2, 5, 5)
    outputs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        outputs.append(layer(x_BCTHW))
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])


def test_stages_have_two_to_five_fifths():
    backbone = X3D(SPEC, drop_path=0.5)
    found = {
        name: [layer.drop_path for layer in stage.modules() if isinstance(layer, Bottleneck)]
        for name, stage in backbone.stages.items()
    }
    # 1, 2, 5 and 3 blocks.
    assert found["res2"] == pytest.approx([0.2])
    assert found["res3"] == pytest.approx([0.3] * 2)
    assert found["res4"] == pytest.approx([0.4] * 5)
    assert found["res5"] == pytest.approx([0.5] * 3)


def test_weights_do_not_depend_on_it():
    models = []
    for rate in (0.0, 0.3):
        torch.manual_seed(7)
        models.append(X3D(SPEC, drop_path=rate).state_dict())
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_chances_that_cannot_be(rate):
    with pytest.raises(ValueError, match=rf"drop_path is {rate}"):
        X3D(SPEC, drop_path=rate)
