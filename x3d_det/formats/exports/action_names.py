"""The names of actions in an export, and the ids that they get."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from x3d_det.errors import DataError, did_you_mean
from x3d_det.formats.foreign_files import Faults, short
from x3d_det.io.label_map import MAX_ACTION_ID, LabelMap


class ActionNames:
    """Gives the names of actions their ids, and keeps those that have none.

    Ids come from the caller's label map; without one from the export's own list (`know`);
    without that too, names are numbered from 1 as they appear.

    Args:
        label_map: given by the caller; None where there is none.

    Raises:
        DataError: the label map has a name twice.
    """

    def __init__(self, label_map: LabelMap | None) -> None:
        self._given = label_map
        self._ids: dict[str, int] = {} if label_map is None else _ids_by_name(label_map)
        self._numbers_new_names = label_map is None
        self._unknown: Counter[str] = Counter()
        self._unknown_places: dict[str, str] = {}

    def know(self, names: Iterable[str] | Mapping[int, str]) -> None:
        """Take the export's own list of actions, where the caller gave no label map.

        Args:
            names: in their order, ids from 1; or with their ids.
        """
        if self._given is not None:
            return
        self._numbers_new_names = False
        if isinstance(names, Mapping):
            self._ids = {name: action_id for action_id, name in names.items()}
        else:
            self._ids = {name: i for i, name in enumerate(dict.fromkeys(names), start=1)}

    def __contains__(self, name: str) -> bool:
        """Return whether the name has an id so far."""
        return name in self._ids

    def split(self, text: str) -> list[str]:
        """Return the action names that a free text holds: one, or several with `,` or `;`."""
        whole = text.strip()
        if not whole or whole in self:
            return [whole] if whole else []
        parts = re.split(r"[,;\n](?![^(]*\))", whole)
        return [part.strip() for part in parts if part.strip()]

    def id_of(self, name: str, place: str) -> int | None:
        """Return the id of an action; None, and a fault in the end, where it gets none.

        Args:
            name: of the action.
            place: of the box that has it, for the fault.
        """
        if name in self._ids:
            return self._ids[name]
        if self._numbers_new_names and len(self._ids) < MAX_ACTION_ID:
            self._ids[name] = len(self._ids) + 1
            return self._ids[name]
        self._unknown[name] += 1
        self._unknown_places.setdefault(name, place)
        return None

    def add_faults(self, faults: Faults) -> None:
        """Note each name that got no id, at the place where it was met first."""
        known = "the export's own list of actions" if self._given is None else "the label map"
        for name, count in self._unknown.items():
            faults.add(
                self._unknown_places[name],
                f"action {short(name)} ({count:,} boxes in all) is not in {known}"
                f"{did_you_mean(name, self._ids)}; correct the name or add it there.",
            )

    def label_map(self) -> LabelMap:
        """Return the actions: those given by the caller, else all that have an id by now."""
        return self._given or LabelMap({action_id: name for name, action_id in self._ids.items()})


def _ids_by_name(label_map: LabelMap) -> dict[str, int]:
    ids: dict[str, int] = {}
    for action_id, name in label_map.names.items():
        if name in ids:
            raise DataError(
                f"the label map names {short(name)} twice, as {ids[name]} and {action_id}; an "
                "import needs one id a name."
            )
        ids[name] = action_id
    return ids
