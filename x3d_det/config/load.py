"""YAML files and `--set` overrides -> a checked config of any schema.

Every mistake of a config is reported at once, each with the file and line (or
the override) that it comes from. A file may name one other file as `base:` and
then states only what differs.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, overload

import yaml
from pydantic import BaseModel, ValidationError

import x3d_det
from x3d_det.config.contradictions import contradictions
from x3d_det.config.expansion import ExpansionConfig
from x3d_det.config.kinetics import KineticsConfig
from x3d_det.config.schema import FRACTIONAL_RULES, ExperimentConfig
from x3d_det.errors import ConfigError, did_you_mean

REPOSITORY = Path(x3d_det.__file__).resolve().parents[1]
CONFIG_FOLDER = REPOSITORY / "configs"
DATASET_FOLDER = CONFIG_FOLDER / "datasets"

_KeyPath = tuple[str, ...]
_MAX_DEPTH = 20
_MAX_BYTES = 1_000_000


class _Loader(yaml.SafeLoader):
    """YAML 1.1 with YAML 1.2's floats: `1e-5` and `2.2e7` are numbers, as everybody expects."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\.\d+|\d+(\.\d*)?)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)

Config = TypeVar("Config", ExperimentConfig, KineticsConfig, ExpansionConfig)


@dataclass
class _Tree:
    """Plain values, and for each key path the place that it was written at."""

    values: dict[str, Any] = field(default_factory=dict)
    places: dict[_KeyPath, str] = field(default_factory=dict)

    def merge(self, other: "_Tree") -> None:
        """Let the values of `other` win, key by key."""
        _merge(self.values, other.values)
        self.places.update(other.places)

    def place_of(self, path: _KeyPath) -> str:
        """Return where `path`, or the nearest key above it, was written."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.places:
                return self.places[path[:end]]
        return "config"


@overload
def load_config(name: str | Path, overrides: Sequence[str] = ...) -> ExperimentConfig: ...


@overload
def load_config(
    name: str | Path, overrides: Sequence[str] = ..., schema: type[Config] = ...
) -> Config: ...


def load_config(
    name: str | Path,
    overrides: Sequence[str] = (),
    schema: type[Any] = ExperimentConfig,
) -> Any:
    """Return the checked config of a file, with `section.key=value` overrides applied.

    Args:
        name: path of a YAML file, or the name of one in `configs/`.
        overrides: texts such as `train.epochs=3`; the value is read as YAML.
        schema: `ExperimentConfig` for AVA, `KineticsConfig` for clips with one label,
            `ExpansionConfig` for a search.

    Raises:
        ConfigError: every mistake found, a line each.
    """
    problems: list[str] = []
    tree = _read_with_base(find_config(name, CONFIG_FOLDER), CONFIG_FOLDER, problems)
    for override in overrides:
        _apply_override(tree, override, problems)
    _expand_dataset(tree, problems)
    _require_kind(tree, schema)
    if schema is ExperimentConfig:
        _choose_rules(tree)
    config = _validate(tree, problems, schema)
    if config is not None:
        problems += [f"{tree.place_of(path)}: {text}" for path, text in contradictions(config)]
    if problems or config is None:
        raise ConfigError("\n".join(problems))
    return config


def dump_config(config: ExperimentConfig | KineticsConfig | ExpansionConfig) -> str:
    """Return the resolved config as YAML that `load_config` takes again."""
    values = config.model_dump(mode="json", exclude_none=True)
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def find_config(name: str | Path, folder: Path) -> Path:
    """Return the file that `name` means: a path, or a name in `folder` (`.yaml` may be left out).

    Raises:
        ConfigError: there is no such file; the text lists what there is.
    """
    for candidate in (Path(name), folder / name, folder / f"{name}.yaml"):
        if candidate.is_file():
            return candidate
    known = sorted(path.name for path in folder.glob("*.yaml"))
    raise ConfigError(
        f"config {name} not found, neither as a path nor in {_shown(folder)}"
        f"{did_you_mean(Path(name).name, known) or '.'} There are: {', '.join(known) or 'none'}"
    )


def _read_with_base(path: Path, folder: Path, problems: list[str], depth: int = 0) -> _Tree:
    tree = _read_yaml(path, problems)
    base = tree.values.pop("base", None)
    if base is None:
        return tree
    place = tree.places.pop(("base",))
    if not isinstance(base, str) or depth >= _MAX_DEPTH:
        problems.append(f"{place}: base = {base!r}; it must name one other file, without a circle.")
        return tree
    below = _read_with_base(find_config(base, folder), folder, problems, depth + 1)
    below.merge(tree)
    return below


def _read_yaml(path: Path, problems: list[str]) -> _Tree:
    """Parse one file; syntax errors end it, all other mistakes are collected."""
    if path.stat().st_size > _MAX_BYTES:
        raise ConfigError(f"{_shown(path)}: more than {_MAX_BYTES:,} bytes is no config.")
    try:
        text = path.read_text(encoding="utf-8")
        if re.search(r"(?m)^[^#\n]*?:\s*[&*]\w", text):
            raise ConfigError(f"{_shown(path)}: anchors and aliases (& and *) are not used here.")
        node = yaml.compose(text, Loader=_Loader)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{_shown(path)}: not UTF-8 text ({error.reason}).") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise ConfigError(f"{_shown(path)}{line}: not YAML: {problem}.") from None
    tree = _Tree()
    tree.places[()] = _shown(path)
    if node is None:
        return tree
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{_shown(path)}:1: a config is a mapping of `key: value` lines.")
    tree.values = _mapping(node, (), _shown(path), tree.places, problems)
    return tree


def _mapping(
    node: yaml.MappingNode,
    path: _KeyPath,
    file: str,
    places: dict[_KeyPath, str],
    problems: list[str],
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = str(key_node.value)
        place = f"{file}:{key_node.start_mark.line + 1}"
        if key in values:
            problems.append(f"{place}: {'.'.join((*path, key))} is set twice; keep one.")
        places[(*path, key)] = place
        if isinstance(value_node, yaml.MappingNode):
            values[key] = _mapping(value_node, (*path, key), file, places, problems)
        else:
            values[key] = _plain(value_node, f"{place}: {'.'.join((*path, key))}", problems)
    return values


def _plain(node: yaml.Node, where: str, problems: list[str]) -> Any:
    """Return a scalar or list; YAML's traps are named instead of obeyed."""
    if isinstance(node, yaml.ScalarNode):
        trap = _yaml_trap(node)
        if trap:
            problems.append(f"{where} = {node.value}: {trap}")
    try:
        return _Loader("").construct_object(node, deep=True)
    except yaml.YAMLError as error:
        problems.append(f"{where}: {getattr(error, 'problem', error)}.")
        return None


def _yaml_trap(node: yaml.ScalarNode) -> str:
    text = node.value
    if node.style is not None:
        return ""
    if node.tag.endswith(":int") and re.fullmatch(r"[-+]?0[0-7_]+", text):
        return "YAML reads a leading 0 as octal; write the number without it."
    if re.fullmatch(r"[-+]?\d+(:[0-5]?\d)+", text):
        return "YAML reads a:b as a number in base 60; write seconds, or quote the text."
    if node.tag.endswith(":bool") and text.lower() not in ("true", "false"):
        return f"YAML reads {text} as a truth value; write true or false, or quote the text."
    return ""


def _apply_override(tree: _Tree, override: str, problems: list[str]) -> None:
    key, equals, text = override.partition("=")
    path = tuple(key.strip().split("."))
    where = f"--set {override}"
    if not equals or not all(path):
        problems.append(f"{where}: write it as --set section.key=value.")
        return
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError:
        problems.append(f"{where}: {text!r} is no YAML value.")
        return
    value = None if node is None else _plain(node, where, problems)
    single = _Tree(places={path: where})
    target = single.values
    for part in path[:-1]:
        target = target.setdefault(part, {})
    target[path[-1]] = value
    if path[0] == "dataset" and len(path) > 1 and isinstance(tree.values.get("dataset"), str):
        tree.values["dataset"] = {"base": tree.values["dataset"]}
    tree.merge(single)


def _expand_dataset(tree: _Tree, problems: list[str]) -> None:
    """Put the file that `dataset` names in its place; a mapping may build on one by `base:`."""
    given = tree.values.get("dataset")
    own: dict[str, Any] = {}
    if isinstance(given, dict):
        own = {key: value for key, value in given.items() if key != "base"}
        given = given.get("base")
    if not isinstance(given, str):
        return
    try:
        file = find_config(given, DATASET_FOLDER)
    except ConfigError as error:
        problems.append(f"{tree.place_of(('dataset',))}: dataset: {error}")
        tree.values.pop("dataset")
        return
    below = _read_with_base(file, DATASET_FOLDER, problems)
    _merge(below.values, own)
    tree.values["dataset"] = below.values
    for path, place in below.places.items():
        tree.places.setdefault(("dataset", *path), place)


def _choose_rules(tree: _Tree) -> None:
    """Where no rules are written, take those that know the keyframes of the data set."""
    dataset, evaluation = tree.values.get("dataset"), tree.values.get("evaluation", {})
    if not isinstance(dataset, dict) or not isinstance(evaluation, dict) or "rules" in evaluation:
        return
    interval = dataset.get("keyframe_interval_seconds", 1.0)
    if dataset.get("timestamps") == "frames" or _is_fraction(interval):
        tree.values["evaluation"] = {**evaluation, "rules": FRACTIONAL_RULES}


def _is_fraction(value: object) -> bool:
    return isinstance(value, float) and not value.is_integer()


def _require_kind(tree: _Tree, schema: type[BaseModel]) -> None:
    """Refuse a data set of the other kind in one line, not in one for each of its settings."""
    dataset = tree.values.get("dataset")
    train = dataset.get("train") if isinstance(dataset, dict) else None
    if not isinstance(dataset, dict) or not isinstance(train, dict):
        return
    place, name = tree.place_of(("dataset",)), dataset.get("name", "")
    if schema is ExperimentConfig and "list" in train and "annotations" not in train:
        raise ConfigError(
            f"{place}: dataset {name} has whole clips with one label each, as Kinetics, and not "
            "persons with actions; use a config of Kinetics with tools/train_kinetics.py, or a "
            "data set in AVA's form."
        )
    if schema is KineticsConfig and "annotations" in train and "list" not in train:
        raise ConfigError(
            f"{place}: dataset {name} has persons with actions, as AVA, and not whole clips with "
            "one label each; use a config of AVA with tools/train_ava.py, or a data set in "
            "Kinetics' form."
        )


def _validate(tree: _Tree, problems: list[str], schema: type[BaseModel]) -> Any:
    try:
        return schema.model_validate(tree.values)
    except ValidationError as error:
        for item in error.errors():
            if item["type"] == "missing" and item["loc"] == ("dataset",) and problems:
                continue  # the data set's own mistake was already said
            path = tuple(str(part) for part in item["loc"])
            place = tree.place_of(path)
            if any(problem.startswith((f"{place}: ", f"{place} = ")) for problem in problems):
                continue  # YAML's misreading of this value was already said
            problems.append(f"{place}: {_explain(path, dict(item), schema)}")
        return None


def _explain(path: _KeyPath, item: dict[str, Any], schema: type[BaseModel]) -> str:
    name = ".".join(path)
    if item["type"] == "extra_forbidden":
        section = ".".join(path[:-1])
        allowed = _field_names(path[:-1], schema)
        nearest = did_you_mean(path[-1], allowed)
        if nearest and section:
            nearest = nearest.replace("mean ", f"mean {section}.")
        listing = "" if nearest else f"; {section or 'a config'} has: {', '.join(allowed)}"
        return f"{name} is no setting{nearest}{listing}"
    if item["type"] == "missing":
        return f"{name} is missing and has no default."
    message = str(item["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")
    return f"{name} = {item['input']!r}: {message}."


def _field_names(path: Iterable[str], schema: type[BaseModel]) -> list[str]:
    model = schema
    for part in path:
        found = model.model_fields[part].annotation if part in model.model_fields else None
        candidates = [found, *getattr(found, "__args__", ())]
        models = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if not models:
            return []
        model = models[0]
    return list(model.model_fields)


def _merge(below: dict[str, Any], above: dict[str, Any]) -> None:
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            _merge(below[key], value)
        else:
            below[key] = value


def _shown(path: Path) -> str:
    """Return a path as a user would type it: short where it lies in the repository."""
    resolved = path.resolve()
    return (
        str(resolved.relative_to(REPOSITORY)) if resolved.is_relative_to(REPOSITORY) else str(path)
    )
