"""Rows of a table by their number."""
from __future__ import annotations

from minimoe import kernels
from minimoe.autograd import op
from minimoe.backend import is_array
from minimoe.ops.checks import same_float


@op
def embedding(xp, ids, weight, padding_idx=None):
    """y = weight[ids]. ids: integers of any shape; weight (V, d) -> ids.shape + (d,).

    A row picked several times receives the sum of its gradients, the row `padding_idx` (negative counts from the end)
    none, however often it is picked. Raises ValueError for ids outside 0..V-1 (negative ones too) and for shapes,
    TypeError for ids that are no integers.
    """
    same_float("embedding", weight=weight)
    if not is_array(ids) or ids.dtype.kind not in "iu":
        kind = ids.dtype if is_array(ids) else f"a {type(ids).__name__}"
        raise TypeError(f"embedding: ids is {kind}; it must be an integer array: use ids.astype('int64')")
    if weight.ndim != 2:
        raise ValueError(f"embedding: weight is {weight.shape}; it must be (V, d)")
    n_rows = weight.shape[0]
    if ids.size and (int(ids.min()) < 0 or int(ids.max()) >= n_rows):
        raise ValueError(f"embedding: ids go from {ids.min()} to {ids.max()}; this weight has rows 0 to {n_rows - 1}")
    if padding_idx is not None and not -n_rows <= padding_idx < n_rows:
        raise ValueError(f"embedding: padding_idx is {padding_idx}; this weight has rows 0 to {n_rows - 1}")
    y = kernels.of(weight).gather_rows(weight, ids)

    def backward(gy):
        flat = gy.reshape(ids.size, weight.shape[1])
        gw = kernels.of(weight).embedding_gradient(ids.reshape(-1).astype(xp.int64), flat, n_rows)
        if padding_idx is not None:
            gw[padding_idx] = 0
        return None, gw

    return y, backward
