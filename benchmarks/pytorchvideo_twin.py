"""PyTorchVideo's X3D with the weights of one of ours, for the benchmarks beside it."""

from typing import Any

from pytorchvideo.models.x3d import create_x3d
from torch import nn

from x3d_det.models import X3D, X3D_SPECS, X3DClassifier
from x3d_det.models.layers import Bottleneck


def random_classifier(name: str, *, num_classes: int = 400) -> X3DClassifier:
    """Return X3D-`name` in PyTorchVideo's layout, with random weights and statistics.

    BatchNorm is random too: fresh, its zero weights would switch the blocks off.
    """
    backbone = X3D(X3D_SPECS[name], shortcut_norm_when_same_width=False)
    model = X3DClassifier(backbone, num_classes=num_classes)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm3d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, std=0.1)
            assert layer.running_mean is not None
            assert layer.running_var is not None
            nn.init.normal_(layer.running_mean, std=0.1)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
    return model


def pytorchvideo_twin(ours: X3DClassifier) -> nn.Module:
    """Return `create_x3d`'s model of the same weights; it ends in logits in both modes."""
    spec = ours.backbone.spec
    theirs: Any = create_x3d(
        input_clip_length=spec.num_frames,
        input_crop_size=spec.crop_size,
        depth_factor=spec.depth_factor,
        model_num_class=ours.head.projection.out_features,
        head_activation=None,
    )
    stem, pool = theirs.blocks[0], theirs.blocks[5].pool
    pairs: list[tuple[Any, Any]] = [
        (ours.backbone.stem.conv_xy, stem.conv.conv_t),  # these two names are swapped there
        (ours.backbone.stem.conv_t, stem.conv.conv_xy),
        (ours.backbone.stem.norm, stem.norm),
        (ours.head.conv5, pool.pre_conv),
        (ours.head.norm5, pool.pre_norm),
        (ours.head.projection, theirs.blocks[5].proj),
    ]
    for stage, their_stage in zip(ours.backbone.stages.values(), theirs.blocks[1:5], strict=True):
        for block, their_block in zip(stage.children(), their_stage.res_blocks, strict=True):
            assert isinstance(block, Bottleneck)
            pairs += _block_pairs(block, their_block)
    for layer, their_layer in pairs:
        their_layer.load_state_dict(layer.state_dict())
    lin5 = ours.head.lin5.weight
    pool.post_conv.load_state_dict({"weight": lin5[:, :, None, None, None]})
    return theirs


def _block_pairs(block: Bottleneck, theirs: Any) -> list[tuple[Any, Any]]:
    branch = theirs.branch2
    pairs: list[tuple[Any, Any]] = [
        (block.conv_a, branch.conv_a),
        (block.norm_a, branch.norm_a),
        (block.conv_b, branch.conv_b),
        (block.norm_b, branch.norm_b[0]),
        (block.conv_c, branch.conv_c),
        (block.norm_c, branch.norm_c),
    ]
    if block.se is not None:
        fc1, fc2 = branch.norm_b[1].block[0], branch.norm_b[1].block[2]
        pairs += [(block.se.fc1, fc1), (block.se.fc2, fc2)]
    if block.shortcut_conv is not None:
        pairs.append((block.shortcut_conv, theirs.branch1_conv))
    if block.shortcut_norm is not None:
        pairs.append((block.shortcut_norm, theirs.branch1_norm))
    return pairs
