"""Which experts a token gets."""
from __future__ import annotations

import numpy as np


def select_experts(logits, row_ptr):
    """The experts of every token, best first: (logit descending, index ascending). (N, E), (N+1,) -> int32 (A,)."""
    k = np.diff(row_ptr)
    order = np.argsort(-logits, axis=1, kind="stable").astype(np.int32)             # (N, E)
    return order[np.arange(logits.shape[1]) < k[:, None]]                           # (A,)
