"""The expert layer: route, dispatch, compute on contiguous segments, combine."""
from __future__ import annotations

from minimoe import ops
from minimoe.moe.base import Router
from minimoe.moe.experts import Experts
from minimoe.moe.make import make_router
from minimoe.moe.routing import Routing
from minimoe.nn.init import generator
from minimoe.nn.module import Module
from minimoe.tensor import Tensor


class MoELayer(Module):
    """y_i = sum over token i's experts of g_a FFN_e(x_i), for the K_i experts its router chose.

    `router`: a Router, or a name of `make_router` with `router_options`. `rng`: generator or integer seed for the
    weights. Only chosen rows are computed, so cost follows the sum of K. `grouped`: how a GPU multiplies, as in
    minimoe.ops.grouped: with "kernel" a forward and its backward make the host wait for nothing where the router knows
    its sum of K; with "library" once.
    """

    def __init__(self, d_model: int, d_ff: int, n_experts: int, router: Router | str = "da", activation: str = "gelu",
                 *, rng, router_options: dict | None = None, dropout: float = 0.0, dropout_rng=None,
                 grouped: str = "library"):
        for_experts, for_router = generator(rng, "MoELayer").spawn(2)
        if isinstance(router, str):
            router = make_router(router, d_model, n_experts, rng=for_router, **(router_options or {}))
        if router.n_experts != n_experts:
            raise ValueError(f"MoELayer: the router has {router.n_experts} experts, the layer {n_experts}")
        self.router = router
        self.experts = Experts(d_model, d_ff, n_experts, activation, rng=for_experts, dropout=dropout,
                               dropout_rng=dropout_rng, grouped=grouped)

    def forward(self, x: Tensor, importance=None, mask=None) -> tuple[Tensor, Routing]:
        """x (B, S, d) or (N, d); importance and mask (B, S), mask bool with True for real tokens -> (y, routing).

        A token without experts, padding included, gets y = 0.
        """
        x = x if isinstance(x, Tensor) else Tensor(x)
        routing = self.router(x, importance, mask)
        rows = ops.dispatch(x.reshape(-1, x.shape[-1]), routing.plan)                   # (kept, d)
        u = self.experts(rows, routing.plan.offsets)                                    # (kept, d)
        y = self.router.weigh(ops.combine(u, routing.gates, routing.plan), importance, mask)        # (N, d)
        return y.reshape(x.shape), routing
