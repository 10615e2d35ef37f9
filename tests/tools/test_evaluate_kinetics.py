"""tools/evaluate_kinetics.py: the published views, what is written, and what is refused."""

import csv
import json
import logging
import runpy
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from x3d_det.builders.kinetics import build_classifier
from x3d_det.config.kinetics import KineticsConfig
from x3d_det.config.load import load_config
from x3d_det.io.video import iterate_frames
from x3d_det.io.weights import save_model

CLASSES = ["run, fast", "sit", "wave"]
HEIGHT, WIDTH = 64, 96
# 39 frames at 30 fps are 1.3 s and a clip takes up 0.4 s, so ten clips start every third frame.
NUM_FRAMES, FRAMES_BETWEEN_CLIPS, STRIDE = 39, 3, 6
Evaluate = Callable[..., int]


def write_video(path: Path, seed: int) -> None:
    """Write frames of big coloured squares that differ from frame to frame."""
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        stream.codec_context.options = {"preset": "ultrafast", "crf": "5"}
        for _ in range(NUM_FRAMES):
            squares = rng.integers(256, size=(HEIGHT // 16, WIDTH // 16, 3), dtype=np.uint8)
            picture = squares.repeat(16, axis=0).repeat(16, axis=1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five videos in PySlowFast's form."""
    root = tmp_path_factory.mktemp("kinetics")
    lines = []
    for number in range(5):
        name = f"clips/video {number}.mp4"
        write_video(root / name, number)
        lines.append(f"{name} {number % 3}")
    (root / "val.csv").write_text("\n".join(lines) + "\n")
    (root / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    return root


@pytest.fixture(scope="module")
def overrides(videos: Path) -> list[str]:
    return [
        f"dataset.root={videos}",
        "dataset.num_classes=3",
        "model.depth_factor=0.2",
        "clip.num_frames=2",
        f"clip.sampling_stride={STRIDE}",
        "clip.train_short_side=[64, 64]",
        "clip.train_crop=64",
        "evaluation.num_workers=0",
        "evaluation.batch_size=4",
        "device=cpu",
        "num_threads=1",
    ]


@pytest.fixture(scope="module")
def config(overrides: list[str]) -> KineticsConfig:
    return load_config("x3d_xs_kinetics_mini.yaml", overrides, KineticsConfig)


@pytest.fixture(scope="module")
def checkpoint(config: KineticsConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model whose scores differ from clip to clip."""
    model = build_classifier(config)
    with torch.no_grad():
        model.head.projection.weight *= 100
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_model(
        path,
        model.state_dict(),
        {
            "format": "x3d_det classifier",
            "config": json.dumps(config.model_dump(mode="json")),
            "classes": json.dumps(CLASSES),
            "normalisation": json.dumps({"mean": config.clip.mean, "std": config.clip.std}),
        },
    )
    return path


@pytest.fixture
def evaluate(
    repository: Path, overrides: list[str], checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> Evaluate:
    """Run the tool in this process, as starting torch anew takes seconds."""
    logger = logging.getLogger("x3d_det")
    monkeypatch.setattr(logger, "handlers", logger.handlers)
    monkeypatch.setattr(logger, "propagate", logger.propagate)
    monkeypatch.setattr(logger, "level", logger.level)
    main = runpy.run_path(str(repository / "tools" / "evaluate_kinetics.py"))["main"]

    def run(*options: object, model: object = checkpoint, settings: tuple[str, ...] = ()) -> int:
        before = torch.get_num_threads()
        arguments = ["--config", "x3d_xs_kinetics_mini.yaml", "--checkpoint", str(model)]
        for setting in (*overrides, *settings):
            arguments += ["--set", setting]
        try:
            return int(main([*arguments, *map(str, options)]))
        finally:
            torch.set_num_threads(before)

    return run


def scores_by_hand(
    video: Path, config: KineticsConfig, checkpoint: Path, starts: list[int], lefts: list[int]
) -> np.ndarray:
    """The mean probabilities over clips that start at these frames, cropped at these columns."""
    from x3d_det.io.weights import load_model

    model = build_classifier(config)
    model.load_state_dict(load_model(checkpoint)[0])
    model.eval()
    frames = [frame for _, frame in iterate_frames(video)]
    assert len(frames) == NUM_FRAMES
    scores = []
    for start in starts:
        for left in lefts:
            clip_THWC = np.stack([frames[start], frames[start + STRIDE]])[:, :, left : left + 64]
            clip_CTHW = (torch.from_numpy(clip_THWC).permute(3, 0, 1, 2) / 255 - 0.45) / 0.225
            with torch.no_grad():
                scores.append(model(clip_CTHW[None])[0].double().numpy())
    return np.mean(scores, axis=0)


# 64 of 96 columns: the middle begins at (96 - 64) / 2
@pytest.mark.parametrize(
    ("views", "settings", "starts", "lefts"),
    [
        # the middle clip, at 0.45 s, is frame 13.5: the one that is still seen, or the next
        (1, (), [13], [16]),
        (1, ("evaluation.clip_rule=pyslowfast",), [0], [16]),
        (10, (), [FRAMES_BETWEEN_CLIPS * k for k in range(10)], [16]),
        (30, (), [FRAMES_BETWEEN_CLIPS * k for k in range(10)], [0, 16, 32]),
    ],
)
def test_views_as_published(
    evaluate, config, checkpoint, videos, tmp_path, capsys, views, settings, starts, lefts
):
    assert evaluate("--views", views, "--output-dir", tmp_path, settings=settings) == 0
    out = capsys.readouterr().out
    assert f"{views} view{'s' if views > 1 else ''} of each" in out
    assert f"wrote to {tmp_path}: result.json, per_class.csv, confusion.png" in out
    result = json.loads((tmp_path / "result.json").read_text())
    assert len(result["videos"]) == 5
    for number in (0, 4):
        video = videos / f"clips/video {number}.mp4"
        expected = scores_by_hand(video, config, checkpoint, starts, lefts)
        found = result["videos"][number]
        assert found["name"] == f"clips/video {number}.mp4"
        # the network is fused, which rounds otherwise
        np.testing.assert_allclose(found["scores"], expected, atol=2e-4)
    assert result["videos"][0]["scores"] != pytest.approx(result["videos"][4]["scores"], abs=1e-3)


def test_result_and_table_agree(evaluate, tmp_path, capsys):
    out = tmp_path / "new" / "mine.json"
    assert evaluate("--out", out) == 0
    assert f"wrote to {out.parent}: mine.json, per_class.csv, confusion.png" in (
        capsys.readouterr().out
    )
    result = json.loads(out.read_text())
    right = [int(np.argmax(v["scores"])) == v["label"] for v in result["videos"]]
    assert result["top1"] == np.mean(right)
    assert result["top5"] == 1.0
    assert result["config"]["evaluation"]["num_clips"] == 1
    with (out.parent / "per_class.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == CLASSES
    assert [int(row["videos"]) for row in rows] == [2, 2, 1]
    assert sum(int(row["right"]) for row in rows) == sum(right)


def test_expected_results_are_compared_over_their_own_views(evaluate, tmp_path, capsys):
    known = ("expected.top1=0.0", "expected.tolerance=1.0")
    assert evaluate("--output-dir", tmp_path, settings=known) == 0
    assert "is as expected: 0.0000 +- 1.0000" in capsys.readouterr().out
    wrong = ("expected.top1=0.9999", "expected.tolerance=1.0e-5")
    assert evaluate("--output-dir", tmp_path, settings=wrong) == 1
    assert "is NOT as expected: 0.9999" in capsys.readouterr().out
    assert evaluate("--output-dir", tmp_path, "--views", 10, settings=wrong) == 0
    assert "top-1 is known for 1 x 1 views alone" in capsys.readouterr().out


def test_wrong_usage(evaluate, tmp_path, capsys):
    assert evaluate("--views", 10, settings=("evaluation.num_clips=3",)) == 2
    assert "give either --views, or evaluation.num_clips" in capsys.readouterr().err
    assert evaluate(model="") == 2
    assert "give the model to score as --checkpoint" in capsys.readouterr().err
    assert evaluate("--views", 3) == 2
    assert evaluate("--out", tmp_path / "a.json", "--output-dir", tmp_path) == 2
    capsys.readouterr()
    assert evaluate("--out", tmp_path) == 1
    assert "is a folder; name a file in it" in capsys.readouterr().err
    assert evaluate("--print-config", "--views", 30) == 0
    assert "num_crops: 3" in capsys.readouterr().out


def test_bad_input_ends_in_one_line(evaluate, videos, tmp_path, capsys):
    def error(**options: object) -> str:
        assert evaluate("--output-dir", tmp_path, **options) == 1
        assert list(tmp_path.glob("*.json")) == []
        return str(capsys.readouterr().err)

    assert "model.safetensors" in error(model=tmp_path / "model.safetensors")
    # another network, other classes
    assert "1-2-5-3 blocks" in error(settings=("model.depth_factor=1.0",))
    more = videos / "more.txt"
    more.write_text("\n".join([*CLASSES, "fly"]))
    assert "tells 3 classes apart" in error(
        settings=("dataset.classes=more.txt", "dataset.num_classes=4")
    )
    more.write_text("sit\nrun, fast\nwave")
    assert "class 0 is 'run, fast' there and 'sit'" in error(settings=("dataset.classes=more.txt",))
    # a broken video is never replaced
    (videos / "clips" / "broken.mp4").write_bytes(b"no video")
    (videos / "broken.csv").write_text("clips/video 0.mp4 0\nclips/broken.mp4 1\n")
    text = error(settings=("dataset.val.list=broken.csv",))
    assert "broken.mp4" in text
    assert "broken.csv:2" in text


@pytest.mark.slow
def test_two_ranks_write_the_same_bytes(evaluate, run_command, overrides, checkpoint, tmp_path):
    assert evaluate("--views", 10, "--output-dir", tmp_path / "one") == 0
    done = run_command(
        "evaluate_kinetics.py", "--config", "x3d_xs_kinetics_mini.yaml",
        *[part for setting in overrides for part in ("--set", setting)],
        "--checkpoint", checkpoint, "--views", 10, "--output-dir", tmp_path / "two",
        launcher=("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("5 videos of 3 classes") == 1
    for name in ("result.json", "per_class.csv", "confusion.png"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
