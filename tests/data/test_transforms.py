"""Clip and boxes changed together."""

import numpy as np
import pytest
import torch

from x3d_det.boxes import flip_boxes
from x3d_det.data.transforms import (
    EvalTransform,
    TrainTransform,
    Window,
    boxes_in_window,
    center_window,
    jitter_color,
    normalize,
    random_window,
    resize_window,
    to_unit_floats,
)

PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
NO_BOXES = np.empty((0, 4))


def rng(seed=0):
    return np.random.default_rng(seed)


def ramp_frames(height, width, num_frames=2):
    """Red is the column, green the row, blue the frame."""
    frames = np.zeros((num_frames, height, width, 3), np.uint8)
    frames[..., 0] = np.arange(width)
    frames[..., 1] = np.arange(height)[:, None]
    frames[..., 2] = np.arange(num_frames)[:, None, None]
    return frames


def painted_frames(boxes_norm, height=90, width=120, num_frames=3):
    """Frames that are white inside the boxes and black elsewhere."""
    frames = np.zeros((num_frames, height, width, 3), np.uint8)
    for x1, y1, x2, y2 in np.round(boxes_norm * [width, height, width, height]).astype(int):
        frames[:, y1:y2, x1:x2] = 255
    return frames


def test_boxes_in_a_window_by_hand():
    window = Window(top=20, left=10, height=40, width=40, out_height=80, out_width=80)
    # a 100 x 200 frame; boxes in pixels: (20, 30, 40, 50), (0, 30, 40, 50), (60, 30, 90, 50)
    boxes_norm = np.array([[0.1, 0.3, 0.2, 0.5], [0.0, 0.3, 0.2, 0.5], [0.3, 0.3, 0.45, 0.5]])
    boxes, kept = boxes_in_window(boxes_norm, window, height=100, width=200, min_visible=0.25)
    # first: minus (10, 20), times 2; second: cut at the left edge; third: outside
    np.testing.assert_allclose(boxes, [[20, 20, 60, 60], [0, 20, 60, 60]])
    assert kept.tolist() == [0, 1]


@pytest.mark.parametrize(("left", "is_kept"), [(29, True), (30, True), (31, False), (40, False)])
def test_a_box_of_which_a_quarter_is_left_stays(left, is_kept):
    # the box is 40 wide, of which 40 - left are seen: 10 at left = 30, a quarter
    window = Window(top=0, left=left, height=50, width=50, out_height=50, out_width=50)
    boxes_norm = np.array([[0.0, 0.0, 0.4, 0.5]])
    _, kept = boxes_in_window(boxes_norm, window, height=100, width=100, min_visible=0.25)
    assert bool(len(kept)) == is_kept


def test_a_window_without_resizing_is_the_slice():
    frames = ramp_frames(30, 40)
    window = Window(top=5, left=7, height=20, width=20, out_height=20, out_width=20)
    clip = to_unit_floats(resize_window(frames, window)) * 255
    assert clip.shape == (3, 2, 20, 20)
    assert clip.is_contiguous()
    np.testing.assert_allclose(clip[0, 0, 0], np.arange(7, 27), atol=1e-4)
    np.testing.assert_allclose(clip[1, 0, :, 0], np.arange(5, 25), atol=1e-4)
    np.testing.assert_allclose(clip[2, :, 0, 0], [0, 1], atol=1e-4)


def test_doubling_by_hand():
    # pixel i of the result lies at (i + 0.5) / 2 - 0.5 of the source: 0, 0.25, 0.75, 1.25, ...
    frames = ramp_frames(4, 4) * 40
    window = Window(top=0, left=0, height=4, width=4, out_height=8, out_width=8)
    row = resize_window(frames, window)[0, 0, 0].float()
    expected = np.clip((np.arange(8) + 0.5) / 2 - 0.5, 0, 3) * 40
    np.testing.assert_allclose(row, expected, atol=1)


def test_crop_first_against_resize_first():
    smooth = np.cumsum(rng().integers(-3, 4, (2, 100, 140, 3)), axis=2) + 128
    frames = np.clip(smooth, 0, 255).astype(np.uint8)
    window = Window(top=10, left=30, height=70, width=70, out_height=56, out_width=56)
    found = resize_window(frames, window).float()
    # the oracle: the whole frame to 4/5 in float64, then the crop at (8, 24)
    whole = torch.from_numpy(frames).permute(0, 3, 1, 2).double()
    whole = torch.nn.functional.interpolate(whole, size=(80, 112), mode="bilinear")
    expected = whole[:, :, 8:64, 24:80]
    inner = (..., slice(1, -1), slice(1, -1))  # at the edge only one of them looks outside
    assert (found[inner] - expected[inner]).abs().max() <= 1.01


def test_flip_moves_boxes_with_the_picture():
    boxes_norm = np.array([[0.1, 0.2, 0.4, 0.9]])
    frames = painted_frames(boxes_norm)
    always = TrainTransform(short_side_range_px=(90, 90), crop_px=90, flip_probability=1, **PLAIN)
    seen = always(frames, boxes_norm, rng(1))
    never = TrainTransform(short_side_range_px=(90, 90), crop_px=90, flip_probability=0, **PLAIN)
    plain = never(frames, boxes_norm, rng(1))
    torch.testing.assert_close(seen.clip_CTHW, plain.clip_CTHW.flip(-1))
    np.testing.assert_allclose(seen.boxes_xyxy_px, flip_boxes(plain.boxes_xyxy_px, width=90))


@pytest.mark.parametrize("seed", range(12))
def test_boxes_follow_the_picture(seed):
    """The white box of the picture is where the transformed box says."""
    boxes_norm = np.array([[0.3, 0.3, 0.7, 0.8]])
    transform = TrainTransform(short_side_range_px=(64, 100), crop_px=56, **PLAIN)
    seen = transform(painted_frames(boxes_norm), boxes_norm, rng(seed))
    assert seen.clip_CTHW.shape == (3, 3, 56, 56)
    assert seen.kept_N.tolist() == [0]
    white = seen.clip_CTHW[0, 1] > 0.5
    rows, columns = white.any(1).nonzero().flatten(), white.any(0).nonzero().flatten()
    edges = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_allclose(seen.boxes_xyxy_px[0], edges, atol=0.75)


def test_a_crop_avoids_being_empty():
    # A person 24 px wide and 12 high in the corner of a 240 x 60 frame, crops of 40 x 40: a
    # quarter is seen from lefts 0 to 18 (of 0 to 200) and tops 0 to 9 (of 0 to 20), some 3 %.
    boxes_norm = np.array([[0.0, 0.0, 0.1, 0.2]])
    frames = painted_frames(boxes_norm, height=60, width=240)
    transform = TrainTransform(short_side_range_px=(60, 60), crop_px=40, **PLAIN)
    kept = [len(transform(frames, boxes_norm, rng(seed)).kept_N) for seed in range(60)]
    assert 10 < sum(kept) < 40  # ten tries find one in 1 - 0.97 ** 10, a quarter or a third


def test_the_same_generator_gives_the_same_clip():
    boxes_norm = np.array([[0.2, 0.2, 0.6, 0.8]])
    frames = rng(3).integers(0, 256, (4, 60, 80, 3), dtype=np.uint8)
    transform = TrainTransform(short_side_range_px=(40, 60), crop_px=32, color_jitter=0.4)
    first, second = (transform(frames, boxes_norm, rng(7)) for _ in range(2))
    other = transform(frames, boxes_norm, rng(8))
    assert torch.equal(first.clip_CTHW, second.clip_CTHW)
    np.testing.assert_array_equal(first.boxes_xyxy_px, second.boxes_xyxy_px)
    assert not torch.equal(first.clip_CTHW, other.clip_CTHW)


def test_scales_cover_their_range():
    sides = [random_window(100, 160, (80, 125), 50, rng(seed)).height for seed in range(200)]
    # a side of 50 at short side s is 100 * 50 / s of the source: 40 at 125, 63 at 80
    assert (min(sides), max(sides)) == (40, 63)
    tops = {random_window(100, 160, (100, 100), 50, rng(seed)).top for seed in range(400)}
    assert (min(tops), max(tops)) == (0, 50)


def test_evaluation_sees_the_whole_frame():
    boxes_norm = np.array([[0.0, 0.0, 0.5, 1.0], [0.9, 0.9, 1.0, 1.0]])
    transform = EvalTransform(short_side_px=45, **PLAIN)
    seen = transform(painted_frames(boxes_norm, height=90, width=121), boxes_norm, rng())
    assert seen.clip_CTHW.shape == (3, 3, 45, 60)  # 121 / 2, rounded down
    np.testing.assert_allclose(seen.boxes_xyxy_px, [[0, 0, 30, 45], [54, 40.5, 60, 45]])
    upright = transform(painted_frames(boxes_norm, height=121, width=90), boxes_norm, rng())
    assert upright.clip_CTHW.shape == (3, 3, 60, 45)


def test_centre_crop_by_hand():
    window = center_window(90, 120, 45, 30)
    # 30 of a short side of 45 are 60 of 90 source pixels
    assert (window.top, window.left, window.height, window.width) == (15, 30, 60, 60)
    seen = EvalTransform(short_side_px=45, center_crop_px=30, **PLAIN)(
        ramp_frames(90, 120), np.array([[0.0, 0.0, 0.1, 0.1], [0.25, 0.5, 0.75, 1.0]]), rng()
    )
    assert seen.kept_N.tolist() == [1]
    np.testing.assert_allclose(seen.boxes_xyxy_px, [[0, 15, 30, 30]])


def test_normalise_by_hand():
    clip = torch.full((3, 1, 1, 1), 0.9)
    normalize(clip, (0.45, 0.45, 0.9), (0.225, 0.45, 1.0))
    torch.testing.assert_close(clip.flatten(), torch.tensor([2.0, 1.0, 0.0]))


def test_colour_jitter_keeps_grey_grey_and_range():
    clip = torch.rand(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(jitter_color(clip, 0.0, rng()), jitter_color(clip, 0.0, rng(1)))
    torch.testing.assert_close(jitter_color(clip, 0.0, rng()), clip)
    strong = jitter_color(clip, 0.9, rng())
    assert strong.min() >= 0
    assert strong.max() <= 1
    assert not torch.allclose(strong, clip)
    grey = torch.full((3, 2, 4, 4), 0.5)
    found = jitter_color(grey, 0.4, rng())
    torch.testing.assert_close(found, found[:1].expand_as(found))


def test_no_boxes():
    frames = ramp_frames(30, 40)
    for transform in (
        TrainTransform(short_side_range_px=(30, 30), crop_px=20),
        EvalTransform(short_side_px=20),
    ):
        seen = transform(frames, NO_BOXES, rng())
        assert seen.boxes_xyxy_px.shape == (0, 4)
        assert seen.kept_N.shape == (0,)


def test_wrong_sizes():
    with pytest.raises(ValueError, match=r"\(20, 40\) and crop_px is 32"):
        TrainTransform(short_side_range_px=(20, 40), crop_px=32)
    with pytest.raises(ValueError, match=r"flip_probability is 1\.5"):
        TrainTransform(short_side_range_px=(40, 40), crop_px=32, flip_probability=1.5)
    with pytest.raises(ValueError, match="short_side_px is 20 and center_crop_px 32"):
        EvalTransform(short_side_px=20, center_crop_px=32)
