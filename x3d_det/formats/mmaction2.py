"""MMAction2's dense proposals: a pickled dict `video,0902` -> N x 5 (x1, y1, x2, y2, score).

Read by a loader that runs nothing of the file; written so that any NumPy reads it.
"""

import os
import pickle
import re
from typing import TYPE_CHECKING

import numpy as np

from x3d_det.errors import DataError
from x3d_det.formats.foreign_files import Faults, FileFault
from x3d_det.formats.person_boxes import PersonBoxes
from x3d_det.formats.rows import key_texts
from x3d_det.io.ava_csv import COORDINATES
from x3d_det.io.ava_rows import CLIP_TOLERANCE, NUMBER
from x3d_det.io.files import atomic_write
from x3d_det.io.safe_pickle import load_plain_pickle

if TYPE_CHECKING:
    import pandas as pd

# Protocol 3 names NumPy's function by one line of text and only once; 4 would put it inside a
# frame of counted length. NumPy 2 calls the module numpy._core, which older ones, those of
# MMAction2, do not have; numpy.core is understood by all.
_PROTOCOL = 3
_NEW_NAME = b"cnumpy._core.multiarray\n_reconstruct\n"
_KNOWN_NAME = b"cnumpy.core.multiarray\n_reconstruct\n"
_BAD_MARKS = re.compile(r'[/\\"\0\r\n]|\.\.')


def read_dense_proposals(path: str | os.PathLike[str]) -> PersonBoxes:
    """Return the person boxes of an MMAction2 proposal pickle, in its order.

    Arrays of N x 4 have no score, as MMAction2 allows: 1 is taken, and a note counts them.
    Arrays without a row become empty keyframes.

    Raises:
        DataError: no plain pickle, or no dict; all faults with their key: not
            `video,second`, a keyframe twice, no array of N x 5 numbers, a value that is not
            finite, a box outside the frame, upside down or twice, a score outside [0, 1].
    """
    content = load_plain_pickle(path)
    if not isinstance(content, dict) or not content:
        found = "an empty dict" if content == {} else f"a {type(content).__name__}"
        raise DataError(
            f"{path}: holds {found}; MMAction2's proposals are a dict of arrays "
            "(N x 5: x1, y1, x2, y2, score) by 'video,0902'."
        )
    faults = Faults(path)
    keys: dict[tuple[str, float], str] = {}
    arrays: list[np.ndarray] = []
    num_unscored = 0
    for key, value in content.items():
        with faults.collecting():
            keyframe = _keyframe(key)
            if keyframe in keys:
                raise FileFault(
                    f": {key!r}", f"is the keyframe of {keys[keyframe]!r} again; join their boxes."
                )
            array = _array(key, value)
            if array.shape[1] == 4:
                num_unscored += len(array)
                array = np.column_stack([array, np.ones(len(array))])
            keys[keyframe] = key
            arrays.append(array.astype(np.float64))
    counts = np.array([len(array) for array in arrays], np.int64)
    boxes_N5 = np.concatenate([np.empty((0, 5)), *arrays])
    _note_bad_values(boxes_N5, np.repeat(np.arange(len(keys)), counts), list(keys.values()), faults)
    faults.raise_if_any()
    return _person_boxes(list(keys), counts, boxes_N5, num_unscored)


def write_dense_proposals(rows: "pd.DataFrame", path: str | os.PathLike[str]) -> None:
    """Write person boxes as MMAction2 reads them; keyframes in the order of their first row.

    A keyframe without a box gets no key: MMAction2 stops at an array without rows (it takes
    the largest score of each), and takes the whole frame as a box where a key is missing.

    Args:
        rows: video_id, timestamp, x1, y1, x2, y2, score; each box once.
        path: the file.

    Raises:
        DataError: a video id that the keys cannot hold; the file cannot be written.

    Source: MMAction2, mmaction/datasets/ava_dataset.py, for what its reader does.
    """
    proposals: dict[str, np.ndarray] = {}
    keys = np.array([",".join(key) for key in zip(*key_texts(rows, path), strict=True)], object)
    boxes_N5 = rows[[*COORDINATES, "score"]].to_numpy(np.float64)
    names, places = np.unique(keys.astype(str), return_inverse=True)
    order = np.argsort(places, kind="stable")
    starts = np.searchsorted(places[order], np.arange(len(names)))
    for first in np.argsort(order[starts], kind="stable"):
        last = starts[first + 1] if first + 1 < len(starts) else len(order)
        proposals[str(names[first])] = boxes_N5[order[starts[first] : last]]
    data = pickle.dumps(proposals, protocol=_PROTOCOL).replace(_NEW_NAME, _KNOWN_NAME, 1)
    with atomic_write(path, "wb") as file:
        file.write(data)


def _keyframe(key: object) -> tuple[str, float]:
    """Return video and second of a key."""
    video_id, comma, second = str(key).rpartition(",")
    if not isinstance(key, str) or not comma or not NUMBER.fullmatch(second) or second[0] == "-":
        raise FileFault(f": {key!r}", "is no key of the form 'video,0902'.")
    if not video_id or video_id != video_id.strip() or _BAD_MARKS.search(video_id):
        raise FileFault(
            f": {key!r}", "the video id must be a bare file name without folder and suffix."
        )
    return video_id, float(second)


def _array(key: str, value: object) -> np.ndarray:
    """Return the boxes of a key, which must be an array of N x 5 or N x 4 numbers."""
    if not isinstance(value, np.ndarray):
        raise FileFault(f": {key!r}", f"holds a {type(value).__name__}, not an array of N x 5.")
    if value.ndim != 2 or value.shape[1] not in (4, 5) or value.dtype.kind not in "fiu":
        raise FileFault(
            f": {key!r}",
            f"has the shape {value.shape} of {value.dtype}; it must be N x 5 numbers "
            "(x1, y1, x2, y2, score), or N x 4 without scores.",
        )
    return value


def _note_bad_values(
    boxes_N5: np.ndarray, key_of_row: np.ndarray, keys: list[str], faults: Faults
) -> None:
    """Note every row that is no box of a person, by its key and its place in the array."""
    import pandas as pd

    is_finite = np.isfinite(boxes_N5).all(axis=1)
    corners = np.nan_to_num(boxes_N5[:, :4])
    clipped = np.clip(corners, 0, 1)
    is_outside = (np.abs(corners - clipped) > CLIP_TOLERANCE).any(axis=1)
    is_flat = (clipped[:, :2] >= clipped[:, 2:]).any(axis=1)
    is_unlikely = (boxes_N5[:, 4] < 0) | (boxes_N5[:, 4] > 1)
    is_again = pd.DataFrame(np.column_stack([key_of_row, boxes_N5])).duplicated().to_numpy()
    for is_bad, text in (
        (~is_finite, "must be finite numbers."),
        (is_finite & is_outside, "has corners outside [0, 1]; divide pixels by width and height."),
        (is_finite & ~is_outside & is_flat, "is upside down; x1 < x2 and y1 < y2."),
        (is_unlikely, "has a score outside [0, 1]."),
        (is_finite & is_again, "is there twice; remove one."),
    ):
        for row in np.flatnonzero(is_bad).tolist():
            place = row - int(np.searchsorted(key_of_row, key_of_row[row]))
            values = ", ".join(f"{value:.6g}" for value in boxes_N5[row])
            faults.add(f": {keys[key_of_row[row]]!r}", f"box {place} ({values}) {text}")


def _person_boxes(
    keyframes: list[tuple[str, float]],
    counts: np.ndarray,
    boxes_N5: np.ndarray,
    num_unscored: int,
) -> PersonBoxes:
    import pandas as pd

    named = pd.DataFrame(
        {
            "video_id": np.array([video_id for video_id, _ in keyframes], dtype=object),
            "timestamp": np.array([second for _, second in keyframes], np.float64),
            "line": np.arange(1, len(keyframes) + 1),
        }
    )
    rows = named.loc[np.repeat(named.index, counts), ["video_id", "timestamp"]]
    rows = rows.reset_index(drop=True)
    for place, name in enumerate(COORDINATES):
        rows[name] = np.clip(boxes_N5[:, place], 0, 1)
    rows["label"] = pd.array([pd.NA] * len(rows), dtype="Int64")
    rows["score"] = boxes_N5[:, 4]
    rows["line"] = np.arange(1, len(rows) + 1)
    unscored = (f"{num_unscored:,} boxes have no score; 1 is taken",) if num_unscored else ()
    return PersonBoxes(rows, named[counts == 0].reset_index(drop=True), unscored)
