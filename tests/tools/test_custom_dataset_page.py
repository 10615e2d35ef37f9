"""docs/custom_dataset.md, followed: ten clips and a CVAT export become a scored model."""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
import yaml
from detector_files import DETECTOR

from x3d_det.io.ava_csv import read_annotations
from x3d_det.io.label_map import read_label_map
from x3d_det.io.video import probe_video

NAMES = {1: "walk", 2: "run", 3: "jump"}
CLIPS = [f"clip{number:02d}" for number in range(1, 11)]


@dataclass
class Page:
    """The commands of the page, run with its names for files and folders put elsewhere."""

    repository: Path
    folder: Path
    run_command: Callable[..., subprocess.CompletedProcess[str]]
    commands: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.text = (self.repository / "docs" / "custom_dataset.md").read_text()
        self.commands = re.findall(r"(?m)^ {4}((?:python|grep) .*)$", self.text)
        self.dataset = self.folder / "my_clips.yaml"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def run(self, start: str, *further: object) -> str:
        """Run the one command that starts so, further options behind it; return its stdout."""
        found = [command for command in self.commands if command.startswith(start)]
        assert len(found) == 1, f"the page has {len(found)} commands that start with {start!r}"
        self.done += found
        places = {
            "data/my_clips": str(self.data),
            "outputs/my_clips": str(self.folder / "outputs"),
            "dataset=my_clips": f"dataset={self.dataset}",
            "--dataset my_clips": f"--dataset {self.dataset}",
        }
        command = found[0]
        for name, place in places.items():
            command = command.replace(name, place)
        if command.startswith("grep"):
            done = subprocess.run(command, shell=True, capture_output=True, text=True)
        else:
            _, tool, *options = shlex.split(command)
            done = self.run_command(tool.removeprefix("tools/"), *options, *further)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def _cvat(
    boxes: list[tuple[int, str, int, tuple[float, ...]]], clips: list[tuple[int, int, int]]
) -> str:
    """Return a project as CVAT exports it.

    Args:
        boxes: (task, label, frame, corners in pixels); each a track of one frame.
        clips: width, height and number of frames of each.
    """
    labels = "".join(f"<label><name>{name}</name></label>" for name in NAMES.values())
    tasks = "".join(
        f"<task><id>{task}</id><start_frame>0</start_frame>"
        f"<stop_frame>{frames - 1}</stop_frame><source>{CLIPS[task]}.mp4</source>"
        f"<original_size><width>{width}</width><height>{height}</height></original_size></task>"
        for task, (width, height, frames) in enumerate(clips)
    )
    tracks = []
    for place, (task, label, frame, corners) in enumerate(boxes):
        shape = " ".join(
            f'{name}="{value:.2f}"'
            for name, value in zip(("xtl", "ytl", "xbr", "ybr"), corners, strict=True)
        )
        both = "".join(
            f'<box frame="{frame + outside}" keyframe="1" outside="{outside}" {shape}/>'
            for outside in (0, 1)
        )
        tracks.append(
            f'<track id="{place}" label="{escape(label)}" task_id="{task}">{both}</track>'
        )
    meta = f"<meta><project><tasks>{tasks}</tasks><labels>{labels}</labels></project></meta>"
    return f"<annotations>{meta}{''.join(tracks)}</annotations>"


@pytest.fixture(scope="module")
def page(repository, run_command, tiny_ava, tmp_path_factory) -> Page:
    """Ten clips and their export, where the page has them."""
    page = Page(repository, tmp_path_factory.mktemp("page"), run_command)
    (page.data / "videos").mkdir(parents=True)
    (page.data / "annotations").mkdir()
    films = sorted((tiny_ava / "videos").iterdir())
    boxes, clips = [], []
    for task, clip in enumerate(CLIPS):
        film = films[task % len(films)]
        shutil.copy(film, page.data / "videos" / f"{clip}.mp4")
        info = probe_video(film)
        width, height, fps = info.width, info.height, info.fps
        clips.append((width, height, round(8 * fps)))
        for second in (2, 3):
            for place in range(2):
                x1 = width * (0.1 + 0.4 * place)
                corners = (x1, 0.2 * height, x1 + 0.3 * width, 0.9 * height)
                label = NAMES[1 + (task + second + place) % 3]
                boxes.append((task, label, round(second * fps), corners))
    (page.data / "annotations" / "annotations.xml").write_text(_cvat(boxes, clips))
    return page


def _settings(small: list[str], *further: str) -> list[str]:
    return [part for setting in (*small, *further) for part in ("--set", setting)]


@pytest.fixture(scope="module")
def small() -> list[str]:
    """Settings that make the page's model as small as it gets."""
    return [
        "model.depth_factor=0.5",
        *("clip.num_frames=2", "clip.train_short_side=[64, 72]"),
        *("clip.train_crop=64", "clip.eval_short_side=64", "train.epochs=1", "num_threads=1"),
        *("train.num_workers=0", "evaluation.num_workers=0"),
    ]


@pytest.mark.slow
def test_the_page_leads_from_an_export_to_a_scored_model(
    page: Page, small: list[str], detector_weights: Path
):
    out = page.run("python tools/convert_annotations.py")
    assert "40 rows" in out
    names = read_label_map(page.data / "annotations" / "all_label_map.pbtxt").names
    assert sorted(names.values()) == sorted(NAMES.values())
    page.run("grep -E")
    page.run("grep -vE")
    videos = {
        split: set(read_annotations(page.data / "annotations" / f"{split}.csv").rows["video_id"])
        for split in ("train", "val")
    }
    assert videos == {"train": set(CLIPS[:8]), "val": set(CLIPS[8:])}

    block = re.search(r"```yaml\n(.*?)```", page.text, re.DOTALL)
    assert block is not None
    template = page.repository / "configs" / "datasets" / "own_example.yaml"
    assert yaml.safe_load(block[1]) == yaml.safe_load(template.read_text())
    page.dataset.write_text(block[1].replace("root: data/my_clips", f"root: {page.data}"))

    assert "my_clips is ready: no errors, 0 warnings" in page.run(
        "python tools/check_dataset.py", "--workers", 1
    )

    outputs = page.folder / "outputs"
    page.run("python tools/train_ava.py", *_settings(small))
    assert (outputs / "train" / "curves.png").is_file()
    assert "frame-mAP" in page.run("python tools/evaluate_ava.py", *_settings(small))
    report = json.loads((outputs / "score" / "report.json").read_text())
    assert report["mAP"] > 0
    page.run("python tools/visualize_ava.py", "--max-videos", 1, "--end", 3)
    assert (outputs / "drawn" / "clip09.mp4").is_file()
    assert (outputs / "drawn" / "clip09_keyframes.png").is_file()

    detector = ("--detector", "torchvision", "--model", DETECTOR, "--weights", detector_weights)
    out = page.run("python tools/detect_persons.py", *detector, "--short-side", 64)
    assert "dataset.val.person_boxes=" in out
    assert (outputs / "persons" / "person_boxes.csv").is_file()
    assert sorted(page.done) == sorted(page.commands), "every command of the page was run"


def test_every_setting_that_the_page_names_is_one(repository: Path):
    from x3d_det.config.schema import DatasetConfig, SplitConfig

    text = (repository / "docs" / "custom_dataset.md").read_text()
    table = text.split("What else it can say:")[1].split("**Frame numbers**")[0]
    named = set(re.findall(r"`(\w+):", table))
    assert len(named) >= 8
    assert named <= {*DatasetConfig.model_fields, *SplitConfig.model_fields}
