"""Action names short enough for a picture."""

import re
from collections import Counter
from collections.abc import Mapping

_BRACKETS = re.compile(r"\s*\(([^)]*)\)")


def short_action_names(names: Mapping[int, str]) -> dict[int, str]:
    """Return each action's name without its brackets, as long as no two become the same.

    "talk to (e.g., self, a person, a group)" becomes "talk to". Where two would be the
    same, the first words of the brackets stay: AVA's two "kick" become "kick an object"
    and "kick a person". Names that are the same even then stay as they were.

    Args:
        names: action id -> name.
    """
    short = {action_id: _without_brackets(name) for action_id, name in names.items()}
    longer = {action_id: _with_first_words(name) for action_id, name in names.items()}
    for replacement in (longer, dict(names)):
        counts = Counter(short.values())
        short = {
            action_id: replacement[action_id] if counts[name] > 1 else name
            for action_id, name in short.items()
        }
    return short


def _without_brackets(name: str) -> str:
    return " ".join(_BRACKETS.sub("", name).split()) or name


def _with_first_words(name: str) -> str:
    """Return the name with its first brackets opened, and of a list in them the first part."""
    found = _BRACKETS.search(name)
    if found is None:
        return name
    words = re.sub(r"^e\.g\.,?\s*", "", found.group(1).strip()).split(",")[0]
    return " ".join(f"{_BRACKETS.sub('', name[: found.start()])} {words}".split())
