"""Every fault of the videos: missing, broken, short, turned, doubled, hung."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_dataset import append, check, found
from video_files import cut_file, make_audio, make_video

from x3d_det.checks.findings import KINDS
from x3d_det.checks.probe import FramesJob, VideoJob, look_into
from x3d_det.checks.watched import Lost

TRAIN = "annotations_train.csv"


@pytest.fixture(autouse=True)
def no_processes(request, monkeypatch):
    """Look into videos in this process, but for the tests of the processes themselves."""

    def run_here(jobs, work, *, num_workers, timeout_seconds, on_report):
        for index, job in enumerate(jobs):
            yield index, work(job, lambda done, index=index: on_report(index, done))

    if "with_processes" not in request.fixturenames:
        monkeypatch.setattr("x3d_det.checks.videos.run_watched", run_here)


@pytest.fixture
def with_processes():
    """Asks for real processes."""


def _check(dataset, *settings, **options):
    return check(dataset, *settings, with_videos=True, **options)


def _one(report, kind, path, *texts, severity="error"):
    findings = found(report, kind)
    assert len(findings) == 1, [str(finding) for finding in report.findings]
    assert findings[0].severity == severity
    assert str(findings[0]).startswith(f"set/{path}: "), str(findings[0])
    for text in texts:
        assert text in findings[0].text, findings[0].text


def _again(path: Path, **options) -> None:
    path.unlink()
    make_video(path, **{"num_frames": 100, "fps": 10, **options})


@pytest.mark.parametrize("full_decode", [False, True])
def test_good_videos_have_no_finding(dataset, with_processes, full_decode):
    report = _check(dataset, full_decode=full_decode)
    assert report.findings == []
    assert report.verdict == "small is ready: no errors, 0 warnings, 0 notes"
    assert report.videos.num_found == report.videos.num_read == 2
    assert report.videos.total_seconds == pytest.approx(20, abs=0.1)
    assert report.videos.rates == {"10": 2}
    assert report.videos.sizes == {"64x48": 2}
    how = "decoded to the end" if full_decode else "looked into at both ends"
    assert f"2 of 2 found, 2 {how} without an error" in report.videos.lines()[0]


# Missing, doubled, misnamed


def test_missing_videos_and_what_is_near(dataset):
    videos = dataset / "videos"
    place = f"{TRAIN}:1"
    (videos / "v0.mp4").rename(videos / "V0.mp4")
    text = "video v0 is missing: no set/videos/v0.{mp4,mkv,webm,avi,mov}; "
    _one(_check(dataset), "missing_video", place, text, "there is V0.mp4: upper and lower case")
    (videos / "V0.mp4").rename(videos / "v0.flv")
    _one(_check(dataset), "missing_video", place, "there is v0.flv, whose ending is not among")
    (videos / "v0.flv").unlink()
    _one(_check(dataset), "missing_video", place, text + "add the file, or take its rows out.")


def test_an_id_with_the_ending_of_its_file(dataset):
    for name in (TRAIN, "person_boxes_train.csv", "exclusions_train.csv"):
        path = dataset / name
        path.write_text(path.read_text().replace("v0,", "v0.mp4,"))
    report = _check(dataset)
    _one(report, "missing_video", f"{TRAIN}:1", "take the ending out of the rows")


def test_a_missing_folder(dataset):
    report = _check(dataset, "dataset.videos=elsewhere")
    _one(report, "missing_video", "elsewhere", "no folder of videos here, and 2 videos are needed")


def test_a_video_that_only_the_person_boxes_name(dataset):
    line = append(dataset / "person_boxes_val.csv", "w,0902,0.1,0.2,0.3,0.9,,0.9")
    _one(_check(dataset), "missing_video", f"person_boxes_val.csv:{line}", "video w is missing")


def test_two_files_of_one_video_and_files_that_nobody_names(dataset):
    videos = dataset / "videos"
    (videos / "v0.avi").write_bytes((videos / "v0.mp4").read_bytes())
    (videos / "more.mp4").write_bytes((videos / "v0.mp4").read_bytes())
    doubled, unused = found(_check(dataset), "video_file")
    assert (doubled.severity, unused.severity) == ("warning", "note")
    assert "2 files are video v0: v0.avi, v0.mp4; v0.mp4 is read: remove" in doubled.text
    assert unused.text == "1 of the videos here are named by no row: more.mp4."


def test_links_that_lead_out_of_the_data_set(dataset, tmp_path):
    video = dataset / "videos" / "v0.mp4"
    video.rename(tmp_path / "there.mp4")
    video.symlink_to(tmp_path / "there.mp4")
    text = f"outside the data set's folder, such as v0.mp4 -> {tmp_path}/there.mp4; copy them"
    _one(_check(dataset), "video_file", "videos", text, severity="note")


# Broken

BROKEN = {
    "empty": (lambda path: path.write_bytes(b""), "is empty (0 bytes)"),
    "text": (lambda path: path.write_text("no video at all\n" * 50), "Copy or download it again"),
    "folder": (lambda path: (path.unlink(), path.mkdir()), "is a folder, not a video file"),
    "pipe": (lambda path: (path.unlink(), os.mkfifo(path)), "is no regular file"),
    "loop": (lambda path: (path.unlink(), path.symlink_to(path)), "cannot be read"),
    "sound": (
        lambda path: make_audio(path.with_suffix(".m4a")).replace(path),
        "has no video stream",
    ),
    "no index": (
        lambda path: cut_file(_without_fast_start(path), share=0.6).replace(path),
        "is no readable video",
    ),
}


def _without_fast_start(path):
    _again(path)
    return path


@pytest.mark.parametrize("fault", BROKEN)
def test_videos_that_cannot_be_read(dataset, fault):
    spoil, text = BROKEN[fault]
    spoil(dataset / "videos" / "v0.mp4")
    report = _check(dataset)
    _one(report, "broken_video", "videos/v0.mp4", text)
    assert report.videos.num_read == 1


@pytest.mark.parametrize("full_decode", [False, True])
def test_truncated_videos(dataset, full_decode):
    path = dataset / "videos" / "v0.mp4"
    cut_file(path, share=0.5).replace(path)
    report = _check(dataset, full_decode=full_decode)
    kinds = {f.kind for f in report.findings}
    assert kinds <= {"truncated_video", "broken_video", "outside_video"}, report.findings
    first = [f for f in report.findings if f.kind in ("truncated_video", "broken_video")]
    assert first[0].severity == "error"
    assert str(first[0]).startswith("set/videos/v0.mp4: ")
    assert "second" in first[0].text


def test_a_truncated_matroska_file_is_shorter_than_its_seconds(dataset):
    (dataset / "videos" / "v0.mp4").unlink()
    path = make_video(dataset / "videos" / "v0.mkv", num_frames=100, fps=10)
    cut_file(path, share=0.5).replace(path)
    report = _check(dataset)
    text = "is truncated: its last frame ends at second 4.1, but its header promises 10.0 s"
    _one(report, "truncated_video", "videos/v0.mkv", text)
    text = "3 of 6 annotated keyframes of video v0 lie outside its file, which shows seconds 900 to"
    _one(report, "outside_video", f"{TRAIN}:10", text, "correct the seconds.")


def test_a_file_of_unknown_length_is_read_to_its_end(dataset):
    (dataset / "videos" / "v0.mp4").unlink()
    path = dataset / "videos" / "v0.mkv"
    make_video(path, num_frames=100, fps=10, container_options={"live": "1"})
    assert _check(dataset).findings == []
    cut_file(path, share=0.5).replace(path)
    _one(_check(dataset), "outside_video", f"{TRAIN}:10", "3 of 6 annotated keyframes of video v0")


def test_damaged_bytes_are_found_by_a_full_decode(dataset):
    path = dataset / "videos" / "v0.mp4"
    content = bytearray(path.read_bytes())
    rng = np.random.default_rng(0)
    for place in rng.integers(len(content) // 2, len(content) - 100, 60):
        content[place] ^= 0xFF
    path.write_bytes(bytes(content))
    findings = found(_check(dataset, full_decode=True), "broken_video")
    assert findings
    assert "damaged" in findings[0].text
    assert "second" in findings[0].text


def test_too_many_pixels(dataset):
    job = VideoJob(path=str(dataset / "videos" / "v0.mp4"), max_pixels=1000)
    facts = look_into(job, lambda done: None)
    assert facts.error.startswith("pictures of 64x48 have more than the 1000 pixels allowed")


def test_pictures_out_of_the_ordinary_are_notes(dataset):
    seconds = np.cumsum([0, *([0.05, 0.15] * 50)])[:100].tolist()
    _again(dataset / "videos" / "v0.mp4", seconds=seconds)
    _again(dataset / "videos" / "-v1.mp4", rotation_degrees=90, fps=20, num_frames=200)
    report = _check(dataset)
    assert report.counts == {"error": 0, "warning": 0, "note": 3}
    texts = [str(finding) for finding in found(report, "picture")]
    assert texts[0].startswith("set/videos: the videos have several frame rates: 1 of ")
    assert texts[1].startswith("set/videos/-v1.mp4: is marked as turned by ")
    assert texts[2].startswith("set/videos/v0.mp4: its frame rate varies: frames last 0.050 to 0.1")


def test_odd_sizes_are_notes(dataset):
    for name in ("v0", "-v1"):
        path = dataset / "videos" / f"{name}.mp4"
        path.unlink()
        options = {"codec": "ffv1", "height": 47, "width": 63, "pix_fmt": "yuv444p"}
        make_video(path.with_suffix(".mkv"), num_frames=100, fps=10, **options)
    texts = [finding.text for finding in found(_check(dataset), "picture")]
    assert texts == ["its size 63x47 is odd; some programs crop it by a pixel."] * 2


def test_real_clips(shared_dir):
    def facts(name, **options):
        path = shared_dir / "clips" / name
        return look_into(VideoJob(path=str(path), **options), lambda done: None)

    assert facts("rotated_90.mov").rotation_degrees in (90, 270)
    assert facts("bedroom.mp4").error is None
    damaged = facts("corrupted.mp4", full_decode=True)
    assert damaged.error or damaged.num_damaged


# Seconds


def test_seconds_after_the_end(dataset):
    _again(dataset / "videos" / "v0.mp4", num_frames=45)
    report = _check(dataset)
    _one(
        report,
        "outside_video",
        f"{TRAIN}:10",
        "3 of 6 annotated keyframes of video v0 lie outside its file, which shows seconds 900 to "
        "904.5 of the film: 0905, 0906, 0907; get the complete video",
    )


def test_another_start_of_the_files(dataset):
    report = _check(dataset, "dataset.video_start_seconds=902.5")
    starts = found(report, "video_start")
    assert [f.severity for f in starts] == ["error"]
    assert str(starts[0]) == (
        "config: dataset.video_start_seconds = 902.5 puts keyframes outside the videos; with 900 "
        "all keyframes of the 2 videos, of which 2 are of known length lie inside: --set "
        "dataset.video_start_seconds=900"
    )
    outside = found(report, "outside_video")
    assert [f.line for f in outside] == [1, 1]
    assert "set dataset.video_start_seconds=900 if it is so" in outside[0].text


def test_seconds_of_whole_films_and_a_start_of_a_cut(dataset):
    for path in dataset.glob("*.csv"):
        path.write_text(path.read_text().replace(",09", ",00"))
    report = _check(dataset)
    assert "with 0 all keyframes of the 2 videos" in found(report, "video_start")[0].text
    # Without videos, a second before the start is still known to be outside.
    report = check(dataset)
    outside = found(report, "outside_video")
    assert "which starts at second 900 of the film: 0002, 0003" in outside[0].text
    assert check(dataset, "dataset.video_start_seconds=0.0").findings == []


def test_whole_films_in_the_place_of_cuts(dataset):
    _again(dataset / "videos" / "v0.mp4", num_frames=1300, fps=1)
    report = _check(dataset)
    text = "900, but 1 files go on for more than 900 s after their last keyframe (v0)"
    starts = found(report, "video_start")
    assert [f.severity for f in starts] == ["warning"]
    assert text in starts[0].text


def test_person_boxes_after_the_end(dataset):
    path = dataset / "person_boxes_val.csv"
    line = append(path, "-v1,0950,0.1,0.2,0.3,0.9,,0.9")
    text = "1 of 7 keyframes with person boxes of video -v1 lie outside its file"
    _one(_check(dataset), "outside_video", f"person_boxes_val.csv:{line}", text, "0950")
    report = _check(dataset, "boxes.evaluate=annotated")
    assert [f.severity for f in found(report, "outside_video")] == ["note"]


# Folders of frames


@pytest.fixture
def frames(dataset):
    """The data set with extracted frames, 10 a second, in the place of its videos."""
    for name in ("v0", "-v1"):
        folder = dataset / "frames" / name
        folder.mkdir(parents=True)
        for index in range(1, 101):
            Image.new("RGB", (16, 12), (index, 0, 0)).save(folder / f"img_{index:05d}.png")
    return dataset


def _frames_check(dataset, *settings, **options):
    given = ("dataset.frames.folder=frames", "dataset.frames.template='img_{index:05d}.png'")
    fps = () if any("fps" in setting for setting in settings) else ("dataset.frames.fps=10.0",)
    return _check(dataset, *given, *fps, *settings, **options)


def test_good_frames_have_no_finding(frames):
    assert _frames_check(frames).findings == []
    assert _frames_check(frames, full_decode=True).findings == []


def test_folders_and_frames_that_are_missing(frames):
    (frames / "frames" / "v0").rename(frames / "frames" / "v9")
    for index in (5, 7, 8):
        (frames / "frames" / "-v1" / f"img_{index:05d}.png").unlink()
    report = _frames_check(frames)
    _one(report, "missing_video", f"{TRAIN}:1", "video v0 has no folder set/frames/v0")
    text = "3 of 100 frames are missing: number 5, 7, 8; extract the frames again."
    _one(report, "broken_frames", "frames/-v1", text)
    assert "named by no row: v9" in found(report, "video_file")[0].text


def test_frames_that_are_broken_or_of_another_size(frames):
    folder = frames / "frames" / "v0"
    (folder / "img_00050.png").write_bytes(b"no image")
    Image.new("RGB", (20, 12)).save(folder / "img_00051.png")
    assert _frames_check(frames).findings == []
    texts = [str(f) for f in found(_frames_check(frames, full_decode=True), "broken_frames")]
    assert texts[0].startswith("set/frames/v0: img_00050.png is no readable image (cannot identify")
    assert texts[1].startswith("set/frames/v0: its frames have several sizes: 16x12, 20x12")


def test_too_few_frames_and_the_rate_that_would_do(frames):
    report = _frames_check(frames, "dataset.frames.fps=30.0")
    texts = [finding.text for finding in found(report, "outside_video")]
    assert "100 frames at 10 a second would reach: set dataset.frames.fps=10" in texts[0]


def test_a_folder_or_template_that_is_none(frames):
    report = _frames_check(frames, "dataset.frames.folder=nowhere")
    _one(report, "missing_video", "nowhere", "no folder of frames here, and 2 videos are needed")
    report = _frames_check(frames, "dataset.frames.template=img.png")
    assert "must hold {index}" in found(report, "broken_frames")[0].text
    report = _frames_check(frames, "dataset.frames.template='other_{index:05d}.png'")
    assert "holds no frame named like other_00001.png" in found(report, "broken_frames")[0].text


def test_frame_numbers_are_those_of_the_template(tmp_path):
    for name in ("7_000001.jpg", "7_000003.jpg", "7_1.jpg", "8_000002.jpg", "notes.txt"):
        Image.new("RGB", (4, 4)).save(tmp_path / name, "jpeg")
    job = FramesJob(
        folder=str(tmp_path),
        video_id="7",
        template="{video_id}_{index:06d}.jpg",
        fps=30,
        first_index=1,
    )
    facts = look_into(job, lambda done: None)
    assert (facts.num_images, facts.missing, facts.num_strangers) == (3, (2,), 3)


def test_a_hung_video_is_named(dataset, monkeypatch):
    def hang(jobs, work, **options):
        yield 0, Lost("hung: no answer for 60 s", 3.25)
        yield 1, work(jobs[1], lambda done: None)

    monkeypatch.setattr("x3d_det.checks.videos.run_watched", hang)
    text = "hung: no answer for 60 s, at about second 3.2; play it in another program"
    _one(_check(dataset), "hung_video", "videos/v0.mp4", text)


def test_every_kind_of_finding_has_a_test():
    """Each kind stands, as text, in a test of this folder."""
    texts = "".join(p.read_text() for p in Path(__file__).parent.glob("test_check_*.py"))
    assert [kind for kind in KINDS if f'"{kind}"' not in texts] == []
