"""The README's way from a video to actions: its Python example, and its command."""

import doctest
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from action_checkpoints import save_action_checkpoint

from x3d_det.io.video_writer import VideoWriter
from x3d_det.io.weights import load_model, save_model

BOXES = "".join(
    f"clip,{second},{x1},0.1,{x1 + 0.3},0.9,,0.9\n" for second in (1, 2) for x1 in (0.1, 0.6)
)


def _waving_model(path: Path) -> None:
    """Write a model that takes everybody for waving, whatever the pixels."""
    state, metadata = load_model(save_action_checkpoint(path))
    state["head.projection.bias"][0] = 100.0
    save_model(path, state, metadata)


def test_the_example_gives_what_it_shows(repository: Path, tmp_path: Path, monkeypatch):
    text = (repository / "README.md").read_text()
    (example,) = re.findall(r"```python\n(>>> .*?)```", text, re.DOTALL)
    _waving_model(tmp_path / "model.safetensors")
    with VideoWriter(tmp_path / "clip.mp4", height=48, width=64, fps=30) as writer:
        for _ in range(90):
            writer.write(np.full((48, 64, 3), 90, np.uint8))
    (tmp_path / "person_boxes.csv").write_text(BOXES)
    monkeypatch.chdir(tmp_path)
    test = doctest.DocTestParser().get_doctest(example, {}, "README.md", "README.md", 0)
    assert len(test.examples) == 3
    assert doctest.DocTestRunner().run(test).failed == 0


@pytest.mark.slow
def test_the_demos_model_draws_a_video(repository, run_command, trained, tiny_ava, tmp_path):
    lines = (repository / "README.md").read_text().splitlines()
    (command,) = [line for line in lines if line.startswith("    python tools/detect_actions.py")]
    options = shlex.split(command)[2:]
    assert options == ["clip.mp4", "--checkpoint", "outputs/demo/train/model.safetensors"]
    film = next((tiny_ava / "videos").iterdir())
    shutil.copy(film, tmp_path / "clip.mp4")
    (tmp_path / "boxes.csv").write_text(BOXES)
    done = run_command(
        *("detect_actions.py", tmp_path / "clip.mp4"),
        *("--checkpoint", trained / "model.safetensors", "--boxes", tmp_path / "boxes.csv"),
        *("--output-dir", tmp_path / "out"),
    )
    assert done.returncode == 0, done.stderr
    for name in ("actions.mp4", "detections.csv", "tracks.json", "timeline.png"):
        assert (tmp_path / "out" / name).stat().st_size > 0, name
