"""One reader for each form, all of one signature, so that the registry can call them alike."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from x3d_det.errors import DataError
from x3d_det.formats.ava import read_result_ground_truth
from x3d_det.formats.coco import read_coco
from x3d_det.formats.coco_persons import read_coco_persons
from x3d_det.formats.exports.imported import ImportedAnnotations, ImportOptions, ImportReader
from x3d_det.formats.frame_lists import frame_list_of_folder, read_frame_list
from x3d_det.formats.keyframe_lists import (
    keyframes_at,
    read_included_seconds,
    read_keyframes,
    read_video_list,
)
from x3d_det.formats.mmaction2 import read_dense_proposals
from x3d_det.formats.options import ConvertOptions
from x3d_det.formats.person_boxes import PersonBoxes, read_labelled_person_boxes
from x3d_det.io.ava_csv import read_annotations, read_detections
from x3d_det.io.label_map import LabelMap, read_label_map

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Loaded:
    """The content of a file.

    Args:
        table: AvaAnnotations, PersonBoxes, LabelMap, or a DataFrame, by the kind of the form.
        label_map: that the file itself brings beside its annotations.
        notes: what was left out or assumed, in words with counts.
    """

    table: Any
    label_map: LabelMap | None = None
    notes: tuple[str, ...] = ()


Reader = Callable[[Path, ConvertOptions], Loaded]


def load_annotations(path: Path, _options: ConvertOptions) -> Loaded:
    """Return the rows of an AVA, AVA-Kinetics or v1.0 csv, strictly read."""
    return Loaded(read_annotations(path))


def load_result_ground_truth(path: Path, _options: ConvertOptions) -> Loaded:
    """Return annotations in result form."""
    return Loaded(read_result_ground_truth(path))


def load_coco(path: Path, options: ConvertOptions) -> Loaded:
    """Return the annotations of a COCO data set."""
    size = options.find_frame_size()
    return _imported(read_coco(path, frame_size=size, first_id=options.first_id))


def load_export(read: ImportReader) -> Reader:
    """Return the loader of an annotation tool's export."""

    def load(path: Path, options: ConvertOptions) -> Loaded:
        wanted = ImportOptions(
            fps=options.find_fps(),
            frame_size=options.find_frame_size(),
            keyframe_interval_seconds=options.keyframe_interval_seconds,
            video_start_seconds=options.video_start_seconds or 0.0,
            video_id=options.video_id,
            label_map=options.label_map,
            person_label=options.person_label,
            action_attribute=options.action_attribute,
            first_frame_number=options.first_frame_number,
        )
        return _imported(read(path, wanted))

    return load


def load_person_boxes(path: Path, _options: ConvertOptions) -> Loaded:
    """Return the rows of a csv of LFB or PySlowFast, labels kept."""
    return _boxes(read_labelled_person_boxes(path))


def load_dense_proposals(path: Path, _options: ConvertOptions) -> Loaded:
    """Return the boxes of an MMAction2 pickle."""
    return _boxes(read_dense_proposals(path))


def load_coco_persons(path: Path, options: ConvertOptions) -> Loaded:
    """Return the person boxes of a COCO data set or of a list of results."""
    size = options.find_frame_size()
    return _boxes(read_coco_persons(path, images=options.images, frame_size=size))


def load_keyframes(path: Path, _options: ConvertOptions) -> Loaded:
    """Return a list of keyframes."""
    return Loaded(read_keyframes(path))


def load_included_seconds(path: Path, options: ConvertOptions) -> Loaded:
    """Return the keyframes that a list of seconds and a list of videos make."""
    if options.video_ids is None:
        raise DataError(
            f"{path}: a list of seconds holds for every video of a list; name that list with "
            "--video-ids."
        )
    videos = read_video_list(options.video_ids)["video_id"].tolist()
    return Loaded(keyframes_at(videos, read_included_seconds(path)))


def load_video_list(path: Path, _options: ConvertOptions) -> Loaded:
    """Return a list of video ids or file names."""
    return Loaded(read_video_list(path))


def load_label_map(path: Path, options: ConvertOptions) -> Loaded:
    """Return a label map of any form."""
    label_map = read_label_map(path, first_id=options.first_id)
    if options.first_id == 1:
        return Loaded(label_map)
    note = f"1 was added to every id: the first is now {label_map.action_ids[0]}"
    return Loaded(label_map, notes=(note,))


def load_frame_list(path: Path, _options: ConvertOptions) -> Loaded:
    """Return a frame list."""
    return Loaded(read_frame_list(path))


def load_frames_folder(path: Path, _options: ConvertOptions) -> Loaded:
    """Return the frame list of a folder."""
    return Loaded(frame_list_of_folder(path))


def load_detections(path: Path, _options: ConvertOptions) -> Loaded:
    """Return the detections of a results file; rows without a score get 1, as evaluators do."""
    rows: pd.DataFrame = read_detections(path)
    unscored, named = rows.attrs["num_unscored"], len(rows.attrs["keyframe_lines"])
    rows["score"] = rows["score"].fillna(1.0)
    counts = (
        (unscored, "rows have no score; 1 is taken, as the evaluators do"),
        (named, "rows of two columns carry no detection and are left out"),
    )
    return Loaded(rows, notes=tuple(f"{number:,} {words}" for number, words in counts if number))


def _imported(imported: ImportedAnnotations) -> Loaded:
    return Loaded(imported.annotations, imported.label_map, imported.notes)


def _boxes(boxes: PersonBoxes) -> Loaded:
    return Loaded(boxes, notes=boxes.notes)
