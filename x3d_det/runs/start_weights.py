"""What a training starts from: published or own weights, by path or by a name of the zoo."""

import logging
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from x3d_det.checkpoints import load_pretrained
from x3d_det.engine import World
from x3d_det.io.checkpoint import checkpoint_steps
from x3d_det.zoo import weights_path

_logger = logging.getLogger(__name__)


def start_weights(
    model: nn.Module,
    pretrained: str | None,
    world: World,
    *,
    class_names: Sequence[str] | None = None,
    resume_from: Path | None = None,
) -> None:
    """Fill `model` with the weights that fit, and say which did; None leaves it random.

    Args:
        model: a classifier or a detector.
        pretrained: file of any known layout, or a name of `x3d_det.zoo`, downloaded at the
            first use.
        world: of the run; only rank 0's model is filled.
        class_names: of the model's outputs; a class layer for other names is left out.
        resume_from: folder of a run that is gone on with; where it has a checkpoint, that brings
            all weights and nothing is done here.

    Raises:
        X3DDetError: no such file or name, no download, or weights of another network.
    """
    if resume_from is not None and world.on_main(lambda: bool(checkpoint_steps(resume_from))):
        return
    if pretrained is None:
        if world.is_main:
            _logger.info(
                "starting from random weights; published weights are taken by "
                "--set pretrained=FILE_OR_ZOO_NAME"
            )
        return
    # Rank 0 alone: `engine.train` begins by giving its weights to all.
    report = world.on_main(
        lambda: load_pretrained(model, weights_path(pretrained), class_names=class_names)
    )
    if world.is_main:
        _logger.info("pretrained %s: %s", pretrained, report.text())
