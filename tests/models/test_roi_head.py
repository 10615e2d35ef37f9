"""RoI heads: values worked by hand, a slow RoIAlign, boxes in any number, errors."""

import math

import pytest
import torch
from torch import nn

from x3d_det.models import ROI_HEADS, ActionRoIHead
from x3d_det.models.roi_head import max_pool_rois


def identity_head(**options):
    """A head of one channel whose logit is the pooled feature."""
    head = ActionRoIHead(1, 1, num_actions=2, layers="fc", **options).eval()
    nn.init.ones_(head.projection.weight)
    nn.init.zeros_(head.projection.bias)
    return head


def test_ramp_gives_the_centre_of_the_last_roi_column():
    ramp_BCTHW = torch.arange(14.0).expand(1, 1, 4, 14, 14)  # f(x) = x: cells equal their centres
    boxes = [torch.tensor([[32.0, 48.0, 144.0, 208.0]])]
    logits_NK = identity_head()(ramp_BCTHW, boxes, clip_size_px=(224, 224))
    # (x1 + 6.5 / 7 * width) / stride - 0.5 = (32 + 104) / 16 - 0.5
    torch.testing.assert_close(logits_NK, torch.full((1, 2), 8.0))


def test_scale_follows_from_the_map():
    """The same clip and box on maps of stride 16 and 32: the ramp at the same place."""
    boxes = [torch.tensor([[32.0, 64.0, 160.0, 192.0]])]
    column_px = 32 + 6.5 / 7 * 128
    for cells in (14, 7):
        ramp_BCTHW = torch.arange(float(cells)).expand(1, 1, 2, cells, cells)
        logits_NK = identity_head()(ramp_BCTHW, boxes, clip_size_px=(224, 224))
        expected = column_px / (224 / cells) - 0.5
        torch.testing.assert_close(logits_NK, torch.full((1, 2), expected))


def test_scale_of_each_axis_where_the_size_is_no_multiple_of_the_stride():
    """341 pixels on 11 cells are 31 a cell; 256 on 8 are 32."""
    boxes = [torch.tensor([[62.0, 64.0, 186.0, 192.0]])]
    ramp_x = torch.arange(11.0).expand(1, 1, 1, 8, 11)
    ramp_y = torch.arange(8.0)[:, None].expand(1, 1, 1, 8, 11)
    for ramp, first_px, size_px, stride in ((ramp_x, 62, 124, 31), (ramp_y, 64, 128, 32)):
        logits_NK = identity_head()(ramp, boxes, clip_size_px=(256, 341))
        expected = (first_px + 6.5 / 7 * size_px) / stride - 0.5
        torch.testing.assert_close(logits_NK, torch.full((1, 2), expected))


def bilinear(plane_HW, y, x):
    rows, columns = len(plane_HW), len(plane_HW[0])
    if y < -1 or y > rows or x < -1 or x > columns:
        return 0.0
    y, x = max(y, 0.0), max(x, 0.0)
    top, left = min(int(y), rows - 1), min(int(x), columns - 1)
    y, x = (top if top == rows - 1 else y), (left if left == columns - 1 else x)
    below, right = min(top + 1, rows - 1), min(left + 1, columns - 1)
    dy, dx = y - top, x - left
    upper = (1 - dx) * plane_HW[top][left] + dx * plane_HW[top][right]
    lower = (1 - dx) * plane_HW[below][left] + dx * plane_HW[below][right]
    return (1 - dy) * upper + dy * lower


def slow_pool(plane_HW, box_px, size_px, bins):
    """Largest of bins x bins means of ceil(bin size) samples a side (RoIAlign, aligned)."""
    scale_y, scale_x = len(plane_HW) / size_px[0], len(plane_HW[0]) / size_px[1]
    x1, x2 = box_px[0] * scale_x - 0.5, box_px[2] * scale_x - 0.5
    y1, y2 = box_px[1] * scale_y - 0.5, box_px[3] * scale_y - 0.5
    step_y, step_x = (y2 - y1) / bins, (x2 - x1) / bins
    along_y, along_x = math.ceil(step_y), math.ceil(step_x)
    means = []
    for row in range(bins):
        for column in range(bins):
            samples = [
                bilinear(
                    plane_HW,
                    y1 + (row + (i + 0.5) / along_y) * step_y,
                    x1 + (column + (j + 0.5) / along_x) * step_x,
                )
                for i in range(along_y)
                for j in range(along_x)
            ]
            means.append(sum(samples) / len(samples))
    return max(means)


def test_pooling_equals_slow_loops():
    torch.manual_seed(0)
    features_BCHW = torch.randn(2, 3, 8, 11)
    boxes = [
        torch.tensor(
            [[10.0, 20.0, 200.0, 250.0], [0.0, 0.0, 341.0, 256.0], [300.0, 5.0, 341.0, 9]]
        ),
        torch.tensor([[5.5, 100.0, 90.0, 130.25]]),
    ]
    pooled_NC = max_pool_rois(features_BCHW, boxes, clip_size_px=(256, 341), roi_size=3)
    expected = [
        [slow_pool(plane.tolist(), box.tolist(), (256, 341), 3) for plane in features_BCHW[clip]]
        for clip, clip_boxes in enumerate(boxes)
        for box in clip_boxes
    ]
    torch.testing.assert_close(pooled_NC, torch.tensor(expected), rtol=1e-4, atol=1e-5)


def test_mean_over_time_before_roialign_equals_the_box_copied_over_all_frames():
    torch.manual_seed(0)
    features_BCTHW = torch.randn(1, 4, 5, 7, 7)
    boxes = [torch.tensor([[30.0, 10.0, 120.0, 200.0]])]
    head = ActionRoIHead(4, 4, num_actions=3, layers="fc").eval()
    head.projection = nn.Identity()
    from torchvision.ops import roi_align

    frames = roi_align(features_BCTHW[0].transpose(0, 1), boxes * 5, 7, 1 / 32, aligned=True)
    expected = frames.mean(dim=0).amax(dim=(1, 2))[None]
    torch.testing.assert_close(head(features_BCTHW, boxes, clip_size_px=(224, 224)), expected)


@pytest.mark.parametrize("layers", ROI_HEADS)
def test_logits_come_clip_after_clip(layers):
    torch.manual_seed(0)
    head = ActionRoIHead(6, 10, num_actions=4, layers=layers).eval()
    features_BCTHW = torch.rand(3, 6, 2, 4, 4)
    boxes = [torch.rand(n, 4) * 40 + torch.tensor([0.0, 0.0, 60.0, 60.0]) for n in (2, 0, 1)]
    logits_NK = head(features_BCTHW, boxes, clip_size_px=(128, 128))
    assert logits_NK.shape == (3, 4)
    alone = [
        head(features_BCTHW[[clip]], [boxes[clip][[box]]], clip_size_px=(128, 128))
        for clip, box in ((0, 0), (0, 1), (2, 0))
    ]
    torch.testing.assert_close(logits_NK, torch.cat(alone))


@pytest.mark.parametrize("layers", ROI_HEADS)
def test_no_box_at_all_still_trains(layers):
    head = ActionRoIHead(6, 10, num_actions=4, layers=layers)
    features_BCTHW = torch.rand(2, 6, 2, 4, 4, requires_grad=True)
    logits_NK = head(features_BCTHW, [torch.zeros(0, 4)] * 2, clip_size_px=(128, 128))
    assert logits_NK.shape == (0, 4)
    logits_NK.sum().backward()
    assert not features_BCTHW.grad.any()
    assert all(p.grad is not None and not p.grad.any() for p in head.parameters())


def test_roialign_runs_in_float32_under_autocast():
    torch.manual_seed(0)
    features_BCHW = torch.rand(1, 3, 7, 7)
    boxes = [torch.tensor([[10.3, 20.7, 200.1, 180.9]])]
    expected = max_pool_rois(features_BCHW, boxes, clip_size_px=(224, 224), roi_size=7)
    with torch.autocast("cpu", torch.bfloat16):
        pooled_NC = max_pool_rois(features_BCHW, boxes, clip_size_px=(224, 224), roi_size=7)
        half = max_pool_rois(features_BCHW.bfloat16(), boxes, clip_size_px=(224, 224), roi_size=7)
    assert torch.equal(pooled_NC, expected)
    assert half.dtype == torch.float32


def test_layers_of_each_head():
    shapes = {
        layers: {
            name: tuple(p.shape)
            for name, p in ActionRoIHead(6, 10, num_actions=4, layers=layers).named_parameters()
        }
        for layers in ROI_HEADS
    }
    class_layer = {"projection.weight": (4, 6), "projection.bias": (4,)}
    conv5 = {"conv5.weight": (10, 6, 1, 1, 1), "norm5.weight": (10,), "norm5.bias": (10,)}
    assert shapes["fc"] == class_layer
    assert shapes["conv5_fc"] == conv5 | class_layer | {"projection.weight": (4, 10)}
    assert shapes["conv5_lin5_fc"] == conv5 | class_layer | {
        "lin5.weight": (2048, 10),
        "projection.weight": (4, 2048),
    }


def test_dropout_acts_in_training_alone():
    torch.manual_seed(0)
    head = ActionRoIHead(64, 64, num_actions=4, layers="fc", dropout=0.5)
    arguments = (torch.rand(1, 64, 2, 4, 4), [torch.tensor([[0.0, 0.0, 90.0, 90.0]])])
    calls = [head(*arguments, clip_size_px=(128, 128)) for _ in range(2)]
    assert not torch.equal(*calls)
    head.eval()
    calls = [head(*arguments, clip_size_px=(128, 128)) for _ in range(2)]
    assert torch.equal(*calls)


def test_errors_name_what_was_found():
    head = ActionRoIHead(6, 10, num_actions=4)
    features_BCTHW = torch.rand(2, 6, 2, 4, 4)
    with pytest.raises(ValueError, match="has 1 tensors for 2 clips; give one per clip, shaped"):
        head(features_BCTHW, [torch.zeros(0, 4)], clip_size_px=(128, 128))
    with pytest.raises(ValueError, match=r"boxes_xyxy_px\[1\] has shape \(3, 5\); it must be"):
        head(features_BCTHW, [torch.zeros(0, 4), torch.zeros(3, 5)], clip_size_px=(128, 128))
    with pytest.raises(ValueError, match=r"boxes_xyxy_px\[0\] has shape \(4,\); it must be"):
        head(features_BCTHW, [torch.zeros(4), torch.zeros(3, 4)], clip_size_px=(128, 128))
    with pytest.raises(
        ValueError, match=r"no RoI head 'conv5fc'; did you mean conv5_fc\?; it must"
    ):
        ActionRoIHead(6, 10, num_actions=4, layers="conv5fc")
