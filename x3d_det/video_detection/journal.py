"""What has been found in a video so far: an append-only file of JSON lines that survives any kill.

    {"journal": "x3d_det actions", "version": 1, "settings": {...}}
    {"seconds": 3.0, "size": [360, 640], "shot": 0, "clamped": 2, "below": [1, 0.71],
     "persons": [[x1, y1, x2, y2, score, [score of each action]], ...]}
    {"finished": true}

One line a moment, in order; `"persons"` hold no action scores where only persons were looked
for. The last line comes once all files of the run are written. Numbers are written in full, so
that what is read back is what was found, to the last bit.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from x3d_det.errors import DataError, X3DDetError
from x3d_det.video_detection.results import KeyframeActions, PersonActions, ScoredAction

_KIND, _VERSION = "x3d_det actions", 1
_END = {"finished": True}


class ActionJournal:
    """Appends moments to a journal, and knows those that an earlier run left in it.

    A context manager; outside its block nothing can be added. Inside it no second process can
    work with the same file.

    Args:
        path: the file.
        settings: plain values that decide the results; a journal of others is refused.
        action_names: id to name of every action, by rising id.
        resume: keep what is there; else the journal begins anew.
        replaces_unfinished: without `resume`, let go of what a run that was not finished found.

    Raises:
        DataError: with `resume`, a journal of other settings, or one that is damaged; without,
            one of a run that was not finished.
        X3DDetError: the file cannot be written, or another process writes it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        settings: Mapping[str, Any],
        action_names: Mapping[int, str],
        resume: bool = False,
        replaces_unfinished: bool = False,
    ) -> None:
        self.path = Path(path)
        self._names = dict(action_names)
        self._replaces = resume or replaces_unfinished
        self._settings = json.loads(json.dumps(dict(settings)))
        self._file: IO[bytes] | None = None
        self._num_bytes = 0
        self.num_moments = 0
        """Moments in the journal."""
        if resume and self.path.exists():
            self.num_moments = sum(1 for _ in self._read())

    def __enter__(self) -> "ActionJournal":
        try:
            self._file = open(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
            self._lock(self._file)
            if not self._replaces and not self._num_bytes:
                self._refuse_unfinished(self._file)
            self._file.truncate(self._num_bytes)
            self._file.seek(self._num_bytes)
        except OSError as error:
            raise self._write_error(error) from error
        if not self._num_bytes:
            header = {"journal": _KIND, "version": _VERSION, "settings": self._settings}
            self._append(header)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def add(self, moment: KeyframeActions) -> None:
        """Append a moment; it is in the hands of the system when this returns."""
        self._append(_to_json(moment, self._names))
        self.num_moments += 1

    def finish(self) -> None:
        """Note that the run is done: the next one may begin anew."""
        self._append(_END)

    def moments(self) -> Iterator[KeyframeActions]:
        """Return the moments of the journal in their order, one in memory at a time."""
        return self._read()

    def _append(self, line: Mapping[str, Any]) -> None:
        assert self._file is not None, "the journal is used outside its block"
        data = _line(line)
        try:
            self._file.write(data)
            self._file.flush()
        except OSError as error:
            raise self._write_error(error) from error
        self._num_bytes += len(data)

    def _lock(self, file: IO[bytes]) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system lets go at any death
        except BlockingIOError as error:
            file.close()
            raise X3DDetError(
                f"{self.path}: another process works in this folder; wait for it, or choose "
                "another --output-dir."
            ) from error

    def _read(self) -> Iterator[KeyframeActions]:
        """Yield the moments; half a last line, of a killed run, is left out."""
        num_bytes = 0
        with open(self.path, "rb") as file:
            for number, text in enumerate(file, start=1):
                if not text.endswith(b"\n"):
                    break
                try:
                    line = json.loads(text)
                    if line == _END:
                        break
                    if number == 1:
                        self._require_same(line)
                    else:
                        yield _from_json(line, self._names)
                except X3DDetError:
                    raise
                except (ValueError, KeyError, TypeError, AttributeError) as error:
                    raise DataError(
                        f"{self.path}:{number}: is no line of this journal; delete the file, and "
                        "begin anew without --resume."
                    ) from error
                num_bytes += len(text)
        self._num_bytes = max(self._num_bytes, num_bytes)

    def _refuse_unfinished(self, file: IO[bytes]) -> None:
        file.readline()  # the header
        has_moments = file.readline().endswith(b"\n")
        end = _line(_END)
        file.seek(max(0, file.seek(0, os.SEEK_END) - len(end)))
        if has_moments and file.read() != end:
            file.close()
            raise DataError(
                f"{self.path}: an earlier run has begun here and was not finished; go on with it "
                "by --resume, choose another --output-dir, or delete the file."
            )

    def _require_same(self, header: Mapping[str, Any]) -> None:
        if header.get("journal") != _KIND or header.get("version") != _VERSION:
            raise DataError(
                f"{self.path}: is no journal of this version; choose another --output-dir, or "
                "delete the file, and begin anew without --resume."
            )
        found = header["settings"]
        for name in sorted({*found, *self._settings}):
            if found.get(name) != self._settings.get(name):
                raise DataError(
                    f"{self.path}: was begun with {name} = {found.get(name)}, now it is "
                    f"{self._settings.get(name)}; set it back, choose another --output-dir, or "
                    "delete the file, and begin anew without --resume."
                )

    def _write_error(self, error: OSError) -> X3DDetError:
        return X3DDetError(
            f"{self.path}: cannot be written: {error.strerror or error}. What stands in it is "
            "whole; free some space and go on with --resume."
        )


def _line(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values, separators=(",", ":")).encode() + b"\n"


def _to_json(moment: KeyframeActions, names: Mapping[int, str]) -> dict[str, Any]:
    return {
        "seconds": moment.seconds,
        "size": [moment.frame_height, moment.frame_width],
        "shot": moment.shot,
        "clamped": moment.num_clamped,
        "below": [moment.num_below_threshold, moment.highest_below_threshold],
        "actions": moment.has_actions,
        "persons": [
            [*person.box_norm, person.person_score, _scores(person, names)]
            for person in moment.persons
        ],
    }


def _scores(person: PersonActions, names: Mapping[int, str]) -> list[float]:
    by_id = {action.action_id: action.score for action in person.actions}
    return [by_id[action_id] for action_id in names] if by_id else []


def _from_json(line: Mapping[str, Any], names: Mapping[int, str]) -> KeyframeActions:
    height, width = line["size"]
    num_below, highest_below = line["below"]
    return KeyframeActions(
        seconds=line["seconds"],
        frame_height=height,
        frame_width=width,
        persons=tuple(
            PersonActions(
                box_norm=(x1, y1, x2, y2),
                person_score=score,
                track_id=None,
                actions=ranked_actions(scores, names),
            )
            for x1, y1, x2, y2, score, scores in line["persons"]
        ),
        num_clamped=line["clamped"],
        has_actions=line["actions"],
        num_below_threshold=num_below,
        highest_below_threshold=highest_below,
        shot=line["shot"],
    )


def ranked_actions(scores: Sequence[float], names: Mapping[int, str]) -> tuple[ScoredAction, ...]:
    """Return the actions by falling score, equal ones by id; none for no scores.

    Args:
        scores: of every action, in the order of `names`.
        names: id to name, by rising id.
    """
    actions = [
        ScoredAction(action_id, name, score)
        for (action_id, name), score in zip(names.items(), scores, strict=False)
    ]
    return tuple(sorted(actions, key=lambda action: (-action.score, action.action_id)))
