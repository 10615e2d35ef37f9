"""The networks of a case, all of the same random weights, ready to be run on random clips."""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import torch
from torch import Tensor, nn

from x3d_det.checkpoints import export_state
from x3d_det.models import (
    X3D,
    X3D_SPECS,
    X3DClassifier,
    X3DDetector,
    build_detector,
    fuse_for_inference,
)
from x3d_det.models.complexity import count_multiply_adds, count_parameters
from x3d_det.models.x3d import BASE_STAGE_CHANNELS
from x3d_det.profiling.case import (
    FUSED,
    NUM_CLASSES,
    PYTORCHVIDEO,
    ProfileCase,
)

_FEATURE_STRIDE = 32


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one clip costs, and the parameters."""

    multiply_adds: int
    """Of one clip with its boxes, as `models.complexity` counts them."""
    multiply_adds_by_torch: int
    """The same by torch's own counter of the operations that ran."""
    parameters: int
    parameters_without_batch_norm: int


def has_pytorchvideo() -> bool:
    """Return whether PyTorchVideo is installed."""
    return find_spec("pytorchvideo") is not None


def import_pytorchvideo() -> Callable[..., nn.Module]:
    """Return PyTorchVideo's `create_x3d`; it must be installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it uses what torch has deprecated
        from pytorchvideo.models.x3d import create_x3d
    return create_x3d  # type: ignore[no-any-return]


class Networks:
    """The implementations of one case; they share their weights, so their outputs are equal.

    Args:
        case: what is profiled.
        implementations: those to build, of `case.implementations`.
    """

    def __init__(self, case: ProfileCase, implementations: Sequence[str]) -> None:
        self._case = case
        self._device = torch.device(case.device)
        self._dtype = getattr(torch, case.precision)
        torch.manual_seed(0)
        ours = _our_model(case).to(self._device)
        self._ours = ours
        self._models: dict[str, nn.Module] = {}
        for name in implementations:
            if name == FUSED:
                self._models[name] = fuse_for_inference(ours, dtype=self._dtype)
            elif name == PYTORCHVIDEO:
                assert isinstance(ours, X3DClassifier)
                self._models[name] = _pytorchvideo_twin(ours, case).to(self._device)
            else:
                self._models[name] = ours

    def run(self, name: str, batch_size: int) -> Callable[[], Tensor]:
        """Return a call that runs an implementation once, on clips that are there already."""
        model = self._models[name]
        inputs = self._inputs(batch_size)
        is_autocast = name != FUSED and self._dtype != torch.float32

        def once() -> Tensor:
            with (
                torch.inference_mode(),
                torch.autocast(self._device.type, dtype=self._dtype, enabled=is_autocast),
            ):
                output = model(*inputs)
            assert isinstance(output, Tensor)
            if self._device.type == "cuda":
                torch.cuda.synchronize(self._device)
            return output

        return once

    def reference(self) -> Tensor:
        """Return what our model gives for one clip, as it is trained, in float32."""
        with torch.inference_mode():
            output = self._ours(*self._inputs(1))
        assert isinstance(output, Tensor)
        return output

    def cost(self, name: str) -> Cost:
        """Return the cost of one clip; the fused form costs what it was made of."""
        from torch.utils.flop_counter import FlopCounterMode  # heavy: not before memory is read

        model = self._ours if name == FUSED else self._models[name]
        with FlopCounterMode(display=False) as counter:
            multiply_adds = count_multiply_adds(model, *self._inputs(1))
        return Cost(
            multiply_adds=multiply_adds,
            multiply_adds_by_torch=counter.get_total_flops() // 2,  # it counts each as two
            parameters=count_parameters(model),
            parameters_without_batch_norm=count_parameters(model, with_batch_norm=False),
        )

    def _inputs(self, batch_size: int) -> tuple[Tensor] | tuple[Tensor, list[Tensor]]:
        case = self._case
        generator = torch.Generator().manual_seed(1)
        shape = (batch_size, 3, case.num_frames, case.height_px, case.width_px)
        clips_BCTHW = torch.randn(shape, generator=generator).to(self._device)
        if case.kind == "classifier":
            return (clips_BCTHW,)
        sides = torch.tensor([case.width_px, case.height_px] * 2, dtype=torch.float32)
        corners = torch.rand(case.num_boxes, 2, 2, generator=generator).sort(dim=1).values
        boxes = (corners.flatten(1) * sides).to(self._device)
        return clips_BCTHW, [boxes] * batch_size


def _our_model(case: ProfileCase) -> X3DClassifier | X3DDetector:
    spec = X3D_SPECS[case.model]
    num_classes = NUM_CLASSES[case.kind]
    model: X3DClassifier | X3DDetector
    if case.kind == "detector":
        model = build_detector(spec, num_actions=num_classes)
    else:
        model = X3DClassifier(X3D(spec), num_classes=num_classes)
        # pooled whole, whatever the size, as in the published counts
        cells = tuple(math.ceil(px / _FEATURE_STRIDE) for px in (case.height_px, case.width_px))
        model.head.pool_size = (spec.num_frames, cells[0], cells[1])
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm3d):
            # Fresh, the zero weights would switch the blocks off, and numbers near 0 be slow.
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, std=0.1)
    return model.eval()


def _pytorchvideo_twin(ours: X3DClassifier, case: ProfileCase) -> nn.Module:
    spec = X3D_SPECS[case.model]
    # Its widths are factors of 12 channels, half of the paper's 24.
    theirs = import_pytorchvideo()(
        input_clip_length=case.num_frames,
        input_crop_size=case.height_px,
        model_num_class=NUM_CLASSES["classifier"],
        width_factor=spec.width_factor * BASE_STAGE_CHANNELS[0] / 12,
        depth_factor=spec.depth_factor,
        bottleneck_factor=spec.bottleneck_factor,
    )
    theirs.load_state_dict(export_state(ours.state_dict(), layout="pytorchvideo").state)
    return theirs.eval()
