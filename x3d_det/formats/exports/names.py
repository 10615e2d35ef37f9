"""What the names in an export say: videos, frame numbers, persons, the attribute of actions."""

import re
from collections.abc import Sequence

from x3d_det.errors import did_you_mean
from x3d_det.formats.foreign_files import FileFault, short

_VIDEO_SUFFIXES = "mp4|mkv|webm|avi|mov|m4v|mpg|mpeg|ogv|wmv|flv|ts"
_FRAME_NAME = re.compile(
    r"(?:(?!(?:frame|img|image)[_\-. ]?\d+$)(?P<video>.+?)[_\-. ])?"
    r"(?:frame|img|image)?[_\-. ]?(?P<number>\d{1,9})",
    re.IGNORECASE | re.ASCII,
)
_PERSON_NAMES = {"person", "people", "human", "pedestrian", "player", "actor"}
_PERSON_ID_NAMES = {f"{name}{end}" for name in (*_PERSON_NAMES, "track") for end in ("", "_id")}
_PERSON_ID_NAMES |= {"id", "instance_id", "trackid", "personid", "playerid"}
_ACTION_NAMES = {"action", "actions", "activity", "activities"}


def video_name(text: str) -> str:
    """Return the video's name: the last part of a path or address, without a video's suffix."""
    last = re.split(r"[/\\]", text.strip().split("?")[0].rstrip("/\\"))[-1]
    return re.sub(rf"\.(?:{_VIDEO_SUFFIXES})$", "", last, flags=re.IGNORECASE)


def split_frame_name(text: str) -> tuple[str, int | None]:
    """Return the video ("" if none) and the number that an image's name states.

    `VIDEO/frame_000123.png`, `VIDEO_000123.jpg`, `VIDEO_frame_000123` and
    `images/VIDEO_000123.jpg` are frame 123 of VIDEO; `frame_000123` names no video. The
    number is None where the name does not end in one of its own (`1j20qq1JyX4.jpg`).
    """
    parts = [part for part in re.split(r"[/\\]", text.strip()) if part not in ("", ".")]
    stem = re.sub(r"\.[A-Za-z]{3,4}$", "", parts[-1]) if parts else ""
    folder = parts[-2] if len(parts) > 1 else ""
    match = _FRAME_NAME.fullmatch(stem)
    if match is None:
        return folder, None
    return match["video"] or folder, int(match["number"])


def frame_of_image(name: str, place: str, *, first_number: int) -> tuple[str, int]:
    """Return the video ("" if none) and the frame, from 0, that an image's name states.

    Args:
        name: as in `split_frame_name`.
        place: of the name, for faults.
        first_number: number of a video's first frame.

    Raises:
        FileFault: the name has no frame number, or one below the first.
    """
    video, number = split_frame_name(name)
    if number is None:
        raise FileFault(
            place,
            f"the image's name {short(name)} does not end in a frame number; name images as in "
            "VIDEO/frame_000123.jpg.",
        )
    if number < first_number:
        raise FileFault(
            place,
            f"frame {number} of {short(name)} is below the first frame number, {first_number}.",
        )
    return video, number - first_number


def parse_person(text: str) -> str | int | None:
    """Return a person as the export names it: a whole number, a name, or None for nothing."""
    stripped = text.strip()
    if re.fullmatch(r"\d{1,15}", stripped, re.ASCII):
        return int(stripped)
    return stripped or None


def is_person_name(name: str) -> bool:
    """Return whether a label of this name is a person and not an action."""
    return name.strip().casefold() in _PERSON_NAMES


def is_action_name(name: str) -> bool:
    """Return whether an attribute of this name is plainly the action."""
    return name.strip().casefold() in _ACTION_NAMES


def is_person_attribute(name: str) -> bool:
    """Return whether an attribute of this name tells persons apart (`track`, `person id`)."""
    return re.sub(r"[ \-]+", "_", name.strip().casefold()) in _PERSON_ID_NAMES


def choose_attributes(
    candidates: Sequence[str], wanted: str | None, *, what: str, place: str
) -> list[str]:
    """Return the attributes that hold actions.

    Args:
        candidates: the export's attributes that could.
        wanted: the caller's choice, several with commas between; None takes the one called
            `action` (or the like), else the only one.
        what: whose attributes, for messages.
        place: for faults.

    Raises:
        FileFault: there is no such attribute, or several and no choice.
    """
    if wanted is not None:
        chosen = [wanted] if wanted in candidates else [part.strip() for part in wanted.split(",")]
        for name in chosen:
            if name not in candidates:
                listed = ", ".join(short(candidate) for candidate in candidates) or "none"
                raise FileFault(
                    place,
                    f"{what} has no attribute {short(name)} for actions (it has: {listed})"
                    f"{did_you_mean(name, candidates)}.",
                )
        return chosen
    named = [name for name in candidates if is_action_name(name)]
    if len(named) == 1:
        return named
    if len(candidates) == 1:
        return list(candidates)
    listed = ", ".join(short(candidate) for candidate in candidates) or "none"
    raise FileFault(
        place,
        f"{what} has {len(candidates)} attributes that could hold actions ({listed}); name the "
        "one that does with --action-attribute, or several with commas between.",
    )
