"""AVA's csv files written by hand, and what is said of their faults."""

import pytest

from x3d_det.errors import DataError
from x3d_det.io.ava_csv import read_annotations

GOOD = "vid,0902,0.1,0.2,0.3,0.4,12,0\n"


def csv_file(tmp_path, text, name="a.csv"):
    """Return the path of a file of this text."""
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def error_of(path, reader=read_annotations, **options):
    """Return the faults that a reader, or a writer, names; the path is written F."""
    with pytest.raises(DataError) as caught:
        reader(path, **options)
    return str(caught.value).replace(str(path), "F")
