"""A mirror of AVA in miniature: three short films, and lists in AVA's own forms."""

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from video_files import make_video

TRAIN_ID, VAL_ID, OTHER_ID = "-5KQ66BBWC4", "1j20qq1JyX4", "_7oWZq_s_Sk"
NAMES = {TRAIN_ID: f"{TRAIN_ID}.mkv", VAL_ID: f"{VAL_ID}.mp4", OTHER_ID: f"{OTHER_ID}.mkv"}
SECONDS = 4
FPS = 25


def lists() -> dict[str, str]:
    """Return the small files of the annotation zip, by name."""
    row = "{},0902,0.077,0.151,0.283,0.811,80,1\n"
    pbtxt = 'item {\n  name: "stand"\n  id: 12\n}\nitem {\n  name: "watch"\n  id: 80\n}\n'
    labels = (
        'label {\n  name: "stand"\n  label_id: 12\n  label_type: PERSON_MOVEMENT\n}\n'
        'label {\n  name: "watch"\n  label_id: 80\n  label_type: PERSON_INTERACTION\n}\n'
    )
    return {
        "ava_train_v2.2.csv": row.format(TRAIN_ID) + row.format(OTHER_ID),
        "ava_val_v2.2.csv": row.format(VAL_ID),
        "ava_train_excluded_timestamps_v2.2.csv": f"{TRAIN_ID},0904\n",
        "ava_val_excluded_timestamps_v2.2.csv": f"{VAL_ID},0904\n",
        "ava_test_excluded_timestamps_v2.2.csv": "aaaaaaaaaaa,0904\n",
        "ava_included_timestamps_v2.2.txt": "0902\n0903\n",
        "ava_test_v2.2.txt": "aaaaaaaaaaa\n",
        "ava_action_list_v2.2.pbtxt": labels,
        "ava_action_list_v2.2_for_activitynet_2019.pbtxt": pbtxt,
    }


def zipped(files: Mapping[str, str]) -> bytes:
    """Return a zip that holds the files in a folder of its own."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, text in files.items():
            packed.writestr(f"ava_v2.2/{name}", text)
    return buffer.getvalue()


def tarred(files: Mapping[str, str]) -> bytes:
    """Return a tar.gz that holds the files in a folder of its own."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as packed:
        for name, text in files.items():
            info = tarfile.TarInfo(f"ava_kinetics_v1_0/{name}")
            info.size = len(text.encode())
            packed.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


def make_mirror(folder: Path) -> Path:
    """Lay a mirror out as the public one is: annotations/ and trainval/."""
    annotations, films = folder / "annotations", folder / "trainval"
    annotations.mkdir(parents=True)
    films.mkdir()
    (annotations / "ava_v2.2.zip").write_bytes(zipped(lists()))
    names = "".join(f"{name}\n" for name in NAMES.values())
    (annotations / "ava_file_names_trainval_v2.1.txt").write_text(names)
    box = "{},0902,0.077,0.151,0.283,0.811,,0.996382\n"
    for split, ids in {"train": (TRAIN_ID, OTHER_ID), "val": (VAL_ID,)}.items():
        text = "".join(box.format(video) for video in ids)
        (annotations / f"ava_{split}_predicted_boxes.csv").write_text(text)
    for number, name in enumerate(NAMES.values()):
        make_video(
            films / name,
            num_frames=SECONDS * FPS,
            fps=FPS,
            with_audio=number == 1,
            b_frames=2 * (number == 0),
            codec="rawvideo" if number == 2 else "libx264",  # large enough for parts of it
        )
    return folder
