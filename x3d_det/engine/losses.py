"""What a classifier of whole clips learns from: cross-entropy, with softer targets on demand.

Shape suffixes in this file: B clips, C channels, T frames, H x W pixels, K classes.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def class_loss(logits_BK: Tensor, targets: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Return the mean cross-entropy over the clips, in float32.

    Args:
        logits_BK: before the softmax.
        targets: class indices, int64 (B,), or shares of the classes, float32 (B, K).
        label_smoothing: share in [0, 1) of each target that is spread evenly over the classes.

    Source: of label smoothing: Inception-v3, arXiv:1512.00567, Sec. 7.
    """
    return F.cross_entropy(logits_BK.float(), targets, label_smoothing=label_smoothing)


def mix_clips(
    clips_BCTHW: Tensor, labels_B: Tensor, *, num_classes: int, alpha: float
) -> tuple[Tensor, Tensor]:
    """Return every clip mixed with another of the batch, and its target shares (B, K).

    Both draws, one share for the batch and who is mixed with whom, come from torch's
    generator of the CPU. The larger share is the clip's own, so that its label stays the most
    likely one; as every clip of a pair is drawn as both, what is learnt is the same.

    Args:
        clips_BCTHW: normalised.
        labels_B: int64, 0 to K - 1.
        num_classes: K.
        alpha: above 0; the share is drawn from Beta(alpha, alpha).

    Source: mixup, arXiv:1710.09412, with one share for a batch as in its Sec. 2's listing.
    """
    if alpha <= 0:
        raise ValueError(f"alpha is {alpha}; mixup needs a number above 0.")
    share = float(torch.distributions.Beta(alpha, alpha).sample())
    own = max(share, 1 - share)
    order_B = torch.randperm(len(labels_B)).to(labels_B.device)
    targets_BK = F.one_hot(labels_B, num_classes).float()
    mixed_BCTHW = torch.lerp(clips_BCTHW[order_B], clips_BCTHW, own)
    return mixed_BCTHW, torch.lerp(targets_BK[order_B], targets_BK, own)
