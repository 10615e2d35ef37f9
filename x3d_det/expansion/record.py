"""The record of a search: one JSON line for every plan and every outcome, never rewritten.

A search that is killed goes on from it: candidates stand in it before they are scored
(with measured costs, measuring anew would give others), outcomes as soon as they are there.
"""

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from x3d_det.errors import DataError, X3DDetError
from x3d_det.expansion.factors import Factors
from x3d_det.expansion.growth import Candidate, Stuck
from x3d_det.expansion.outcomes import Failed, Outcome, Scored, Stopped

_STATUS: dict[type, str] = {Scored: "scored", Failed: "failed", Stopped: "stopped"}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a step offers.

    Attributes:
        candidates: in the order of the axes.
        stuck: axes without one.
    """

    candidates: tuple[Candidate, ...]
    stuck: tuple[Stuck, ...] = ()


class Record:
    """What is known of a search: its settings, the plans of its steps, all outcomes.

    Args:
        path: of the `.jsonl` file, made where it does not stand; None keeps the record in
            memory alone. A last line cut short by a kill is dropped.

    Raises:
        DataError: a line of the file is no record's.
        X3DDetError: the file cannot be read or written.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = None if path is None else Path(path)
        self.settings: dict[str, Any] | None = None
        self.plans: dict[str, Plan] = {}
        self.outcomes: dict[Factors, Outcome] = {}
        self._chosen: set[str] = set()
        if self.path is not None:
            with self._naming_errors("read"):
                if self.path.exists():
                    self._read(self.path)

    def hold_to(self, settings: Mapping[str, Any]) -> None:
        """Note the settings of a new record; refuse others than an old one's.

        Raises:
            DataError: a setting differs; names each with both values.
        """
        given = json.loads(json.dumps(settings))
        if self.settings is None:
            self.settings = given
            self._append({"kind": "settings", "settings": given})
            return
        old, new = dict(_flat(self.settings)), dict(_flat(given))
        changed = [
            f"{name} = {old.get(name)} (now {new.get(name)})"
            for name in sorted({*old, *new})
            if old.get(name) != new.get(name)
        ]
        if changed:
            raise DataError(
                f"{self.path or 'the record'} is of a search with {', '.join(changed)}. "
                "Set it back, or begin another record."
            )

    def plan(self, key: str) -> Plan | None:
        """Return the plan noted under a key."""
        return self.plans.get(key)

    def note_plan(self, key: str, plan: Plan, *, about: Mapping[str, Any]) -> None:
        """Note the plan of a step.

        Args:
            key: what it is found by.
            plan: the candidates.
            about: step number and exact counts, for a reader of the file.
        """
        self.plans[key] = plan
        self._append({"kind": "plan", "key": key, **about, **dataclasses.asdict(plan)})

    def note_outcome(self, outcome: Outcome) -> None:
        """Note what became of a candidate; flushed to the disk."""
        assert outcome.candidate.factors not in self.outcomes, "scored twice"
        self.outcomes[outcome.candidate.factors] = outcome
        status = _STATUS[type(outcome)]
        self._append({"kind": "outcome", "status": status, **dataclasses.asdict(outcome)})

    def note_choice(self, key: str, choice: Mapping[str, Any]) -> None:
        """Note what a step chose, once, for a reader; the search itself works it out anew.

        Args:
            key: of the step's plan.
            choice: plain values.
        """
        if key not in self._chosen:
            self._chosen.add(key)
            self._append({"kind": "choice", "key": key, **choice})

    def outcome_of(self, candidate: Candidate) -> Outcome | None:
        """Return the outcome of a candidate's factors, whichever axis or step had them first."""
        found = self.outcomes.get(candidate.factors)
        return None if found is None else dataclasses.replace(found, candidate=candidate)

    def _append(self, entry: Mapping[str, Any]) -> None:
        if self.path is None:
            return
        line = json.dumps(entry, allow_nan=False) + "\n"
        with self._naming_errors("write"), open(self.path, "ab", buffering=0) as file:
            file.write(line.encode())
            os.fsync(file.fileno())

    def _read(self, path: Path) -> None:
        lines = path.read_bytes().splitlines(keepends=True)
        if lines and not lines[-1].endswith(b"\n"):
            os.truncate(path, sum(map(len, lines[:-1])))
            lines.pop()
        for number, line in enumerate(lines, start=1):
            try:
                self._take(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise DataError(
                    f"{path}:{number}: no line of an expansion record ({error!r}). "
                    "Mend or remove the file."
                ) from error

    def _take(self, entry: dict[str, Any]) -> None:
        kind = entry["kind"]
        if kind == "settings":
            self.settings = entry["settings"]
        elif kind == "plan":
            self.plans[entry["key"]] = Plan(
                candidates=tuple(_candidate(item) for item in entry["candidates"]),
                stuck=tuple(Stuck(**item) for item in entry["stuck"]),
            )
        elif kind == "outcome":
            outcome = _outcome(entry)
            self.outcomes[outcome.candidate.factors] = outcome
        elif kind == "choice":
            self._chosen.add(entry["key"])
        else:
            raise ValueError(f"kind is {kind!r}")

    @contextlib.contextmanager
    def _naming_errors(self, verb: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise X3DDetError(
                f"cannot {verb} {self.path}: {error.strerror}. What stands in it is whole; "
                "mend this and start the same search again to go on."
            ) from error


def _candidate(values: dict[str, Any]) -> Candidate:
    parent = values["parent"] and Factors(**values["parent"])
    return Candidate(**{**values, "factors": Factors(**values["factors"]), "parent": parent})


def _outcome(entry: dict[str, Any]) -> Outcome:
    common = {
        "candidate": _candidate(entry["candidate"]),
        "seconds": entry["seconds"],
        "details": entry["details"],
    }
    if entry["status"] == "scored":
        return Scored(score=entry["score"], **common)
    if entry["status"] == "stopped":
        return Stopped(score=entry["score"], reason=entry["reason"], **common)
    return Failed(reason=entry["reason"], **common)


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value
