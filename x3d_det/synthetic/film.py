"""One video of the generated set: its frames on disk and its rows of the csv files."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from x3d_det.io.files import sha256_file
from x3d_det.io.video_writer import VideoWriter
from x3d_det.synthetic.made_folder import MadeFile
from x3d_det.synthetic.proposals import detector_like
from x3d_det.synthetic.script import FIRST_FILM_SECOND, ShotPlan, VideoPlan, random_stream
from x3d_det.synthetic.shot import Shot

CRF = 27
GOP_SECONDS = Fraction(4, 5)
_NOMINAL_VARIABLE_FPS = Fraction(30)


@dataclass(frozen=True, kw_only=True)
class VideoRecord(MadeFile):
    """The file of one video, and the rows that it adds to the csv files."""

    video_id: str
    annotations: list[tuple[Any, ...]]
    proposals: list[tuple[Any, ...]]


def video_path(video_id: str) -> str:
    """Return where a video lies, relative to the folder of the set."""
    return f"videos/{video_id}.mp4"


def open_shot(plan: VideoPlan, number: int, *, seed: int) -> Shot:
    """Return one shot of a video, ready to be drawn or asked for its boxes."""
    shot = plan.shots[number]
    look, motion, scene = (
        random_stream(seed, plan.split, plan.index, number, purpose)
        for purpose in ("look", "motion", "scene")
    )
    return Shot(
        shot.roles,
        look_rng=look,
        motion_rng=motion,
        scene_rng=scene,
        height=plan.height,
        width=plan.width,
        duration_seconds=shot.end - shot.start,
        keyframes=[float(second - shot.start) for second in shot.keyframes],
    )


def frame_seconds(plan: VideoPlan, *, seed: int) -> list[float]:
    """Return when each frame of a video is shown, from 0."""
    if plan.fps is not None:
        count = int(plan.seconds * plan.fps)
        return [float(number / plan.fps) for number in range(count)]
    rng = random_stream(seed, plan.split, plan.index, "timing")
    seconds, times = 0.0, []
    while seconds < plan.seconds - 0.01:
        times.append(seconds)
        seconds += float(rng.choice([1 / 60, 1 / 30, 1 / 30, 1 / 30, 1 / 20, 1 / 15]))
    return times


def write_film(
    path: Path,
    timed_pictures: Iterable[tuple[float, np.ndarray]],
    *,
    height: int,
    width: int,
    nominal_fps: Fraction,
    crf: int,
) -> str:
    """Encode the pictures of a made video; return the sha256 of the file.

    The same pictures give the same bytes, as far as x264 does (see `VideoWriter`). Every frame is
    given its time, at steady rates too: the writer then makes no B-frames, with which x264's
    AVX-512 code was seen to give other bytes for the same frames.

    Args:
        path: of the file; its folder must exist.
        timed_pictures: rising seconds from 0 and pictures (H, W, 3) uint8 RGB.
        height, width: of the pictures, even.
        nominal_fps: the rate, for the distance of key frames.
        crf: x264's quality, lower is better.
    """
    with VideoWriter(
        path,
        height=height,
        width=width,
        fps=nominal_fps,
        crf=crf,
        gop_frames=round(nominal_fps * GOP_SECONDS),
    ) as writer:
        for seconds, picture in timed_pictures:
            writer.write(picture, seconds)
    return sha256_file(path)


def make_video(plan: VideoPlan, *, folder: Path, seed: int, kept: Mapping[str, str]) -> VideoRecord:
    """Draw and encode one video, unless it stands, and return its rows.

    Args:
        plan: what it shows.
        folder: of the set.
        seed: of the set.
        kept: sha256 of files that stand, by name in the folder.
    """
    name = video_path(plan.video_id)
    times = frame_seconds(plan, seed=seed)
    annotations: list[tuple[Any, ...]] = []
    proposals: list[tuple[Any, ...]] = []
    proposal_rng = random_stream(seed, plan.split, plan.index, "proposals")
    first_person = 0

    def each_shot() -> Iterator[tuple[ShotPlan, Shot]]:
        nonlocal first_person
        for number, shot_plan in enumerate(plan.shots):
            shot = open_shot(plan, number, seed=seed)
            _add_rows(plan, shot_plan, shot, first_person, annotations, proposals, proposal_rng)
            first_person += len(shot.actors)
            yield shot_plan, shot

    if name in kept:
        for _ in each_shot():
            pass
        return _record(plan, annotations, proposals, kept[name])

    def timed_pictures() -> Iterator[tuple[float, np.ndarray]]:
        for shot_plan, shot in each_shot():
            own = [seconds for seconds in times if shot_plan.start <= seconds < shot_plan.end]
            pictures = shot.pictures([seconds - shot_plan.start for seconds in own])
            yield from zip(own, pictures, strict=True)

    sha256 = write_film(
        folder / name,
        timed_pictures(),
        height=plan.height,
        width=plan.width,
        nominal_fps=plan.fps if plan.fps is not None else _NOMINAL_VARIABLE_FPS,
        crf=CRF,
    )
    return _record(plan, annotations, proposals, sha256)


def _record(
    plan: VideoPlan,
    annotations: list[tuple[Any, ...]],
    proposals: list[tuple[Any, ...]],
    sha256: str,
) -> VideoRecord:
    return VideoRecord(
        name=video_path(plan.video_id),
        video_id=plan.video_id,
        annotations=annotations,
        proposals=sorted(proposals, key=lambda row: row[1]),
        sha256=sha256,
    )


def _add_rows(
    plan: VideoPlan,
    shot_plan: ShotPlan,
    shot: Shot,
    first_person: int,
    annotations: list[tuple[Any, ...]],
    proposals: list[tuple[Any, ...]],
    proposal_rng: np.random.Generator,
) -> None:
    """Add the rows of one shot: annotations of keyframes, proposals also of excluded seconds."""
    for second in range(shot_plan.start, shot_plan.end):
        if second not in shot_plan.keyframes and second not in plan.excluded:
            continue
        stamp = float(FIRST_FILM_SECOND + second)
        found = shot.boxes(float(second - shot_plan.start))
        if second in shot_plan.keyframes:
            for person in found:
                for action_id in person.action_ids:
                    row = (*person.box_norm, action_id, first_person + person.actor)
                    annotations.append((plan.video_id, stamp, *row))
        for box, score in detector_like([person.box_norm for person in found], proposal_rng):
            proposals.append((plan.video_id, stamp, *box, round(score, 6)))
