"""tools/prepare_ava.py stopped anywhere: the next run goes on; two never share a folder."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ava_mirror import NAMES, OTHER_ID
from http_server import Answer
from prepared_files import files_below, frames_of

IN_ARCHIVE, IN_FILM = ".downloads/*ava_v2.2.zip.part", f".downloads/*{OTHER_ID}.mkv.part"
IN_CUT, IN_LAST_CUT = "videos/.*.tmp", f"videos/.{OTHER_ID}*.tmp"


def has_come(folder: Path, pattern: str) -> bool:
    """Return whether a file is there; of a film's part, some bytes too."""
    try:
        return any(path.stat().st_size or pattern != IN_FILM for path in folder.glob(pattern))
    except FileNotFoundError:  # it went between the two looks
        return False


@pytest.mark.parametrize(
    ("number", "moments"),
    [
        pytest.param(
            *(signal.SIGKILL, [IN_ARCHIVE, IN_CUT, IN_FILM, IN_LAST_CUT]),
            marks=pytest.mark.slow,
            id="kill",
        ),
        pytest.param(signal.SIGINT, [IN_FILM], id="ctrl-c"),
    ],
)
def test_stopped_anywhere_the_next_run_goes_on(
    repository, server, mirror, tmp_path, number, moments
):
    """In a list, in a film, in a cut; no final name ever holds a part."""
    film = f"/ava/trainval/{NAMES[OTHER_ID]}"
    slow = {IN_ARCHIVE: "/ava/annotations/ava_v2.2.zip", IN_FILM: film}
    folder = tmp_path / "ava"
    command = [
        *(sys.executable, "tools/prepare_ava.py", "--output-dir", str(folder)),
        *("--from", f"{server.base}/ava", "--accept-changed", "--jobs", "1"),
        *("--cut", "--cut-seconds", "1", "3"),
    ]
    codes = []
    for moment in [*moments, None]:
        for wanted, path in slow.items():  # Ctrl-C stops a film at its next piece
            pauses = {"pause_seconds": 1.0, "num_pauses": 4} if moment == wanted else {}
            server.files[path].default = Answer(**pauses)
        process = subprocess.Popen(
            command,
            cwd=repository,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Tests that run in the background of a shell have Ctrl-C ignored, and pass it on.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        while process.poll() is None:
            if moment is not None and has_come(folder, moment):
                process.send_signal(number)
                break
            time.sleep(0.005)
        _, errors = process.communicate(timeout=60)
        codes.append(process.returncode)
        assert "Traceback" not in errors, errors
        for path in folder.glob("films/*"):
            assert path.read_bytes() == (mirror / "trainval" / path.name).read_bytes()
        for path in folder.glob("videos/[!.]*"):
            assert len(frames_of(path)) == 50
    assert codes[-1] == 0
    # A machine may be so quick or slow that a cut passes unseen; what is slow never does.
    stopped = codes[:-1].count(-signal.SIGKILL if number == signal.SIGKILL else 130)
    assert stopped >= max(len(moments) - 1, 1), codes
    assert len(list(folder.glob("videos/*.mp4"))) == 3
    left = [name for name in files_below(folder) if name.endswith((".tmp", ".part", ".part.json"))]
    assert left == []
    assert any(server.gets(film)), "the film was not resumed"


def test_two_runs_do_not_share_a_folder(prepare, repository, server, tmp_path):
    server.files["/ava/annotations/ava_v2.2.zip"].default = Answer(pause_seconds=4)
    (tmp_path / "ava").mkdir()
    first = subprocess.Popen(
        [
            *(sys.executable, "tools/prepare_ava.py", "--output-dir", str(tmp_path / "ava")),
            *("--from", f"{server.base}/ava", "--what", "annotations"),
        ],
        cwd=repository,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    while not server.requests:
        time.sleep(0.02)
    second = prepare("--what", "annotations")
    first.kill()
    first.communicate()
    assert second.returncode == 1
    assert "another process prepares this folder" in second.stderr
