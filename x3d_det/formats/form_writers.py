"""One writer for each form; each returns what the form could not hold, in words with counts."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from x3d_det.errors import DataError
from x3d_det.formats.ava import AnnotationForm, write_annotation_rows
from x3d_det.formats.coco import write_coco_annotations
from x3d_det.formats.coco_persons import write_coco_persons, write_coco_results
from x3d_det.formats.frame_lists import write_frame_list
from x3d_det.formats.keyframe_lists import (
    write_file_names,
    write_included_seconds,
    write_keyframes,
    write_video_ids,
)
from x3d_det.formats.mmaction2 import write_dense_proposals
from x3d_det.formats.options import ConvertOptions, find_video
from x3d_det.formats.person_boxes import (
    PersonBoxes,
    merged_boxes,
    write_labelled_person_boxes,
)
from x3d_det.formats.rows import rounding_notes
from x3d_det.io.ava_csv import COORDINATES, AvaAnnotations, write_detections
from x3d_det.io.label_map import LabelMap, LabelMapForm, write_label_map

if TYPE_CHECKING:
    import pandas as pd

Notes = tuple[str, ...]
Writer = Callable[[Any, Path, ConvertOptions], Notes]


def annotation_rows(form: AnnotationForm) -> Writer:
    """Return the writer of a csv form of annotations."""

    def write(annotations: AvaAnnotations, path: Path, options: ConvertOptions) -> Notes:
        notes = _rounding(annotations.rows, options)
        write_annotation_rows(annotations, path, form=form, decimals=options.decimals)
        num_persons = int((annotations.rows["person_id"] >= 0).sum())
        num_empty = len(annotations.empty_keyframes)
        return notes + _counted(
            (num_persons if form != "ava" else 0, "person ids are left out"),
            (num_empty if form == "result-ground-truth" else 0, "empty keyframes are left out"),
        )

    return write


def coco(annotations: AvaAnnotations, path: Path, options: ConvertOptions) -> Notes:
    """Write annotations as COCO; without a label map, categories are called after their ids."""
    label_map = options.label_map
    notes: Notes = ()
    if label_map is None:
        ids = sorted(set(annotations.rows["action_id"].tolist()))
        label_map = LabelMap({action_id: f"action_{action_id}" for action_id in ids})
        notes = (f"{len(ids)} categories are called action_1 and so on; --label-map names them",)
    size = options.need_frame_size("boxes of COCO")
    write_coco_annotations(annotations, path, label_map=label_map, frame_size=size)
    return notes + _not_empty(annotations)


def person_boxes(boxes: PersonBoxes, path: Path, options: ConvertOptions) -> Notes:
    """Write person boxes as LFB and PySlowFast do."""
    notes = _rounding(boxes.rows, options)
    write_labelled_person_boxes(boxes.rows, path, decimals=options.decimals)
    return notes + _counted((len(boxes.empty_keyframes), "keyframes without a box are left out"))


def dense_proposals(boxes: PersonBoxes, path: Path, _options: ConvertOptions) -> Notes:
    """Write person boxes as MMAction2 does."""
    rows, notes = _unlabelled(boxes)
    write_dense_proposals(rows, path)
    words = "keyframes without a box are left out; MMAction2 takes the whole frame there"
    return notes + _counted((len(boxes.empty_keyframes), words))


def coco_persons(boxes: PersonBoxes, path: Path, options: ConvertOptions) -> Notes:
    """Write person boxes as a COCO data set."""
    rows, notes = _unlabelled(boxes)
    size = options.need_frame_size("boxes of COCO")
    write_coco_persons(PersonBoxes(rows, boxes.empty_keyframes), path, frame_size=size)
    return notes + _not_empty(boxes)


def coco_results(boxes: PersonBoxes, path: Path, options: ConvertOptions) -> Notes:
    """Write person boxes as a list of COCO results."""
    if options.images is None:
        raise DataError(
            f"{path}: a list of COCO results counts the images of a data set; name it with "
            "--images."
        )
    rows, notes = _unlabelled(boxes)
    size = options.find_frame_size()
    write_coco_results(rows, path, images=options.images, frame_size=size)
    return notes + _counted((len(boxes.empty_keyframes), "keyframes without a box are left out"))


def keyframes(rows: "pd.DataFrame", path: Path, _options: ConvertOptions) -> Notes:
    """Write a list of keyframes."""
    write_keyframes(rows, path)
    return ()


def included_seconds(rows: "pd.DataFrame", path: Path, _options: ConvertOptions) -> Notes:
    """Write the seconds that hold for all videos of a list of keyframes."""
    write_included_seconds(rows, path)
    return _counted((rows["video_id"].nunique(), "video ids are left out; write video-ids too"))


def video_ids(rows: "pd.DataFrame", path: Path, _options: ConvertOptions) -> Notes:
    """Write a list of video ids."""
    write_video_ids(rows, path)
    return _counted((int((rows["file_name"] != "").sum()), "suffixes of file names are left out"))


def file_names(rows: "pd.DataFrame", path: Path, options: ConvertOptions) -> Notes:
    """Write a list of file names."""
    folder = options.videos
    find_name = None if folder is None else (lambda video_id: find_video(folder, video_id).name)
    write_file_names(rows, path, find_name=find_name)
    return ()


def label_map(form: LabelMapForm) -> Writer:
    """Return the writer of a form of label maps."""

    def write(labels: LabelMap, path: Path, _options: ConvertOptions) -> Notes:
        write_label_map(labels, path, form=form)
        num_groups = 0 if form in ("label", "csv") else len(labels.groups)
        return _counted((num_groups, "groups of actions are left out"))

    return write


def frame_list(rows: "pd.DataFrame", path: Path, _options: ConvertOptions) -> Notes:
    """Write a frame list."""
    write_frame_list(rows, path)
    return ()


def detections(rows: "pd.DataFrame", path: Path, options: ConvertOptions) -> Notes:
    """Write detections in ActivityNet's form, every digit of scores kept."""
    notes: Notes = ()
    if options.decimals is not None:
        corners = rows[list(COORDINATES)]
        rounded = corners.round(options.decimals)
        num_changed = int((rounded != corners).any(axis=1).sum())
        notes = _counted((num_changed, f"boxes are rounded to {options.decimals} decimals"))
        rows = rows.assign(**{name: rounded[name] for name in COORDINATES})
    write_detections(rows, path)
    return notes


def _unlabelled(boxes: PersonBoxes) -> tuple["pd.DataFrame", Notes]:
    """Return each box once and without label, and what that leaves out."""
    rows = merged_boxes(boxes.rows)
    return rows, _counted(
        (int(boxes.rows["label"].notna().sum()), "labels are left out"),
        (len(boxes.rows) - len(rows), "rows repeat a box and are joined with its first"),
    )


def _not_empty(content: AvaAnnotations | PersonBoxes) -> Notes:
    """Tell of keyframes that are named as empty and have boxes too: AVA-Kinetics has some."""
    keys = ["video_id", "timestamp"]
    both = content.empty_keyframes.merge(content.rows[keys].drop_duplicates(), on=keys)
    return _counted((len(both), "keyframes are named as empty but have boxes: not empty now"))


def _rounding(rows: "pd.DataFrame", options: ConvertOptions) -> Notes:
    return () if options.decimals is None else rounding_notes(rows, options.decimals)


def _counted(*counts: tuple[int, str]) -> Notes:
    return tuple(f"{number:,} {words}" for number, words in counts if number)
