"""What every command shares: its common options, its exit codes, its errors in one line.

Nothing heavy is imported here, so that `--help` and a wrong path answer at once.
"""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from x3d_det.config.expansion import ExpansionConfig
from x3d_det.config.kinetics import KineticsConfig
from x3d_det.config.load import Config, dump_config, load_config
from x3d_det.config.schema import ExperimentConfig
from x3d_det.errors import X3DDetError

if TYPE_CHECKING:
    from x3d_det.engine import TrainResult

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


class UsageError(Exception):
    """Options that do not go together; `run_tool` says so and ends in code 2."""


def make_parser(prog: str, doc: str | None) -> argparse.ArgumentParser:
    """Return a parser whose help is the command's docstring, laid out as written."""
    return argparse.ArgumentParser(
        prog=prog,
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def add_config_options(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add `--config`, `--set`, `--print-config` to a command."""
    parser.add_argument(
        "--config",
        required=required,
        metavar="FILE",
        help="experiment YAML: a path, or the name of a file in configs/",
    )
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="change one setting; may be given several times",
    )
    parser.add_argument(
        "--print-config", action="store_true", help="print the resolved config and stop"
    )


def add_output_option(parser: argparse.ArgumentParser, default: str) -> None:
    """Add `--output-dir`, the only folder that a command writes to."""
    parser.add_argument(
        "--output-dir", type=Path, default=None, metavar="DIR", help=f"default: {default}"
    )


def add_training_options(
    parser: argparse.ArgumentParser, *, what: str = "run", config_required: bool = True
) -> None:
    """Add the options of `add_config_options`, `--output-dir` and `--resume` to a training."""
    add_config_options(parser, required=config_required)
    add_output_option(parser, "outputs/<config's name>")
    parser.add_argument(
        "--resume", action="store_true", help=f"go on with the {what} in the output folder"
    )


@overload
def config_from(args: argparse.Namespace) -> ExperimentConfig: ...


@overload
def config_from(args: argparse.Namespace, schema: type[Config]) -> Config: ...


def config_from(args: argparse.Namespace, schema: type[Any] = ExperimentConfig) -> Any:
    """Return the config, of that schema, that the options of `add_config_options` ask for."""
    return load_config(args.config, args.overrides, schema)


def print_config(config: ExperimentConfig | KineticsConfig | ExpansionConfig) -> int:
    """Print the resolved config to stdout."""
    sys.stdout.write(dump_config(config))
    return EXIT_OK


def log_to_stderr() -> None:
    """Send the package's log, plain lines, to stderr; ranks other than 0 only warn."""
    from x3d_det.engine import StderrHandler

    logger = logging.getLogger("x3d_det")
    logger.setLevel(logging.INFO if os.environ.get("RANK", "0") == "0" else logging.WARNING)
    logger.handlers = [StderrHandler()]
    logger.propagate = False


def compare_with_expected(what: str, found: float, expected: float, *, tolerance: float) -> int:
    """Say whether a result is the one that its config is known for; return the exit code."""
    as_expected = abs(found - expected) <= tolerance
    print(
        f"{what} {found:.4f} is {'as' if as_expected else 'NOT as'} expected: "
        f"{expected:.4f} +- {tolerance:.4f}"
    )
    return EXIT_OK if as_expected else EXIT_FAILED


def listing(folder: Path, files: Sequence[Path]) -> str:
    """Return the closing lines of a command: what it wrote, and where."""
    names = [str(path.relative_to(folder)) for path in files if path.exists()]
    return f"wrote to {folder}: {', '.join(names)}"


def writable_folder(path: Path) -> Path:
    """Return `path` as a folder that exists and can be written to.

    Raises:
        X3DDetError: it is a file, or must not be written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".write_test"
        probe.touch()
        probe.unlink(missing_ok=True)  # two shards may probe at the same time
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise X3DDetError(
            f"output folder {path} cannot be written to ({reason}); choose another --output-dir"
        ) from None
    return path


def training_folder(args: argparse.Namespace) -> Path:
    """Return the folder that the options of `add_training_options` ask for, ready to be written.

    Raises:
        X3DDetError: it must not be written to.
    """
    return writable_folder(args.output_dir or Path("outputs") / Path(args.config).stem)


def end_training(result: "TrainResult") -> int:
    """Say how a training that was stopped goes on; return its exit code."""
    if result.signal_number and result.files and not result.finished:
        print(f"stopped after step {result.step}; the same command with --resume goes on")
    return result.exit_code


def run_tool(
    parser: argparse.ArgumentParser,
    body: Callable[[argparse.Namespace], int],
    argv: Sequence[str] | None,
) -> int:
    """Parse the options, run a command, and return its exit code.

    What a user can mend ends in its text on stderr and code 1, wrong usage (argparse's, or a
    `UsageError`) in code 2, Ctrl-C in code 130; a mistake of ours keeps its traceback.
    """
    try:
        args = parser.parse_args(argv)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else EXIT_USAGE
    try:
        return body(args)
    except (UsageError, X3DDetError) as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return EXIT_USAGE if isinstance(error, UsageError) else EXIT_FAILED
    except BrokenPipeError:
        sys.stderr.close()
        return EXIT_FAILED
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
