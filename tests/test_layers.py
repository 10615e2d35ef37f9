"""A module imports its own folder and lower layers, never another folder of its own layer."""

import ast
from pathlib import Path

LAYERS = {
    "errors": 0,
    "boxes": 0,
    "keyframes": 0,
    "cli_types": 0,
    "words": 0,
    "config": 1,
    "io": 1,
    "progress": 1,
    "data": 2,
    "models": 2,
    "evaluation": 2,
    "formats": 2,
    "tracking": 2,
    "zoo": 2,
    "engine": 3,
    "visualization": 3,
    "synthetic": 3,
    "preparation": 3,
    "dataset_tables": 3,
    "checkpoints": 3,
    "expansion": 3,
    "builders": 4,
    "cli": 4,
    "persons": 4,
    "checks": 4,
    "score_page": 4,
    "profiling": 4,
    "cli_persons": 5,
    "runs": 5,
    "video_detection": 5,
}
# Imported by commands before their options are parsed: --help must stay quick.
LIGHT = ["errors", "keyframes", "progress", "config", "cli", "cli_persons", "cli_types"]
HEAVY = {"torch", "torchvision", "pandas", "numpy", "av", "matplotlib", "PIL", "pyarrow"}


def _imports(file: Path) -> set[str]:
    """Return the dotted names that a file imports, at any depth of its code."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{file}: write absolute imports"
            names.add(node.module)
    return names


def _part(dotted: str) -> str | None:
    pieces = dotted.split(".")
    return pieces[1] if pieces[0] == "x3d_det" and len(pieces) > 1 else None


def test_every_part_of_the_package_has_a_layer(repository: Path):
    package = repository / "x3d_det"
    parts = {path.stem for path in package.glob("*.py")} - {"__init__"}
    parts |= {path.parent.name for path in package.glob("*/__init__.py")}
    assert parts == set(LAYERS)


def test_imports_point_to_lower_layers(repository: Path):
    wrong = []
    for file in sorted((repository / "x3d_det").rglob("*.py")):
        own = file.relative_to(repository / "x3d_det").parts[0].removesuffix(".py")
        if own == "__init__":
            continue
        for name in _imports(file):
            other = _part(name)
            if other is not None and other != own and LAYERS[other] >= LAYERS[own]:
                wrong.append(f"{file.relative_to(repository)} imports {name}")
    assert wrong == []


def test_light_modules_import_nothing_heavy_at_the_top(repository: Path):
    wrong = []
    for part in LIGHT:
        root = repository / "x3d_det" / part
        for file in [root.with_suffix(".py")] if not root.is_dir() else sorted(root.glob("*.py")):
            tree = ast.parse(file.read_text(encoding="utf-8"))
            for node in tree.body:
                names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                wrong += [f"{file.name}: {n}" for n in names if n.split(".")[0] in HEAVY]
    # keyframes.py computes with NumPy, which is quick to import
    assert [name for name in wrong if name != "keyframes.py: numpy"] == []
