"""JSON that nobody has checked: values that know their place and say what they must be."""

import contextlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from x3d_det.formats.foreign_files import LARGEST_NUMBER, FileFault, short


def parse_json(text: str, place: str = "") -> object:
    """Return the value of a JSON text.

    Args:
        text: the JSON.
        place: where it stands, for faults.

    Raises:
        FileFault: no JSON, a key twice in one object, NaN or Infinity, too deeply nested.
    """
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        line = place or f":{error.lineno}"
        raise FileFault(line, f"no JSON: {error.msg}, column {error.colno}.") from error
    except RecursionError as error:
        raise FileFault(place, "the JSON is nested too deeply; export it again.") from error
    except _JsonError as error:
        raise FileFault(place, str(error)) from error
    except ValueError as error:  # a whole number of thousands of digits
        raise FileFault(place, f"no usable JSON: {error}.") from error


class _JsonError(Exception):
    """What the json module itself would let pass."""


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _JsonError(f"the key {short(twice)} occurs twice in one object; remove one of them.")
    return result


def _refuse_constant(name: str) -> NoReturn:
    raise _JsonError(f"the JSON holds {name}; numbers must be finite.")


@dataclass(frozen=True)
class JsonValue:
    """A value of a JSON file that knows where it stands.

    Args:
        value: the value.
        path: its place in the JSON, as `annotations[3].bbox`; empty for the whole.
        line: `:12` where the JSON is a field of a csv's line 12.
    """

    value: Any
    path: str = ""
    line: str = ""

    @property
    def place(self) -> str:
        """The path, as a fault names it."""
        return self.line + (f": {self.path}" if self.path else "")

    def fault(self, text: str) -> FileFault:
        """Return a fault at this value."""
        return FileFault(self.place, text)

    def __contains__(self, key: str) -> bool:
        return isinstance(self.value, dict) and self.value.get(key) is not None

    def __getitem__(self, key: str) -> "JsonValue":
        """Return a value of this object."""
        found = self.object()
        if key not in found:
            raise self.fault(f"there is no {key!r}; export it again.")
        return JsonValue(found[key], f"{self.path}.{key}" if self.path else key, self.line)

    def get(self, key: str, default: object) -> "JsonValue":
        """Return a value of this object, or the default where it is absent or null."""
        return self[key] if key in self else JsonValue(default, self.path, self.line)

    def items(self) -> Iterator[tuple[str, "JsonValue"]]:
        """Yield the keys and values of this object."""
        for key, value in self.object().items():
            yield key, JsonValue(value, f"{self.path}[{short(key)}]")

    def __iter__(self) -> Iterator["JsonValue"]:
        """Yield the values of this list."""
        if not isinstance(self.value, list):
            raise self.fault(f"found {short(self.value)}; it must be a list.")
        for index, value in enumerate(self.value):
            yield JsonValue(value, f"{self.path}[{index}]", self.line)

    def object(self) -> dict[str, Any]:
        """Return the value, which must be an object."""
        if not isinstance(self.value, dict):
            raise self.fault(f"found {short(self.value)}; it must be an object.")
        return self.value

    def number(self) -> float:
        """Return the value, which must be a finite number."""
        value = self.value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.fault(f"found {short(value)}; it must be a number.")
        if not abs(value) <= LARGEST_NUMBER:
            raise self.fault(f"found {short(value)}; it must be a finite number.")
        return float(value)

    def whole(self) -> int:
        """Return the value, which must be a whole number, 0 or more."""
        value = self.number()
        if value < 0 or value != math.floor(value):
            raise self.fault(f"found {short(self.value)}; it must be a whole number from 0.")
        return int(value)

    def text(self) -> str:
        """Return the value, which must be text."""
        if not isinstance(self.value, str):
            raise self.fault(f"found {short(self.value)}; it must be text.")
        return self.value

    def key(self) -> str:
        """Return the value, a whole number or text, as the text that other parts name it by."""
        with contextlib.suppress(FileFault):
            return str(self.whole())
        return self.text()

    def numbers(self, count: int) -> list[float]:
        """Return the value, which must be a list of so many numbers."""
        values = list(self)
        if len(values) != count:
            raise self.fault(f"found {len(values)} numbers; there must be {count}.")
        return [value.number() for value in values]
