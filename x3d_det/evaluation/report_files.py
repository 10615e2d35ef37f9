"""The files of a report: their folder, and JSON that anybody's parser reads."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from x3d_det.errors import X3DDetError
from x3d_det.io.files import atomic_write


def report_folder(output_dir: str | os.PathLike[str], what: str) -> Path:
    """Return the folder, made where it is missing.

    Args:
        output_dir: the folder.
        what: is written into it, for the message.

    Raises:
        X3DDetError: it cannot be made.
    """
    folder = Path(output_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise X3DDetError(
            f"cannot write the {what} into {folder}: {error.strerror or error}; "
            "choose another folder."
        ) from error
    return folder


def write_json(path: Path, content: Mapping[str, Any], *, indent: int | None = 1) -> None:
    """Write a JSON file; NaN, which is no JSON, is a mistake of ours.

    Raises:
        X3DDetError: it cannot be written.
    """
    with atomic_write(path, "w") as file:
        json.dump(content, file, indent=indent, ensure_ascii=False, allow_nan=False)
        file.write("\n")
