"""Stochastic gradient descent, with momentum."""
from __future__ import annotations

from minimoe.kernels.reference.dense import blocks
from minimoe.optim.optimiser import Optimiser, check_options


class SGD(Optimiser):
    """Gradient descent as torch.optim.SGD without dampening; the formula is at `sgd_update`.

    Raises what Optimiser raises, and ValueError for negative options and nesterov without momentum.
    """

    def __init__(self, params, lr: float = 1e-3, momentum: float = 0.0, *, weight_decay: float = 0.0,
                 nesterov: bool = False):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay,
                                      "nesterov": nesterov})
        for group in self.param_groups:
            check_options("SGD", lr=group["lr"], momentum=group["momentum"], weight_decay=group["weight_decay"])
            if group["nesterov"] and not group["momentum"]:
                raise ValueError("SGD: nesterov needs a momentum above 0")
        if any(group["momentum"] for group in self.param_groups):
            self._keep("m")

    def _update(self, theta, g, *state, step: int, group: dict) -> None:
        sgd_update(theta, g, state[0] if group["momentum"] else None, float(group["lr"]),
                   float(group["momentum"]), float(group["weight_decay"]), group["nesterov"])


def sgd_update(theta, g, m, lr: float, momentum: float = 0.0, weight_decay: float = 0.0,
               nesterov: bool = False) -> None:
    """g <- g + weight_decay theta; m <- momentum m + g; theta <- theta - lr m, with nesterov - lr (g + momentum m).

    In place on theta and m; the arrays have one shape and dtype. m is None without momentum: theta <- theta - lr g.
    """
    parts = blocks(theta, g) if m is None else blocks(theta, g, m)
    for theta, g, *moment in parts:
        if weight_decay:
            g = g + weight_decay * theta
        for m in moment:
            m *= momentum
            m += g
            g = g + momentum * m if nesterov else m
        theta -= lr * g
