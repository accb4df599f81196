"""Adam and AdamW."""
from __future__ import annotations

import numpy as np

from minimoe import kernels
from minimoe.optim.optimiser import Optimiser, check_options


class Adam(Optimiser):
    """Adam as torch.optim.Adam: `weight_decay` is coupled, added to the gradient before the moments (an L2 penalty).

    Step t, g the gradient plus weight_decay theta: m <- beta1 m + (1 - beta1) g; v <- beta2 v + (1 - beta2) g^2;
    theta <- theta - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps). Source: Kingma and Ba (arXiv 1412.6980),
    confirmed. Raises what Optimiser raises, and ValueError for negative options, betas outside [0, 1) and an eps that
    vanishes in the parameters' dtype.
    """

    decoupled = False                               # AdamW, below, decays beside the gradient instead

    def __init__(self, params, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0.0):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})
        name = type(self).__name__
        for group in self.param_groups:
            check_options(name, lr=group["lr"], eps=group["eps"], weight_decay=group["weight_decay"])
            if len(group["betas"]) != 2 or not all(0 <= beta < 1 for beta in group["betas"]):
                raise ValueError(f"{name}: betas are {group['betas']}; they must be two numbers in [0, 1)")
            for p in group["params"]:
                if group["eps"] < np.finfo(p.dtype).tiny:
                    raise ValueError(f"{name}: eps is {group['eps']}, which vanishes in {p.dtype} and makes 0/0 of a "
                                     "zero gradient; the usual value is 1e-8")
        self._keep("m")
        self._keep("v")

    def _update(self, theta, g, *state, step: int, group: dict) -> None:
        m, v = state
        beta1, beta2 = (float(beta) for beta in group["betas"])
        decay = float(group["weight_decay"])
        decays = {"weight_decay": decay} if self.decoupled else {"l2": decay}
        kernels.of(theta).adamw_update(theta, g, m, v, step, float(group["lr"]), beta1, beta2, float(group["eps"]),
                                       **decays)


class AdamW(Adam):
    """Adam with decoupled weight decay, as torch.optim.AdamW: beside the gradient, outside the moments.

    Here g is the gradient alone, and the step also takes lr weight_decay theta from the old theta; it acts on every
    parameter of the group. Source: Loshchilov and Hutter (arXiv 1711.05101), confirmed. Raises what Adam raises.
    """

    decoupled = True

    def __init__(self, params, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0.01):
        super().__init__(params, lr, betas, eps, weight_decay)
