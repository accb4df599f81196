"""Thresholds that follow the importance seen in training, for the `threshold` schedule."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minimoe.backend import array_module, to_host
from minimoe.nn.module import Module, Parameter


class RunningThresholds(Module):
    """Running quantiles of importance: `values[t]` follows the shares[t]-quantile over the real tokens of each batch.

    Given to `allocate_experts(..., "threshold", thresholds=running.values)`, the expected experts per token are
    k_min + sum_t (1 - shares[t]), with no look at the rest of the sample. Call `update` in training only; leaving it
    uncalled freezes the values for evaluation. The first update sets them, later ones move them by 1 - decay.
    values: float64 (len(shares),), NaN before the first update; as an untrained Parameter it is saved with the model.
    Raises ValueError for a share outside 0..1, or a decay outside 0..1.
    """

    def __init__(self, shares: Sequence[float], decay: float = 0.99):
        self.shares = np.asarray(shares, dtype=np.float64)
        self.decay = decay
        if self.shares.ndim != 1 or not ((self.shares >= 0) & (self.shares <= 1)).all() or not 0 <= decay <= 1:
            raise ValueError(f"RunningThresholds: shares and decay must lie in 0..1, got {shares} and {decay}")
        self.values = Parameter(np.full(self.shares.shape, np.nan), requires_grad=False)

    def update(self, importance: np.ndarray, mask: np.ndarray | None = None) -> None:
        """Moves the values towards this batch: importance (B,S), mask (B,S) bool, True = real token. A batch without
        real tokens changes nothing. Raises ValueError where importance is NaN or infinite, for it would never leave."""
        batch = self._quantiles(importance, mask)
        if batch is not None:
            xp, old = array_module(self.values.data), self.values.data
            batch = xp.asarray(batch, dtype=old.dtype)
            self.values.data[...] = xp.where(xp.isnan(old), batch, self.decay * old + (1 - self.decay) * batch)

    def in_use(self, importance: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        """The values (len(shares),); before the first update this batch's quantiles, infinity where it is empty."""
        if not bool(array_module(self.values.data).isnan(self.values.data).any()):
            return self.values.data
        batch = self._quantiles(importance, mask)
        return np.full(self.shares.shape, np.inf) if batch is None else batch

    def _quantiles(self, importance: np.ndarray, mask: np.ndarray | None) -> np.ndarray | None:
        """This batch's quantiles on the host, float64; None where no token is real."""
        seen = to_host(importance)
        seen = seen.ravel() if mask is None else seen[to_host(mask)]
        if not np.isfinite(seen).all():
            raise ValueError(f"RunningThresholds: importance is NaN or infinite at {(~np.isfinite(seen)).sum()} tokens")
        return np.quantile(seen.astype(np.float64), self.shares) if seen.size else None
