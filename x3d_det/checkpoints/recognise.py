"""Whose checkpoint is it? The name of the first convolution tells."""

from collections.abc import Collection

from x3d_det.checkpoints.layouts import LAYOUT_TABLES, LAYOUTS, Layout
from x3d_det.errors import CheckpointError, did_you_mean

_MAX_NAMES_SHOWN = 4


def recognise_layout(names: Collection[str]) -> str:
    """Return which of `LAYOUTS` a state dict's names belong to.

    co3d saves its plain X3D, and its continual one "flattened", under PySlowFast's very
    names; those are "pyslowfast". "co3d" is the continual one with its nesting.

    Raises:
        CheckpointError: none of them, or two.
    """
    return find_layout(names, source="with these names")[0].name


def find_layout(names: Collection[str], *, source: str) -> tuple[Layout, str]:
    """Return the layout and what stands before all names ("module.", "model." or nothing).

    Args:
        names: of the state dict.
        source: names the file in messages.

    Raises:
        CheckpointError: no layout has these names, or two have.
    """
    found = [
        (layout, prefix)
        for layout in LAYOUT_TABLES.values()
        if not layout.nested_by_number and (prefix := prefix_of(names, layout)) is not None
    ]
    if len(found) == 1 and found[0][0].name == "pyslowfast" and any(map(_has_number, names)):
        return LAYOUT_TABLES["co3d"], found[0][1]
    if len(found) == 1:
        return found[0]
    if found:
        raise CheckpointError(
            f"checkpoint {source} holds two networks: {found[0][0].name} and {found[1][0].name}; "
            "keep one of them."
        )
    shown = ", ".join(sorted(names)[:_MAX_NAMES_SHOWN])
    raise CheckpointError(
        f"checkpoint {source} is of no known layout ({', '.join(LAYOUTS)}): its {len(names):,} "
        f"tensors are named {shown or '-'}{', ...' if len(names) > _MAX_NAMES_SHOWN else ''}. "
        "It must be the state dict of an X3D, or a file with one below model_state, state_dict "
        "or model_state_dict."
    )


def layout_named(name: str) -> Layout:
    """Return the layout of this name.

    Raises:
        CheckpointError: there is none.
    """
    if name not in LAYOUT_TABLES:
        raise CheckpointError(
            f"there is no layout {name!r}{did_you_mean(name, LAYOUTS)}; it must be one of "
            f"{', '.join(LAYOUTS)}."
        )
    return LAYOUT_TABLES[name]


def prefix_of(names: Collection[str], layout: Layout) -> str | None:
    """Return what stands before the layout's names, or None where they are not there."""
    prefixes = {
        name[: -len(layout.mark)]
        for name in names
        if name == layout.mark or name.endswith(f".{layout.mark}")
    }
    # of several (a model and its average), the one nearest the top
    return min(prefixes, key=lambda prefix: (len(prefix), prefix), default=None)


def _has_number(name: str) -> bool:
    return any(part.isdigit() for part in name.split("."))
