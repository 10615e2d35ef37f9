"""Runs that meet broken videos, a full disk or an error: named, kept, and gone on with."""

import os
import resource
import signal
import threading

import pytest
from detect_runs import ONE, csv_of, detect, expected_csv, plan_of
from lit_films import LitDetector, LitSource, drawn_boxes, lit_film, lit_frame
from PIL import Image
from video_files import cut_file

from x3d_det.data.clips import FrameFolder, VideoFolder
from x3d_det.errors import DataError, X3DDetError
from x3d_det.io.frame_folder import FrameFolderReader
from x3d_det.persons.journal import journal_path
from x3d_det.persons.keyframe_plan import Shard

# Broken videos


def test_a_broken_video_is_named_and_the_others_go_on(film, tmp_path, caplog):
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in ("a.mp4", "c.mp4"):
        os.link(film / "film.mp4", folder / name)
    os.link(cut_file(film / "film.mp4", share=0.6), folder / "b.mp4")
    plan = plan_of({"a": 20, "b": 20, "c": 20, "d": 20})  # there is no d at all
    out = tmp_path / "out"
    run = detect(out, plan, VideoFolder(folder, video_start_seconds=0))
    assert list(run.unreadable) == ["b", "d"]
    assert "video b is given up: " in caplog.text
    with pytest.raises(DataError) as caught:
        run.require_readable()
    assert str(caught.value) == (
        "2 of 4 videos could not be read:\n"
        f"  {run.unreadable['b']}\n"
        f"  {folder}/d.{{mp4,mkv,webm,avi,mov}}: there is no such video file.\n"
        "mend them and run again with --resume, or add --skip-unreadable to write the file "
        "without them"
    )
    assert f"{folder}/b.mp4: " in run.unreadable["b"]
    assert csv_of(run, tmp_path / "boxes.csv") == expected_csv({"a": 20, "c": 20})

    # Mended, what is left of them alone is looked at: b's first 16 keyframes were readable.
    (folder / "b.mp4").unlink()
    for name in ("b.mp4", "d.mp4"):
        os.link(film / "film.mp4", folder / name)
    detector = LitDetector()
    run = detect(out, plan, VideoFolder(folder, video_start_seconds=0), detector, resume=True)
    run.require_readable()
    assert detector.num_frames == 4 + 20
    assert csv_of(run, tmp_path / "boxes.csv") == expected_csv(dict.fromkeys("abcd", 20))


def test_a_video_broken_in_its_middle_leaves_no_rows(tmp_path):
    folder = tmp_path / "frames" / "film"
    folder.mkdir(parents=True)
    for second in range(40):
        Image.fromarray(lit_frame(drawn_boxes(second))).save(folder / f"{second:03d}.png")
    (folder / "020.png").write_bytes(b"no picture")
    reader = FrameFolderReader(
        tmp_path / "frames", template="{index:03d}.png", fps=1, first_index=0
    )
    plan, detector = plan_of({"film": 40}), LitDetector()
    source = FrameFolder(reader, video_start_seconds=0)
    run = detect(tmp_path / "out", plan, source, detector)
    assert detector.num_frames == 16  # the first piece; the third is not tried any more
    assert "020.png" in run.unreadable["film"]
    assert csv_of(run, tmp_path / "boxes.csv") == ""
    with pytest.raises(DataError, match=r"no keyframe could be looked at\n1 of 1 videos could not"):
        run.require_keyframes()


def test_the_shards_that_met_a_broken_video_are_named(tmp_path):
    plan = plan_of({"a": 1, "b": 1})
    (tmp_path / "videos").mkdir()
    lit_film(tmp_path / "videos" / "a.mp4", [drawn_boxes(0)])
    source = VideoFolder(tmp_path / "videos", video_start_seconds=0)
    for index in (1, 2, 3):
        run = detect(tmp_path / "out", plan, source, shard=Shard(index, 3))
    with pytest.raises(
        DataError, match=r"run again with --resume \(--shard i/n for i = 2\), or add"
    ):
        run.require_readable()


# Other ends


@pytest.mark.parametrize("missing_bytes", [1000, 5])
def test_a_full_disk_is_one_clear_line_and_the_run_goes_on(tmp_path, missing_bytes):
    """Full in the middle, and with half of the last line on the disk."""
    plan, source = plan_of({"a": 30}), LitSource({"a": 30})
    detect(tmp_path / "whole", plan, source)
    limit = journal_path(tmp_path / "whole", ONE).stat().st_size - missing_bytes
    child = os.fork()
    if child == 0:  # the limit cannot be taken back in this process
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            detect(tmp_path / "out", plan, source)
        except X3DDetError as error:
            (tmp_path / "message").write_text(str(error))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert journal_path(tmp_path / "out", ONE).stat().st_size == limit
    assert (tmp_path / "message").read_text() == (
        f"cannot write {journal_path(tmp_path / 'out', ONE)}: File too large. What was found "
        "before is kept; free some space and go on with --resume."
    )
    run = detect(tmp_path / "out", plan, source, resume=True)
    assert csv_of(run, tmp_path / "boxes.csv") == expected_csv({"a": 30})


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("a mistake of ours")])
def test_what_ends_a_run_ends_its_thread_and_lock(tmp_path, error):
    plan, source = plan_of({"a": 100}), LitSource({"a": 100})
    with pytest.raises(type(error)):
        detect(tmp_path, plan, source, LitDetector(fail_after=2, error=error))
    assert "decode" not in {thread.name for thread in threading.enumerate()}
    run = detect(tmp_path, plan, source, resume=True)
    assert csv_of(run, tmp_path / "boxes.csv") == expected_csv({"a": 100})


def test_too_large_a_batch_names_the_way_on(tmp_path):
    error = RuntimeError("CUDA out of memory. Tried to allocate 20 MiB")
    detector = LitDetector(fail_after=0, error=error)
    text = (
        "not enough memory for a batch of 5 frames of 64x48; .* --resume and a smaller --batch-size"
    )
    with pytest.raises(X3DDetError, match=text):
        detect(tmp_path, plan_of({"a": 9}), LitSource({"a": 9}), detector)


def test_a_mistake_in_the_decoding_thread_is_not_swallowed(tmp_path):
    with pytest.raises(KeyError):  # LitSource knows no such video
        detect(tmp_path, plan_of({"unknown": 3}), LitSource({"a": 3}))
