"""The journal of a video's run: what is read is what was written, and what is refused."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from x3d_det.errors import DataError, X3DDetError
from x3d_det.video_detection.journal import ActionJournal, ranked_actions
from x3d_det.video_detection.results import KeyframeActions, PersonActions

NAMES = {1: "wave", 4: "sit"}
SETTINGS = {"interval_seconds": 0.5, "persons": {"backend": "bright"}}
shares = st.floats(0, 1)


def persons_of(scores, box=(0.1, 0.2, 0.3, 0.4)):
    return tuple(PersonActions(box, 0.9, None, ranked_actions(s, NAMES)) for s in scores)


def keyframe(seconds, *scores, **changes):
    return KeyframeActions(seconds, 48, 64, persons_of(scores), 2, **changes)


def journal_at(path: Path, **changes) -> ActionJournal:
    options = {"settings": SETTINGS, "action_names": NAMES, **changes}
    return ActionJournal(path, **options)


MOMENTS = [
    keyframe(0.0, (0.1 + 0.2, 1 / 3)),
    keyframe(0.5, has_actions=False, shot=1),
    keyframe(1.0, (0.5, 0.5), (math.nextafter(0, 1), 1.0), num_below_threshold=3),
    keyframe(1.5, highest_below_threshold=0.7, num_below_threshold=1, shot=2),
]


@pytest.fixture
def written(tmp_path) -> Path:
    path = tmp_path / "journal.jsonl"
    with journal_at(path) as journal:
        for moment in MOMENTS:
            journal.add(moment)
    return path


def test_what_is_read_is_what_was_written(written):
    journal = journal_at(written, resume=True)
    assert journal.num_moments == 4
    assert list(journal.moments()) == list(journal.moments()) == MOMENTS
    assert len(written.read_text().splitlines()) == 5


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(shares, shares), max_size=3), shares, st.floats(0, 1e5))
def test_every_number_comes_back_to_the_last_bit(tmp_path_factory, scores, corner, seconds):
    path = tmp_path_factory.mktemp("j") / "journal.jsonl"
    persons = persons_of(scores, (corner, 0.0, 1.0, corner))
    moment = KeyframeActions(seconds, 7, 9, persons, 0)
    with journal_at(path) as journal:
        journal.add(moment)
    assert list(journal.moments()) == [moment]


def test_equal_scores_are_ranked_by_id():
    ranked = ranked_actions([0.5, 0.5], NAMES)
    assert [action.action_id for action in ranked] == [1, 4]
    assert [action.name for action in ranked_actions([0.1, 0.2], NAMES)] == ["sit", "wave"]
    assert ranked_actions([], NAMES) == ()


def test_a_cut_at_every_byte_keeps_the_whole_lines_and_goes_on(written, tmp_path):
    content = written.read_bytes()
    ends = [place + 1 for place, byte in enumerate(content) if byte == ord("\n")]
    path = tmp_path / "cut.jsonl"
    for size in range(0, len(content) + 1, 7):
        path.write_bytes(content[:size])
        whole = sum(end <= size for end in ends)
        with journal_at(path, resume=True) as journal:
            assert journal.num_moments == max(whole - 1, 0)
            for moment in MOMENTS[journal.num_moments :]:
                journal.add(moment)
        assert path.read_bytes() == content


@pytest.fixture
def finished(written) -> Path:
    with journal_at(written, resume=True) as journal:
        journal.finish()
    return written


def test_without_resume_a_finished_one_begins_anew(finished):
    with journal_at(finished) as journal:
        assert journal.num_moments == 0
        journal.add(MOMENTS[0])
    assert list(journal.moments()) == MOMENTS[:1]


def test_without_resume_an_unfinished_one_is_kept(written):
    before = written.read_bytes()
    match = "was not finished; go on with it by --resume, choose"
    with pytest.raises(DataError, match=match), journal_at(written):
        pass
    assert written.read_bytes() == before
    with journal_at(written, replaces_unfinished=True):
        pass
    assert len(written.read_text().splitlines()) == 1


def test_one_without_a_moment_is_nothing_to_keep(tmp_path):
    with journal_at(tmp_path / "journal.jsonl"):
        pass
    with journal_at(tmp_path / "journal.jsonl") as journal:
        assert journal.num_moments == 0


def test_a_finished_one_can_be_gone_on_with(finished):
    journal = journal_at(finished, resume=True)
    assert list(journal.moments()) == MOMENTS
    content = finished.read_bytes()
    with journal:
        journal.finish()
    assert finished.read_bytes() == content


def test_nothing_is_written_before_its_block(tmp_path):
    path = tmp_path / "journal.jsonl"
    assert journal_at(path, resume=True).num_moments == 0
    assert not path.exists()


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({**SETTINGS, "interval_seconds": 1.0}, "interval_seconds = 0.5, now it is 1.0"),
        ({"interval_seconds": 0.5}, r"persons = {'backend': 'bright'}, now it is None"),
        ({**SETTINGS, "new": 3}, "new = None, now it is 3"),
    ],
)
def test_other_settings_are_refused(written, changed, found):
    before = written.read_bytes()
    with pytest.raises(DataError, match=f"journal.jsonl: was begun with {found}; set it back"):
        journal_at(written, settings=changed, resume=True)
    assert written.read_bytes() == before


@pytest.mark.parametrize(
    ("number", "line"),
    [
        (1, '{"journal": "other", "version": 1, "settings": {}}'),
        (1, '{"journal": "x3d_det actions", "version": 2, "settings": {}}'),
    ],
)
def test_a_journal_of_something_else_is_refused(written, number, line):
    lines = written.read_text().splitlines()
    lines[number - 1] = line
    written.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match="is no journal of this version"):
        journal_at(written, resume=True)


@pytest.mark.parametrize(
    ("number", "line"),
    [
        (1, "not json"),
        (1, "[1, 2]"),
        (3, "not json"),
        (3, "{}"),
        (3, '{"seconds": 1}'),
        (4, "\udcff"),
    ],
)
def test_a_damaged_line_is_named(written, number, line):
    lines = written.read_text().splitlines()
    lines[number - 1] = line
    written.write_bytes(("\n".join(lines) + "\n").encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=f"journal.jsonl:{number}: is no line of this journal"):
        journal_at(written, resume=True)


def test_a_second_process_is_kept_out_and_harms_nothing(written):
    before = written.read_bytes()
    with journal_at(written, resume=True), pytest.raises(X3DDetError, match="another process"):
        journal_at(written).__enter__()
    assert written.read_bytes() == before


def test_a_full_disk_is_said(written):
    class Full:
        def write(self, data):
            raise OSError(28, "No space left on device")

        def close(self):
            pass

    with journal_at(written, resume=True) as journal:
        journal._file.close()
        journal._file = Full()
        with pytest.raises(X3DDetError, match="cannot be written: No space left on device"):
            journal.add(MOMENTS[0])
    assert json.loads(written.read_text().splitlines()[-1])["seconds"] == 1.5


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(X3DDetError, match="cannot be written: No such file"):
        journal_at(tmp_path / "none" / "journal.jsonl").__enter__()
