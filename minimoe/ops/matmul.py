"""Matrix products."""
from __future__ import annotations

from minimoe.autograd import op
from minimoe.ops.checks import broadcasts, rows_of, same_float


@op
def matmul(xp, a, b):
    """y = a @ b as numpy.matmul: (..., M, K), (..., K, N) -> (..., M, N), leading axes broadcast; a 1-D a counts as a
    row and a 1-D b as a column, whose axis is dropped again.

    Raises ValueError for shapes that do not fit, TypeError unless both are float32 or both float64.
    """
    same_float("matmul", a=a, b=b)
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError(f"matmul: a is {a.shape} and b is {b.shape}; both need an axis: use mul for numbers")
    if a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        hint = " Did you mean b.T?" if b.ndim == 2 and a.shape[-1] == b.shape[-1] else ""
        raise ValueError(f"matmul: a is {a.shape} and b is {b.shape}; a's last size must equal "
                         f"b's {'second-to-last' if b.ndim > 1 else 'only one'}.{hint}")
    if not broadcasts(a.shape[:-2], b.shape[:-2]):
        raise ValueError(f"matmul: a is {a.shape} and b is {b.shape}; all sizes before the last two must be equal or 1")
    left = a[None] if a.ndim == 1 else a                                    # (..., M, K)
    right = b[:, None] if b.ndim == 1 else b                                # (..., K, N)
    flat = right.ndim == 2                          # one matrix on the right: one large product instead of many small
    if flat:
        rows = left.reshape(rows_of(left), left.shape[-1])                  # (R, K)
        y = xp.matmul(rows, right).reshape(left.shape[:-1] + right.shape[-1:])
    else:
        y = xp.matmul(left, right)                                          # (..., M, N)
    full = y.shape
    shape = full[:-2] + (full[-2:-1] if a.ndim > 1 else ()) + (full[-1:] if b.ndim > 1 else ())

    def backward(gy):
        gy = gy.reshape(full)
        if flat:
            g = xp.ascontiguousarray(gy.reshape(rows.shape[0], full[-1]))   # (R, N); BLAS cannot read broadcast views
            ga, gb = xp.matmul(g, right.T).reshape(left.shape), xp.matmul(rows.T, g)
        else:
            ga, gb = xp.matmul(gy, right.swapaxes(-1, -2)), xp.matmul(left.swapaxes(-1, -2), gy)
        return ga[..., 0, :] if a.ndim == 1 else ga, gb[..., 0] if b.ndim == 1 else gb

    return y.reshape(shape), backward


@op
def linear(xp, x, weight, bias=None):
    """y = x weight^T + bias. x (..., in), weight (out, in), bias (out,) or None -> (..., out).

    Raises ValueError for shapes that do not fit, TypeError unless all are float32 or all float64.
    """
    same_float("linear", ("bias",), x=x, weight=weight, bias=bias)
    if weight.ndim != 2 or x.ndim == 0 or x.shape[-1] != weight.shape[1]:
        raise ValueError(f"linear: x is {x.shape} and weight is {weight.shape}; they must be (..., in) and (out, in)")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f"linear: bias is {bias.shape}; a weight of {weight.shape} needs {weight.shape[:1]}")
    rows = x.reshape(rows_of(x), x.shape[-1])                               # (R, in)
    y = xp.matmul(rows, weight.T)                                           # (R, out)
    if bias is not None:
        y += bias

    def backward(gy):
        g = xp.ascontiguousarray(gy.reshape(rows.shape[0], weight.shape[0]))
        gx = xp.matmul(g, weight).reshape(x.shape)
        gb = None if bias is None else xp.matmul(xp.ones(g.shape[0], g.dtype), g)   # twice as fast as g.sum(0)
        return gx, xp.matmul(g.T, rows), gb

    return y.reshape(x.shape[:-1] + weight.shape[:1]), backward
