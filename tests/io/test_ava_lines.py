"""AVA's csv files: the fast reader and the one by lines agree, whatever stands in a file."""

import re

import pytest
from ava_csv_files import GOOD
from hypothesis import given, settings
from hypothesis import strategies as st

from x3d_det.errors import DataError
from x3d_det.io import ava_rows
from x3d_det.io.ava_csv import read_annotations, read_detections, read_proposals
from x3d_det.io.ava_lines import read_line_by_line

_FIELD = st.sampled_from(
    [
        "0.1",
        "0.25",
        " 0.5",
        "1",
        "+0.3",
        "\x1c0.3",
        "\xa00.3",
        ".5",
        "1e-3",
        "1.0005",
        "-0.2",
        "",
        "nan",
        "x",
        "12",
        "0",
    ]
)
_LINE = st.one_of(
    st.just(GOOD.strip()),
    st.just("v,17.5,0.1,0.2,0.5,0.6,3,1"),
    st.just("v,18"),
    st.just("v,1_8"),
    st.lists(_FIELD, min_size=1, max_size=9).map(lambda fields: ",".join(["v", *fields])),
    st.lists(_FIELD, min_size=6, max_size=6).map(lambda fields: ",".join(["w", "902", *fields])),
)


@settings(max_examples=250, deadline=None)
@given(
    lines=st.lists(_LINE, max_size=5),
    end=st.sampled_from(["\n", "\r\n"]),
    strict=st.booleans(),
    form=st.sampled_from(["annotations", "detections", "proposals"]),
)
def test_fast_and_slow_reading_agree(tmp_path_factory, lines, end, strict, form):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_bytes("".join(line + end for line in lines).encode())
    reader, strict = {
        "annotations": (lambda p: read_annotations(p, strict=strict), strict),
        "detections": (read_detections, False),
        "proposals": (read_proposals, True),
    }[form]
    row_form = getattr(ava_rows, form.upper())
    try:
        slow = read_line_by_line(path, row_form, strict=strict)
    except DataError as error:
        with pytest.raises(DataError, match=f"^{re.escape(str(error))}$"):
            reader(path)
        return
    rows = reader(path)
    if form == "proposals":
        assert len(rows) <= len(slow)
        return
    rows = rows if form == "detections" else rows.rows
    assert rows["line"].tolist() == slow.lines.tolist()
    assert rows["action_id"].tolist() == slow.labels.tolist()
    for name, corner in zip(("x1", "y1", "x2", "y2"), slow.boxes, strict=True):
        assert rows[name].tolist() == corner.tolist()


@settings(max_examples=300, deadline=None)
@given(place=st.integers(0, 4 * len(GOOD) - 1), byte=st.integers(0, 255), cut=st.booleans())
def test_a_damaged_byte_is_an_error_or_harmless(tmp_path_factory, place, byte, cut):
    # Reliability: never a traceback, never a row that the line-by-line reader reads otherwise.
    good = "".join(GOOD.replace("0902", f"090{n}") for n in range(4)).encode()
    bad = good[:place] if cut else good[:place] + bytes([byte]) + good[place + 1 :]
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_bytes(bad)
    for strict in (True, False):
        try:
            slow = read_line_by_line(path, ava_rows.ANNOTATIONS, strict=strict)
        except DataError:
            with pytest.raises(DataError, match=f"^{re.escape(str(path))}:[1-5]: "):
                read_annotations(path, strict=strict)
            continue
        rows = read_annotations(path, strict=strict).rows
        names = [slow.video_names[code] for code in slow.video_codes]
        assert rows["video_id"].tolist() == names
        assert rows["timestamp"].tolist() == slow.timestamps.tolist()
        assert rows["line"].tolist() == slow.lines.tolist()
