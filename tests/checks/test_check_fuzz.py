"""Random damage to valid files: a finding with file and line, or the parse of a second reader.

The second reader below shares no code with the package. It may accept what the check refuses,
never the other way round: a file without an error must read as it reads here.

X3D_DET_MUTATIONS sets the number of mutations of each file (10,000 takes some minutes).
"""

import os
import random
import re
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_dataset import ACTIONS, config_of, make_tables

from x3d_det.checks.dataset import check_dataset
from x3d_det.checks.labels import read_checked_label_map
from x3d_det.checks.tables import SplitFiles, read_split

NUM_MUTATIONS = int(os.environ.get("X3D_DET_MUTATIONS", "200"))
FIELDS = (
    *("", " ", "0", "-1", "1", "1.0", "1e-3", "1e400", "nan", "inf", "-0", "+0.5", ".5", "0x1"),
    *("1_0", "0902", "902.5", "x", '"v"', "..", "../v", "a/b", "a\\b", "v0 ", "\t0.5", "١"),
    *("0.3000000000000000444", "99999999999999999999", "é", "\0", "\ufeff", "﻿v0", "1,2"),
)


@dataclass(frozen=True)
class Mutation:
    """A change of a file, drawn from a seed so that a failure can be repeated."""

    seed: int

    def apply(self, content: bytes) -> bytes:
        """Return the content with one to three changes of bytes, fields or lines."""
        draw = random.Random(self.seed)
        for _ in range(draw.choice([1, 1, 1, 2, 3])):
            content = draw.choice([_bytes, _bytes, _field, _field, _lines])(content, draw)
        return content


def _bytes(content: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(content) + 1)
    new = bytes([draw.choice([draw.randrange(256), *b'0129.,-+eE\n\r\t "{}:;\x00\xef\x0c\x1c'])])
    kind = draw.randrange(4)
    if kind == 0:
        return content[:place] + new + content[place:]
    if kind == 1:
        return content[:place] + content[place + 1 :]
    if kind == 2:
        return content[:place]
    return content[:place] + new + content[place + 1 :]


def _field(content: bytes, draw: random.Random) -> bytes:
    lines = content.split(b"\n")
    line = draw.randrange(len(lines))
    fields = lines[line].split(b",")
    fields[draw.randrange(len(fields))] = draw.choice(FIELDS).encode()
    lines[line] = b",".join(fields)
    return b"\n".join(lines)


def _lines(content: bytes, draw: random.Random) -> bytes:
    lines = content.split(b"\n")
    first, second = draw.randrange(len(lines)), draw.randrange(len(lines))
    kind = draw.randrange(5)
    if kind == 0:
        lines.insert(first, lines[second])
    elif kind == 1:
        lines.pop(first)
    elif kind == 2:
        lines[first], lines[second] = lines[second], lines[first]
    elif kind == 3:
        lines[first] = lines[first].replace(b",", draw.choice([b"\t", b";", b", ", b""]))
    else:
        return b"\r\n".join(lines)
    return b"\n".join(lines)


# The second reader


def _rows(content: bytes, widths: tuple[int, ...]) -> list[tuple[int, list[str]]]:
    """Return (line, fields) of every line that is not blank; ValueError for what is no table."""
    text = content.decode("utf-8")
    if text.startswith("\ufeff"):
        raise ValueError("byte order mark")
    rows = []
    for number, line in enumerate(re.split("\r\n|\n|\r", text), start=1):
        if not line.strip(" \t"):
            continue
        fields = line.split(",")
        if len(fields) not in widths or '"' in line:
            raise ValueError(line)
        rows.append((number, fields))
    if not rows:
        raise ValueError("empty")
    return rows


def _number(text: str) -> float:
    text = text.strip(" \t")
    if not text or not text.isascii() or set(text) - set("0123456789+-.eE"):
        raise ValueError(text)
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(text)
    return value


def _box(fields: list[str]) -> list[float]:
    corners = [_number(field) for field in fields]
    if not all(-0.001 <= corner <= 1.001 for corner in corners):
        raise ValueError(fields)
    x1, y1, x2, y2 = corners = [max(0.0, min(1.0, corner)) for corner in corners]
    if x1 >= x2 or y1 >= y2:
        raise ValueError(fields)
    return corners


def _video(text: str) -> str:
    if not text or text != text.strip() or re.search(r"[/\\\0]|\.\.", text):
        raise ValueError(text)
    return text


def _second(text: str) -> float:
    value = _number(text)
    if value < 0:
        raise ValueError(text)
    return value


def _slow_annotations(content: bytes) -> tuple[list[tuple], list[tuple]]:
    boxes, empty = [], []
    for line, fields in _rows(content, (2, 7, 8)):
        key = (_video(fields[0]), _second(fields[1]))
        if len(fields) == 2:
            empty.append((*key, line))
            continue
        action = int(_number(fields[6]))
        person = int(_number(fields[7])) if len(fields) == 8 else -1
        if action != _number(fields[6]) or action < 1:
            raise ValueError(fields)
        boxes.append((*key, *_box(fields[2:6]), action, person, line))
    if len({row[:-1] for row in boxes}) < len(boxes):
        raise ValueError("a row twice")
    return boxes, empty


def _slow_proposals(content: bytes) -> list[tuple]:
    best: dict[tuple, list] = {}
    for line, fields in _rows(content, (8,)):
        score = _number(fields[7])
        if not 0 <= score <= 1:
            raise ValueError(fields)
        if fields[6].strip(" \t") and int(fields[6]) < -1:
            raise ValueError(fields)
        box = (_video(fields[0]), _second(fields[1]), *_box(fields[2:6]))
        first = best.setdefault(box, [score, line])
        first[0] = max(first[0], score)
    return [(*box, *tail) for box, tail in best.items()]


def _slow_label_map(content: bytes) -> dict[int, str]:
    """Return id -> name of a strictly written pbtxt; ValueError for any other."""
    text = re.sub("\r\n|\r", "\n", content.decode("utf-8").removeprefix("\ufeff"))
    text = re.sub(r"(?m)^\s*#.*$", "", text)
    rest = r"[^\S\n]*\n"  # blanks to the end of the line, in one way only: no backtracking
    entry = re.compile(
        rf'\s*(?:label|item)\s*\{{{rest}  name:\s*"([^"\n]*)"{rest}'
        rf"(?:{rest})*  (?:label_id|id):\s*([0-9]{{1,9}}){rest}\s*\}}[^\S\n]*(?:\n|$)\s*"
    )
    text = re.sub(r"\n(?:[ \t]*\n)+", "\n", text)
    names: dict[int, str] = {}
    place = 0
    while place < len(text.rstrip()):
        match = entry.match(text, place)
        if match is None or int(match[2]) in names or int(match[2]) < 1:
            raise ValueError(text[place : place + 40])
        names[int(match[2])] = match[1]
        place = match.end()
    if not names:
        raise ValueError("empty")
    return names


# The laws

_QUICK = settings(
    max_examples=NUM_MUTATIONS,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
_mutations = st.integers(0, 2**62).map(Mutation)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The tables of the small data set; each example writes its files beside them."""
    return make_tables(tmp_path_factory.mktemp("fuzz") / "set")


def _assert_places(findings, path):
    for finding in findings:
        assert finding.path.endswith(path.name), finding
        assert finding.line is None or finding.line >= 1
        assert finding.text.endswith("."), finding


@_QUICK
@given(mutation=_mutations)
def test_annotations_have_findings_or_are_read_right(good, mutation):
    path = good / "mutated_annotations.csv"
    content = mutation.apply((good / "annotations_train.csv").read_bytes())
    path.write_bytes(content)
    split, findings = read_split(SplitFiles(name="train", annotations=path))
    _assert_places(findings, path)
    assert all(finding.line is not None for finding in findings)
    if findings:
        return
    rows, empty = _slow_annotations(content)
    assert split.annotations.rows.to_numpy().tolist() == [list(row) for row in rows]
    assert split.annotations.empty_keyframes.to_numpy().tolist() == [list(row) for row in empty]


@_QUICK
@given(mutation=_mutations)
def test_person_boxes_have_findings_or_are_read_right(good, mutation):
    path = good / "mutated_boxes.csv"
    content = mutation.apply((good / "person_boxes_train.csv").read_bytes())
    path.write_bytes(content)
    split, findings = read_split(
        SplitFiles(name="train", annotations=good / "annotations_train.csv", person_boxes=path)
    )
    _assert_places(findings, path)
    assert all(finding.line is not None for finding in findings)
    if not findings:
        expected = [list(row) for row in _slow_proposals(content)]
        assert split.person_boxes.to_numpy().tolist() == expected


@_QUICK
@given(mutation=_mutations)
def test_label_maps_have_findings_or_are_read_right(good, mutation):
    path = good / "mutated_map.pbtxt"
    content = mutation.apply((good / "label_map.pbtxt").read_bytes())
    path.write_bytes(content)
    label_map, findings = read_checked_label_map(path)
    _assert_places(findings, path)
    assert label_map is not None or any(finding.severity == "error" for finding in findings)
    if not findings:
        assert dict(label_map.names) == _slow_label_map(content)


@settings(_QUICK, max_examples=max(NUM_MUTATIONS // 8, 1))
@given(mutations=st.tuples(*[_mutations] * 4))
def test_a_check_of_damaged_tables_ends_in_a_report(good, mutations):
    names = ("annotations_train.csv", "person_boxes_val.csv", "exclusions_val.csv")
    pristine = {name: (good / name).read_bytes() for name in (*names, "label_map.pbtxt")}
    try:
        for (name, content), mutation in zip(pristine.items(), mutations, strict=True):
            (good / name).write_bytes(mutation.apply(content))
        report = check_dataset(config_of(good), with_videos=False)
    finally:
        for name, content in pristine.items():
            (good / name).write_bytes(content)
    assert "\n".join(report.lines()).endswith(report.verdict)
    assert all(finding.path for finding in report.findings)


def test_the_second_reader_reads_the_good_files(good):
    assert len(_slow_annotations((good / "annotations_train.csv").read_bytes())[0]) == 18
    assert len(_slow_proposals((good / "person_boxes_train.csv").read_bytes())) == 12
    assert _slow_label_map((good / "label_map.pbtxt").read_bytes()) == ACTIONS
