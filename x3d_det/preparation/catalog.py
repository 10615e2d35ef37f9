"""Which files AVA v2.2 is made of, where the public has them, and how a copy is recognised.

Sources, read in stored copies; nothing here was tried over a network:
- videos, file lists and ava_v2.2.zip: README of github.com/cvdfoundation/ava-dataset (the Common
  Visual Data Foundation hosts them on Amazon S3);
- the zip and single files at the AVA page: research.google.com/ava/download.html, as used by
  MMAction2 (tools/data/ava/download_annotations.sh) and PySlowFast (slowfast/datasets/DATASET.md);
- person boxes: DATASET.md of github.com/facebookresearch/video-long-term-feature-banks;
- AVA-Kinetics: MMAction2, tools/data/ava_kinetics/README.md (DeepMind's bucket), and the README
  of github.com/cvdfoundation/kinetics-dataset.
"""

import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from x3d_det.io.remote import is_web

Split = Literal["train", "val", "test"]
Form = Literal["annotations", "person boxes", "keyframes", "label map", "text", "video"]

AVA_MIRROR = "https://s3.amazonaws.com/ava-dataset"
_AVA_PAGE = "https://research.google.com/ava/download"
_BOXES = "https://dl.fbaipublicfiles.com/video-long-term-feature-banks/data/ava/annotations"
_KINETICS = (
    "https://storage.googleapis.com/deepmind-media/Datasets/ava_kinetics_v1_0.tar.gz",
    "https://s3.amazonaws.com/kinetics/700_2020/annotations/ava_kinetics_v1_0.tar.gz",
)
_ZIP = "ava_v2.2.zip"
_KINETICS_TAR = "ava_kinetics_v1_0.tar.gz"
ANNOTATIONS_FOLDER = "annotations"
KINETICS_FOLDER = "annotations/ava_kinetics_v1.0"
BOXES_FOLDER = "person_boxes"
FILMS_FOLDER = "films"
CUTS_FOLDER = "videos"

# What `git hash-object` prints for the official file: sha1 of "blob LENGTH\0" and the bytes.
# Each is that of two public repositories at least.
_OFFICIAL = {
    "ava_train_v2.2.csv": "37e406908fb61332f4e6843bf86ae6cbb0f4f9e6",
    "ava_val_v2.2.csv": "c543206f4047604617d83413d74cba2353b2c486",
    "ava_train_excluded_timestamps_v2.2.csv": "9db64a583945da27da7c42f49f7c754d636fa37b",
    "ava_val_excluded_timestamps_v2.2.csv": "cfc1b1179a5530d07d6a6e4fa7eeb90fa8a87a2f",
    "ava_test_excluded_timestamps_v2.2.csv": "2082715f073e717d1da7ea5b08ed0d552e50f3d2",
    "ava_included_timestamps_v2.2.txt": "0475eb7493988239db9d75e67d07df02c9392b10",
    "ava_test_v2.2.txt": "b254e92c5f014b32703bb2b686c01ba5a0c50de5",
    "ava_action_list_v2.2.pbtxt": "d400eff9ed10affa508acae6d8fe83fe4be1809b",
    "ava_action_list_v2.2_for_activitynet_2019.pbtxt": "5e2c485682830919a09300ac851e6b0e4bdf3efb",
    "ava_file_names_trainval_v2.1.txt": "39642ac0bca6a077535059ecdb7a5126150ecdf3",
    "ava_file_names_test_v2.1.txt": "d6ed53fa671232aa12ed0a6fc51962957c43ed31",
}
# Other editions under the same name, to be named when met.
EDITIONS = {"cd85aaddec80afa59712f7058ee7929b5207d70f": "the AVA-Kinetics edition of ava_val_v2.2"}
_NEEDED_BY_CONFIGS = frozenset(
    {
        "ava_train_v2.2.csv",
        "ava_val_v2.2.csv",
        "ava_train_excluded_timestamps_v2.2.csv",
        "ava_val_excluded_timestamps_v2.2.csv",
        "ava_action_list_v2.2_for_activitynet_2019.pbtxt",
    }
)
KNOWN_TROUBLE = {
    "_7oWZq_s_Sk": "this film does not convert cleanly with the usual ffmpeg scripts; compare its "
    "frames with the boxes (tools/visualize_ava.py)",
}


@dataclass(frozen=True, kw_only=True)
class Source:
    """One place that has a file."""

    url: str
    member: str | None = None
    """The file is what an archive at `url` holds under this name, in any folder."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """One file of the data set.

    Args:
        path: where it belongs, below the data set's folder.
        form: what it must be readable as.
        sources: where to look, in this order.
        git_blob: hash of the official file, where it is known.
        is_required: a data set without it is not complete.
    """

    path: str
    form: Form
    sources: tuple[Source, ...]
    git_blob: str | None = None
    is_required: bool = True

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return self.path.rpartition("/")[2]


def annotation_files(mirror: str | None) -> list[Wanted]:
    """Return AVA v2.2's lists, less those of file names.

    Args:
        mirror: a folder or the base of URLs; None takes the public ones.
    """
    names = [name for name in _OFFICIAL if "file_names" not in name]
    return [_annotation(name, mirror) for name in names]


def file_name_list(split: Split, mirror: str | None) -> Wanted:
    """Return the list of file names that holds a split's videos."""
    group = _group(split)
    name = f"ava_file_names_{group}_v2.1.txt"
    bases = _below(mirror, "annotations", "") if mirror else [f"{AVA_MIRROR}/annotations"]
    return Wanted(
        path=f"{ANNOTATIONS_FOLDER}/{name}",
        form="text",
        sources=tuple(Source(url=_join(base, name)) for base in bases),
        git_blob=_OFFICIAL[name],
    )


def split_annotations(split: Split, mirror: str | None) -> Wanted:
    """Return the file whose first column names a split's videos."""
    name = "ava_test_v2.2.txt" if split == "test" else f"ava_{split}_v2.2.csv"
    return _annotation(name, mirror)


def box_files(splits: Sequence[Split], mirror: str | None) -> list[Wanted]:
    """Return the predicted person boxes of Long-Term Feature Banks."""
    names = [f"ava_{split}_predicted_boxes.csv" for split in splits]
    bases = _below(mirror, BOXES_FOLDER, "annotations", "") if mirror else [_BOXES]
    return [
        Wanted(
            path=f"{BOXES_FOLDER}/{name}",
            form="person boxes",
            sources=tuple(Source(url=_join(base, name)) for base in bases),
        )
        for name in names
    ]


def kinetics_files(mirror: str | None) -> list[Wanted]:
    """Return AVA-Kinetics' lists; the clips they name are Kinetics-700's."""
    forms: dict[str, Form] = {
        "kinetics_train_v1.0.csv": "annotations",
        "kinetics_val_v1.0.csv": "annotations",
        "kinetics_test_v1.0.csv": "keyframes",
        "ava_train_v2.2.csv": "annotations",
        "ava_val_v2.2.csv": "annotations",
        "ava_test_v2.2.csv": "keyframes",
    }
    tars = list(_KINETICS)
    if mirror:
        tars = [_join(base, _KINETICS_TAR) for base in _below(mirror, "annotations", "")]
    return [
        Wanted(
            path=f"{KINETICS_FOLDER}/{name}",
            form=form,
            sources=tuple(Source(url=tar, member=name) for tar in tars),
            is_required=name in ("kinetics_train_v1.0.csv", "kinetics_val_v1.0.csv"),
        )
        for name, form in forms.items()
    ]


def film_file(name: str, split: Split, mirror: str | None) -> Wanted:
    """Return a whole film.

    Args:
        name: its file name, ending included.
        split: decides the folder of the public mirror.
        mirror: as in `annotation_files`.
    """
    group = _group(split)
    bases = _below(mirror, group, FILMS_FOLDER, "") if mirror else [f"{AVA_MIRROR}/{group}"]
    return Wanted(
        path=f"{FILMS_FOLDER}/{name}",
        form="video",
        sources=tuple(Source(url=_join(base, name)) for base in bases),
    )


def _annotation(name: str, mirror: str | None) -> Wanted:
    if mirror:
        bases = _below(mirror, "annotations", "")
        sources = [Source(url=_join(base, name)) for base in bases]
        sources += [Source(url=_join(base, _ZIP), member=name) for base in bases]
    else:
        sources = [
            Source(url=f"{AVA_MIRROR}/annotations/{_ZIP}", member=name),
            Source(url=f"{_AVA_PAGE}/{_ZIP}", member=name),
            Source(url=f"{_AVA_PAGE}/{name}"),
        ]
    return Wanted(
        path=f"{ANNOTATIONS_FOLDER}/{name}",
        form=_form(name),
        sources=tuple(sources),
        git_blob=_OFFICIAL[name],
        is_required=name in _NEEDED_BY_CONFIGS,
    )


def _form(name: str) -> Form:
    if name.endswith(".pbtxt"):
        return "label map"
    if "timestamps" in name and name.endswith(".csv"):
        return "keyframes"
    return "annotations" if name.endswith(".csv") else "text"


def _group(split: Split) -> str:
    return "test" if split == "test" else "trainval"


def _below(mirror: str, *folders: str) -> list[str]:
    return [_join(mirror, folder) if folder else mirror for folder in folders]


def _join(base: str, name: str) -> str:
    is_url = is_web(base) or base.lower().startswith("file:")
    return f"{base.rstrip('/')}/{urllib.parse.quote(name) if is_url else name}"
