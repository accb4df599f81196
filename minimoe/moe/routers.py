"""Routers: from tokens to a Routing. One base class; a router of your own overrides one method."""
from __future__ import annotations

import inspect

import numpy as np

from minimoe import ops
from minimoe.backend import array_module
from minimoe.moe.allocation import allocate_experts
from minimoe.moe.importance import rollout, router_entropy, token_importance
from minimoe.moe.normalise import normalise_importance
from minimoe.moe.routing import Routing, assemble, clean_logits
from minimoe.nn.init import generator, truncated_normal
from minimoe.nn.module import Module, Parameter
from minimoe.tensor import Tensor


ALLOCATION_OPTIONS = frozenset(
    name for name, parameter in inspect.signature(allocate_experts).parameters.items()
    if parameter.kind is parameter.KEYWORD_ONLY and name not in ("probabilities", "exclude_special"))


SOURCES = ("same", "prev", "mean_of_layers")
EVALUATION_SEED = 0


class Router(Module):
    """z = x W^T, p = softmax(z), K from `experts_per_token`, then the K_i best experts by z.

    Implement `experts_per_token`. Set `measure` to a measure of `token_importance` if importance is wanted; it is
    None otherwise. Weight (E, d_model), drawn from `rng` (a generator or an integer seed) by the rule of
    minimoe.nn.init, with a stream of its own.

    Options: gates, capacity, priority, capacity_min, renorm_after_drop, ban, balance_weight, z_weight,
    entropy_weight and on_nonfinite as in `route`; eval_capacity: the capacity factor outside training (default: the
    same); jitter: in training the router sees x times U(1 - jitter, 1 + jitter), the experts see x (Switch,
    confirmed, 0.01 there); gauss: in training N(0, 1) * gauss / E is added to z (assumed).
    """

    measure: str | None = None
    heads, normalise = "mean", "none"
    k_range: tuple[int, int] | None = None

    def __init__(self, d_model: int, n_experts: int, *, rng, gates: str = "raw", capacity: float | None = None,
                 eval_capacity: float | None = None, priority: str = "position", capacity_min: int = 1,
                 renorm_after_drop: bool = False, ban=None, balance_weight: float = 0.01, z_weight: float = 0.001,
                 entropy_weight: float = 0.0, jitter: float = 0.0, gauss: float = 0.0, on_nonfinite: str = "raise"):
        super().__init__()
        if n_experts < 1:
            raise ValueError(f"{type(self).__name__}: n_experts is {n_experts}; it must be at least 1")
        if not 0 <= jitter < 1 or gauss < 0:
            raise ValueError(f"{type(self).__name__}: jitter {jitter} must lie in [0, 1), gauss {gauss} be 0 or more")
        weights, self.noise = generator(rng, type(self).__name__).spawn(2)
        self.weight = Parameter(truncated_normal(weights, (n_experts, d_model), fan_in=d_model))
        self.n_experts = n_experts
        self.jitter, self.gauss = jitter, gauss
        self.capacity, self.eval_capacity = capacity, capacity if eval_capacity is None else eval_capacity
        self.ban, self.on_nonfinite = ban, on_nonfinite
        self.options = dict(gates=gates, priority=priority, capacity_min=capacity_min,
                            renorm_after_drop=renorm_after_drop, balance_weight=balance_weight, z_weight=z_weight,
                            entropy_weight=entropy_weight)

    def experts_per_token(self, probabilities, importance, mask):
        """K of every token, integers (N,) or (B, S). probabilities (N, E) after noise; importance (B, S) or None;
        mask (B, S) bool, True = real token, or None. Plain arrays: nothing flows back through K."""
        raise NotImplementedError(f"{type(self).__name__} must implement experts_per_token")

    def importance(self, attentions, mask=None, x=None):
        """Importance (B, S) of every token for this layer, or None when `measure` is None.

        attentions: (B, H, S, S) of every layer up to this block's own, which is the last; mask (B, S) bool or None;
        x (B, S, d_model): the expert layer's input, for `colsum_l1`.
        """
        if self.measure is None:
            return None
        return token_importance(attentions[-1], mask, self.measure, self.heads, self.normalise, x=x)

    def logits(self, x: Tensor) -> Tensor:
        """z (N, E) of x (N, d_model); in training with noise."""
        if self.training and self.jitter:
            x = x * self._noise_like(x, lambda shape: self.noise.uniform(1 - self.jitter, 1 + self.jitter, shape))
        z = ops.linear(x, self.weight)
        if self.training and self.gauss:
            z = z + self._noise_like(z, lambda shape: self.noise.standard_normal(shape) * self.gauss / self.n_experts)
        return z

    def forward(self, x: Tensor, importance=None, mask=None) -> Routing:
        """x (B, S, d_model), or (N, d_model), which counts as one sample; importance and mask (B, S) or None."""
        samples = (1,) + x.shape[:1] if x.ndim == 2 else x.shape[:2]
        mask, importance = (_per_sample(name, a, samples) for name, a in (("mask", mask), ("importance", importance)))
        if self.measure is not None and importance is None:
            raise ValueError(f"{type(self).__name__}: importance is missing; give token_importance(attention, mask)")
        logits, bad = clean_logits(self.logits(x.reshape(-1, x.shape[-1])), mask, self.ban, self.on_nonfinite)
        probabilities = ops.softmax(logits)
        return self.choose(logits, probabilities, importance, mask, bad)

    def choose(self, logits: Tensor, probabilities: Tensor, importance, mask, bad) -> Routing:
        """The Routing for clean logits (N, E)."""
        k = self.experts_per_token(probabilities.data, importance, mask)
        return self._assemble(logits, probabilities, k, bad, importance, mask)

    def _assemble(self, logits, probabilities, k, bad, importance, mask, **more) -> Routing:
        capacity = self.capacity if self.training else self.eval_capacity
        return assemble(logits, probabilities, k, bad, importance=importance, mask=mask, ban=self.ban,
                        capacity=capacity, k_range=self.k_range, **self.options, **more)

    @staticmethod
    def _noise_like(x: Tensor, draw):
        xp = array_module(x.data)
        return xp.asarray(draw(x.shape).astype(x.dtype))


class SwitchRouter(Router):
    """One expert per token (Switch Transformer, arXiv 2101.03961, confirmed); dropless unless a capacity is given."""

    k_range = (1, 1)

    def experts_per_token(self, probabilities, importance, mask):
        return array_module(probabilities).ones(len(probabilities), "int32")


class TopKRouter(Router):
    """k experts for every token. Raises ValueError unless 1 <= k <= n_experts."""

    def __init__(self, d_model: int, n_experts: int, k: int = 2, **options):
        super().__init__(d_model, n_experts, **options)
        if not 1 <= k <= n_experts:
            raise ValueError(f"TopKRouter: k is {k}; it must lie in 1..{n_experts}, the number of experts")
        self.k_range = (k, k)

    def experts_per_token(self, probabilities, importance, mask):
        return array_module(probabilities).full(len(probabilities), self.k_range[0], "int32")


class DynamicRouter(Router):
    """DA-MoE (arXiv 2409.06669): importance from attention decides K_i, the token goes to its K_i best experts.

    The idea is confirmed by the paper's abstract; K_i = ceil(E * I_i) with I the head mean of the largest attention
    weight is reported; its axis (rows), raw gates and everything else are assumed. measure, heads, normalise as in
    `token_importance`, and the measures "rollout" (of the layers so far) and "router_entropy" (a control); source:
    the attention of the "same" block (the only matrix whose tokens are exactly this layer's inputs), of the "prev"
    one, or the "mean_of_layers" so far; allocation, k_min, k_max, mean_experts and the keywords of one schedule as in
    `allocate_experts`.
    """

    extra_options = ALLOCATION_OPTIONS

    def __init__(self, d_model: int, n_experts: int, *, measure: str = "rowmax", heads: str = "mean",
                 normalise: str = "none", source: str = "same", allocation: str = "ceil", k_min: int = 1,
                 k_max: int | None = None, mean_experts: float | None = None, priority: str = "importance", **options):
        schedule = {name: options.pop(name) for name in list(options) if name in self.extra_options}
        super().__init__(d_model, n_experts, priority=priority, **options)
        if source not in SOURCES:
            raise ValueError(f"DynamicRouter: source {source!r} is not one of {', '.join(SOURCES)}")
        k_max = n_experts if k_max is None else k_max
        self.measure, self.heads, self.normalise, self.source = measure, heads, normalise, source
        self.k_range = (k_min, k_max)
        self.allocation = schedule | dict(n_experts=n_experts, allocation=allocation, k_min=k_min, k_max=k_max,
                                          mean_experts=mean_experts)
        self._try_options()

    def importance(self, attentions, mask=None, x=None):
        rng = self.noise if self.training else EVALUATION_SEED          # evaluation repeats itself
        if self.measure == "rollout":
            return normalise_importance(rollout(attentions, mask, "each" if self.heads == "each" else "mean"),
                                        _real(attentions[-1], mask), self.normalise)
        attention = attentions[-1]
        if self.measure == "router_entropy":                            # `choose` knows the probabilities
            return array_module(attention).zeros((attention.shape[0], attention.shape[2]), attention.dtype)
        if self.source == "prev":
            attention = attentions[max(len(attentions) - 2, 0)]
        elif self.source == "mean_of_layers":
            attention = sum(attentions) / len(attentions)
        return token_importance(attention, mask, self.measure, self.heads, self.normalise, x=x, rng=rng)

    def choose(self, logits, probabilities, importance, mask, bad):
        if self.measure == "router_entropy":
            importance = normalise_importance(router_entropy(self._by_sample(probabilities.data, importance), mask),
                                              _real(importance, mask), self.normalise)
        return super().choose(logits, probabilities, importance, mask, bad)

    def experts_per_token(self, probabilities, importance, mask):
        needs_probabilities = self.allocation["allocation"] in ("pairs", "top_p")
        return allocate_experts(importance, mask, **self.allocation,
                                probabilities=self._by_sample(probabilities, importance) if needs_probabilities else None)

    def _by_sample(self, probabilities, importance):
        return probabilities.reshape(*importance.shape, self.n_experts)

    def _try_options(self) -> None:
        """Unknown names and impossible limits are refused here, not in the first step."""
        one = np.ones((1, 1, 1, 1), np.float32)
        even = np.full((1, self.n_experts), 1 / self.n_experts, np.float32)
        self.eval()
        self.experts_per_token(even, self.importance([one], x=one[0]), None)
        self.train()


class TopPRouter(Router):
    """The fewest experts whose probabilities reach p, the crossing one included (arXiv 2403.07652, confirmed, 0.4)."""

    def __init__(self, d_model: int, n_experts: int, p: float = 0.4, *, entropy_weight: float = 1e-4, **options):
        super().__init__(d_model, n_experts, entropy_weight=entropy_weight, **options)
        if not 0 < p <= 1:
            raise ValueError(f"TopPRouter: p is {p}; it must lie in (0, 1]")
        self.p = p
        self.k_range = (1, n_experts)

    def experts_per_token(self, probabilities, importance, mask):
        return allocate_experts(None, None, self.n_experts, "top_p", probabilities=probabilities[None], p=self.p)


class ExpertChoiceRouter(Router):
    """Every expert takes its floor(n * mean_experts / E) best real tokens of each sample by p (ties: lower token).

    A token may get no expert or many; no balance loss is needed, so its weight is 0 by default.
    Source: arXiv 2202.09368, confirmed. Looks at the whole sample, so never for causal models.
    """

    def __init__(self, d_model: int, n_experts: int, mean_experts: float = 1.0, *, balance_weight: float = 0.0,
                 **options):
        super().__init__(d_model, n_experts, balance_weight=balance_weight, **options)
        if not 0 < mean_experts <= n_experts:
            raise ValueError(f"ExpertChoiceRouter: mean_experts is {mean_experts}; it must lie in (0, {n_experts}]")
        self.mean_experts = mean_experts

    def choose(self, logits, probabilities, importance, mask, bad):
        xp = array_module(logits.data)
        n, n_experts = logits.shape
        batch, length = (1, n) if mask is None else mask.shape
        taken = self._taken(xp, probabilities.data.reshape(batch, length, n_experts), mask).reshape(n, n_experts)
        scores = xp.where(taken, logits.data, -xp.inf)
        return self._assemble(logits, probabilities, taken.sum(axis=1), bad, importance, mask, scores=scores)

    def _taken(self, xp, p, mask):
        """bool (B, S, E): the tokens each expert takes."""
        real = xp.ones(p.shape[:2], bool) if mask is None else mask
        places = xp.floor(real.sum(axis=1) * self.mean_experts / self.n_experts + 1e-9).astype(xp.int64)      # (B,)
        best = xp.argsort(xp.where(real[:, :, None], -p, xp.inf), axis=1, kind="stable")        # (B, S, E) tokens
        taken = xp.zeros(p.shape, bool)
        xp.put_along_axis(taken, best, (xp.arange(p.shape[1]) < places[:, None])[:, :, None], axis=1)
        return taken


def _per_sample(name: str, array, samples: tuple[int, int]):
    """(B, S), also from (N,) for a single sample."""
    if array is None:
        return None
    if array.shape != samples and not (array.ndim == 1 and array.shape == samples[1:] and samples[0] == 1):
        raise ValueError(f"router: {name} is {array.shape}; x needs {samples}")
    return array.reshape(samples)


def _real(like, mask):
    """mask, or all True where there is none: bool (B, S)."""
    return array_module(like).ones((like.shape[0], like.shape[-1]), bool) if mask is None else mask
