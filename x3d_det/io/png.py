"""Charts as PNG files: the same bytes from the same chart."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

from x3d_det.io.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def png_of(figure: "Figure") -> bytes:
    """Return the picture of a chart, without matplotlib's version, which would change the bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()


def write_png(figure: "Figure", path: str | Path) -> Path:
    """Write the picture of a chart, whole or not at all, and return its path.

    Raises:
        X3DDetError: it cannot be written.
    """
    with atomic_write(path) as file:
        file.write(png_of(figure))
    return Path(path)
