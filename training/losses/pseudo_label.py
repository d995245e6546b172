"""Cross-entropy on pseudo-labels (DeepCluster, Caron 2018)."""

from torch import Tensor
from torch.nn import functional


def pseudo_label(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy: -mean_i log softmax_k(logits_ik) at the label of row i.

    Args:
        logits: (B, K), of K clusters.
        labels: int64 (B,), the cluster of each row.

    Returns:
        A scalar; 0 for an empty batch.
    """
    if not len(logits):
        return logits.sum() * 0
    return functional.cross_entropy(logits, labels)
