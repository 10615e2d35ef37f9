"""Every form of file by name: its kind, what reads and writes it, and which options it heeds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from x3d_det.formats import form_readers as read
from x3d_det.formats import form_writers as write
from x3d_det.formats.exports.coco_video import read_coco_video
from x3d_det.formats.exports.cvat import read_cvat
from x3d_det.formats.exports.via import read_via
from x3d_det.formats.form_readers import Reader
from x3d_det.formats.form_writers import Writer

Kind = Literal[
    "annotations", "person boxes", "detections", "keyframes", "videos", "label map", "frame list"
]

_SIZE = frozenset({"videos", "frame_size"})
_DECIMALS = frozenset({"decimals"})
_EXPORT_OPTIONS = _SIZE | {
    "fps",
    "keyframe_interval_seconds",
    "video_start_seconds",
    "video_id",
    "label_map",
    "action_attribute",
    "first_frame_number",
}


@dataclass(frozen=True, kw_only=True)
class Form:
    """One form of file.

    Args:
        name: as the command knows it.
        kind: what it holds.
        suffixes: of files of this form.
        summary: what a line of it holds and who writes it.
        read, write: None where this direction does not exist.
        read_options, write_options: fields of `ConvertOptions` that the direction heeds.
    """

    name: str
    kind: Kind
    suffixes: tuple[str, ...]
    summary: str
    read: Reader | None = None
    write: Writer | None = None
    read_options: frozenset[str] = frozenset()
    write_options: frozenset[str] = frozenset()


_CSV = (".csv", ".csv.gz")
_TEXT = (".txt",)


def _forms() -> Iterable[Form]:
    """Yield the forms; of one kind and suffix the first is the one written by default."""
    yield Form(
        name="ava",
        kind="annotations",
        suffixes=_CSV,
        summary="AVA v2.1, v2.2: video,0902,x1,y1,x2,y2,action,person; or video,0902",
        read=read.load_annotations,
        write=write.annotation_rows("ava"),
        write_options=_DECIMALS,
    )
    yield Form(
        name="ava-v1.0",
        kind="annotations",
        suffixes=_CSV,
        summary="AVA v1.0: the same without person",
        read=read.load_annotations,
        write=write.annotation_rows("ava-v1.0"),
        write_options=_DECIMALS,
    )
    yield Form(
        name="ava-kinetics",
        kind="annotations",
        suffixes=_CSV,
        summary="AVA-Kinetics: without person, seconds and boxes with six decimals",
        read=read.load_annotations,
        write=write.annotation_rows("ava-kinetics"),
        write_options=_DECIMALS,
    )
    yield Form(
        name="result-ground-truth",
        kind="annotations",
        suffixes=_CSV,
        summary="ground truth in result form (PySlowFast): score 1.0000 in place of the person",
        read=read.load_result_ground_truth,
        write=write.annotation_rows("result-ground-truth"),
        write_options=_DECIMALS,
    )
    yield Form(
        name="coco",
        kind="annotations",
        suffixes=(".json",),
        summary="COCO data set: images are keyframes, categories are actions, track_id the person",
        read=read.load_coco,
        write=write.coco,
        read_options=_SIZE | {"first_id"},
        write_options=_SIZE | {"label_map"},
    )
    yield Form(
        name="cvat",
        kind="annotations",
        suffixes=(".xml", ".zip"),
        summary="export of CVAT (CVAT for video 1.1, CVAT for images 1.1)",
        read=read.load_export(read_cvat),
        read_options=_EXPORT_OPTIONS | {"person_label"},
    )
    yield Form(
        name="via",
        kind="annotations",
        suffixes=(".json", ".csv"),
        summary="project or export of VIA (VGG Image Annotator 2, VIA 3)",
        read=read.load_export(read_via),
        read_options=_EXPORT_OPTIONS,
    )
    yield Form(
        name="coco-video",
        kind="annotations",
        suffixes=(".json", ".zip"),
        summary="COCO with a list of videos and frame numbers",
        read=read.load_export(read_coco_video),
        read_options=_EXPORT_OPTIONS | {"person_label"},
    )
    yield Form(
        name="person-boxes",
        kind="person boxes",
        suffixes=_CSV,
        summary="predicted boxes of LFB, PySlowFast: video,0902,x1,y1,x2,y2,label or empty,score",
        read=read.load_person_boxes,
        write=write.person_boxes,
        write_options=_DECIMALS,
    )
    yield Form(
        name="mmaction2-proposals",
        kind="person boxes",
        suffixes=(".pkl", ".pickle"),
        summary="dense proposals of MMAction2: pickled dict video,0902 -> N x 5 array",
        read=read.load_dense_proposals,
        write=write.dense_proposals,
    )
    yield Form(
        name="coco-persons",
        kind="person boxes",
        suffixes=(".json",),
        summary="COCO data set with the category person",
        read=read.load_coco_persons,
        write=write.coco_persons,
        read_options=_SIZE,
        write_options=_SIZE,
    )
    yield Form(
        name="coco-results",
        kind="person boxes",
        suffixes=(".json",),
        summary="list of COCO results, counting the images of --images",
        read=read.load_coco_persons,
        write=write.coco_results,
        read_options=_SIZE | {"images"},
        write_options=_SIZE | {"images"},
    )
    yield Form(
        name="detections",
        kind="detections",
        suffixes=_CSV,
        summary="results of ActivityNet, PySlowFast, MMAction2: ...,action,score",
        read=read.load_detections,
        write=write.detections,
        write_options=_DECIMALS,
    )
    yield Form(
        name="keyframes",
        kind="keyframes",
        suffixes=_CSV,
        summary="exclusion, inclusion or test list: video,0902",
        read=read.load_keyframes,
        write=write.keyframes,
    )
    yield Form(
        name="included-seconds",
        kind="keyframes",
        suffixes=_TEXT,
        summary="seconds for every video of --video-ids, one a line",
        read=read.load_included_seconds,
        write=write.included_seconds,
        read_options=frozenset({"video_ids"}),
    )
    yield Form(
        name="video-ids",
        kind="videos",
        suffixes=_TEXT,
        summary="ids of videos, one a line",
        read=read.load_video_list,
        write=write.video_ids,
    )
    yield Form(
        name="file-names",
        kind="videos",
        suffixes=_TEXT,
        summary="file names of videos, one a line",
        read=read.load_video_list,
        write=write.file_names,
        write_options=frozenset({"videos"}),
    )
    yield Form(
        name="frame-list",
        kind="frame list",
        suffixes=_CSV,
        summary="frame list of PySlowFast: original_vido_id video_id frame_id path labels",
        read=read.load_frame_list,
        write=write.frame_list,
    )
    yield Form(
        name="frames-folder",
        kind="frame list",
        suffixes=(),
        summary="folder with a folder of pictures for each video",
        read=read.load_frames_folder,
    )
    yield from _label_maps()


def _label_maps() -> Iterable[Form]:
    names: tuple[tuple[str, tuple[str, ...], str, Writer], ...] = (
        ("pbtxt", (".pbtxt",), "AVA's 80 actions: label { name, label_id, label_type }",
         write.label_map("label")),
        ("pbtxt-item", (".pbtxt",), "AVA's evaluated 60: item { name, id }",
         write.label_map("item")),
        ("label-csv", (".csv",), "action_id,name,group; or two columns without a header",
         write.label_map("csv")),
        ("label-json", (".json",), '{"1": "stand"}; read too: {"stand": 1}, ["stand"], categories',
         write.label_map("json")),
        ("label-text", (".txt",), "MMAction2's label_map.txt: 1: stand",
         write.label_map("text")),
    )  # fmt: skip
    for name, suffixes, summary, writer in names:
        yield Form(
            name=name,
            kind="label map",
            suffixes=suffixes,
            summary=summary,
            read=read.load_label_map,
            write=writer,
            read_options=frozenset({"first_id"}),
        )


FORMS: Mapping[str, Form] = {form.name: form for form in _forms()}
"""Name -> form."""
