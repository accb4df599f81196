"""The routers: fixed counts, counts from probabilities, experts that choose, and DA-MoE's counts from importance."""
from __future__ import annotations

import copy
import inspect

import numpy as np

from minimoe.backend import array_module
from minimoe.moe.allocation import SCHEDULES, allocate_experts, check_limits
from minimoe.moe.base import Router, check_numbers, check_switches
from minimoe.moe.checks import check_choice
from minimoe.moe.controls import apply_controls, split_controls
from minimoe.moe.importance import rollout, router_entropy, token_importance
from minimoe.moe.normalise import normalise_importance
from minimoe.moe.routing import Routing, who_counts
from minimoe.moe.soft import DIFFERENTIABLE, differentiable_importance, weigh_by_importance
from minimoe.moe.thresholds import RunningThresholds
from minimoe.nn.module import Parameter
from minimoe.tensor import raw

ALLOCATION_OPTIONS = frozenset(
    name for name, parameter in inspect.signature(allocate_experts).parameters.items()
    if parameter.kind is parameter.KEYWORD_ONLY and name not in ("probabilities", "exclude_special"))
# Which schedules read an option; k_min and k_max are for all.
READ_BY = {"mean_experts": ("quantile", "budget", "pairs"), "thresholds": ("threshold",),
           "threshold_shares": ("threshold",), "rho": ("mass",), "levels": ("quantile",), "gamma": ("pairs",),
           "p": ("top_p",), "group": ("mass", "quantile", "budget", "pairs")}
SOURCES = ("same", "prev", "mean_of_layers")
EVALUATION_SEED = 0


class SwitchRouter(Router):
    """One expert per token (Switch Transformer, arXiv 2101.03961, confirmed); dropless unless a capacity is given."""

    k_range = (1, 1)

    def experts_per_token(self, probabilities, importance, mask):
        return array_module(probabilities).ones(len(probabilities), "int32")

    def total_experts(self, lengths):
        return int(lengths.sum())


class TopKRouter(Router):
    """k experts for every token. Raises ValueError unless 1 <= k <= n_experts."""

    def __init__(self, d_model: int, n_experts: int, k: int = 2, **options):
        super().__init__(d_model, n_experts, **options)
        if not isinstance(k, int | np.integer) or not 1 <= k <= n_experts:
            raise ValueError(f"TopKRouter: k is {k}; it must be an integer in 1..{n_experts}, the number of experts")
        self.k_range = (k, k)

    def experts_per_token(self, probabilities, importance, mask):
        return array_module(probabilities).full(len(probabilities), self.k_range[0], "int32")

    def total_experts(self, lengths):
        return min(self.k_range[0], self.allowed_experts()) * int(lengths.sum())


class TopPRouter(Router):
    """The fewest experts whose probabilities reach p, the crossing one included (arXiv 2403.07652, confirmed, 0.4)."""

    def __init__(self, d_model: int, n_experts: int, p: float = 0.4, *, entropy_weight: float = 1e-4, **options):
        super().__init__(d_model, n_experts, entropy_weight=entropy_weight, **options)
        check_numbers("TopPRouter", p=p)
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
        check_numbers("ExpertChoiceRouter", mean_experts=mean_experts)
        if not 0 < mean_experts <= n_experts:
            raise ValueError(f"ExpertChoiceRouter: mean_experts is {mean_experts}; it must lie in (0, {n_experts}]")
        self.mean_experts = mean_experts

    def forward(self, x, importance=None, mask=None) -> Routing:
        if mask is None:                            # `choose` must know where one sample ends
            mask = array_module(raw(x)).ones(x.shape[:-1], bool)
        return super().forward(x, importance, mask)

    def choose(self, logits, softmax, importance, mask, bad, known):
        xp = array_module(logits.data)
        real = who_counts(mask, bad)
        taken = self._taken(xp, softmax[0].reshape(*real.shape, self.n_experts), real)
        taken = taken.reshape(logits.shape) & xp.isfinite(logits.data)                  # not by a banned expert
        scores = xp.where(taken, logits.data, -xp.inf)
        return self._assemble(logits, softmax, taken.sum(axis=1), bad, importance, mask, scores=scores, **known)

    def _taken(self, xp, p, real):
        """bool (B, S, E): the tokens each expert takes."""
        places = xp.floor(real.sum(axis=1) * self.mean_experts / self.n_experts + 1e-9).astype(xp.int64)      # (B,)
        best = xp.argsort(xp.where(real[:, :, None], -p, xp.inf), axis=1, kind="stable")        # (B, S, E) tokens
        taken = xp.zeros(p.shape, bool)
        xp.put_along_axis(taken, best, (xp.arange(p.shape[1]) < places[:, None])[:, :, None], axis=1)
        return taken


class DynamicRouter(Router):
    """DA-MoE (arXiv 2409.06669): importance from attention decides K_i, the token goes to its K_i best experts.

    The idea is confirmed by the paper's abstract; K_i = ceil(E * I_i) with I the head mean of the largest attention
    weight is reported; its axis (rows), raw gates and everything else are assumed. measure, heads, normalise as in
    `token_importance`, and the measures "rollout" (of the layers so far; heads "mean" or "each") and
    "router_entropy" (a control), both also inside shuffled(...) and reversed(...); source: the attention of the
    "same" block (the only matrix whose tokens are exactly this layer's inputs), of the "prev" one, or the
    "mean_of_layers" so far; allocation, k_min, k_max, mean_experts and the keywords of one schedule as in
    `allocate_experts`.

    threshold_shares: for `threshold`, in place of thresholds: quantiles of importance that follow training, see
    `RunningThresholds`. exclude_special: positions of a sample's real tokens, 0 the first and -1 the last, that get
    k_min and stay out of the competition (first and separator tokens often draw attention without meaning).
    soft_importance: a research switch; the layer's answer is scaled by 1 + kappa (I - mean I), kappa learned from 0,
    and the gradient reaches the attention (moe/soft.py, assumed). Only for measures that have one, not normalised.
    Raises ValueError for impossible options and for options that the chosen schedule or measure would not read.
    """

    extra_options = ALLOCATION_OPTIONS

    def __init__(self, d_model: int, n_experts: int, *, measure: str = "rowmax", heads: str = "mean",
                 normalise: str = "none", source: str = "same", allocation: str = "ceil", k_min: int = 1,
                 k_max: int | None = None, mean_experts: float | None = None, threshold_shares=None,
                 exclude_special=(), soft_importance: bool = False, priority: str = "importance", **options):
        schedule = {name: options.pop(name) for name in list(options) if name in self.extra_options}
        schedule = {name: value for name, value in schedule.items() if value is not None}
        super().__init__(d_model, n_experts, priority=priority, **options)
        k_max = n_experts if k_max is None else k_max
        self.measure, self.heads, self.normalise, self.source = measure, heads, normalise, source
        self.controls, self.inner = split_controls(measure)
        self.k_range = (k_min, k_max)
        self.special = np.asarray(exclude_special)
        if self.special.size and (self.special.ndim != 1 or self.special.dtype.kind != "i"):
            raise ValueError(f"DynamicRouter: exclude_special is {exclude_special!r}; it must be a list of positions")
        self.thresholds = None if threshold_shares is None else RunningThresholds(threshold_shares)
        self.allocation = schedule | dict(n_experts=n_experts, allocation=allocation, k_min=k_min, k_max=k_max,
                                          mean_experts=mean_experts)
        check_switches("DynamicRouter", soft_importance=soft_importance)
        self.kappa = Parameter(np.zeros(1, np.float32)) if soft_importance else None
        self._check_options(schedule | dict(mean_experts=mean_experts, threshold_shares=threshold_shares))

    def importance(self, attentions, mask=None, x=None):
        attention = attentions[-1]
        if self.inner == "router_entropy":                              # `choose` knows the probabilities
            return array_module(attention).zeros((attention.shape[0], attention.shape[2]), attention.dtype)
        rng = self._draws()
        if self.inner == "rollout":
            return self._finish(rollout(attentions, mask, self.heads), mask, rng)
        if self.source == "prev":
            attention = attentions[max(len(attentions) - 2, 0)]
        elif self.source == "mean_of_layers":
            attention = sum(attentions) / len(attentions)
        return self._finish(token_importance(attention, mask, self.inner, self.heads, x=x, rng=rng), mask, rng)

    def learned_importance(self, attention, mask, x):
        """The importance (B, S) of this block's attention tensor (B, H, S, S), as a tensor with a gradient."""
        return differentiable_importance(attention, mask, self.measure, self.heads, x)

    def weigh(self, y, importance, mask):
        return y if self.kappa is None else weigh_by_importance(y, self.kappa, importance, mask)

    def with_measure(self, measure: str) -> DynamicRouter:
        """The same router, weights included, reading another measure: what it would decide on the same attention."""
        twin = copy.copy(self)
        twin.measure = measure
        twin.controls, twin.inner = split_controls(measure)
        if self.heads == "each" and twin.inner != "rollout":            # only rollout follows heads on their own
            twin.heads = "mean"
        return twin

    def choose(self, logits, softmax, importance, mask, bad, known):
        if self.inner == "router_entropy":
            real = who_counts(mask, bad)
            entropy = router_entropy(self._by_sample(softmax[0], importance), real)
            importance = self._finish(entropy, real, self._draws())
        return super().choose(logits, softmax, importance, mask, bad, known)

    def experts_per_token(self, probabilities, importance, mask):
        options = self.allocation
        if options["allocation"] in ("pairs", "top_p"):
            options = options | dict(probabilities=self._by_sample(probabilities, importance))
        if self.thresholds is not None:
            if self.training:
                self.thresholds.update(importance, mask)
            options = options | dict(thresholds=self.thresholds.in_use(importance, mask))
        return allocate_experts(importance, mask, exclude_special=self._special(importance, mask), **options)

    def total_experts(self, lengths):
        """Exact under `budget` and `pairs`, as far as no expert is banned and no token is set apart."""
        options = self.allocation
        if options["allocation"] not in ("budget", "pairs") or self.special.size or self.ban is not None:
            return None
        n = lengths if options.get("group", "sample") == "sample" else lengths.sum(keepdims=True)
        return int(np.floor(options["mean_experts"] * n + 0.5).sum())

    @property
    def by_sample(self) -> bool:
        return super().by_sample and self.thresholds is None and self.allocation.get("group", "sample") == "sample"

    def _draws(self) -> np.random.Generator:
        """For random and shuffled importance: a stream in training; evaluation repeats itself."""
        return self.noise if self.training else np.random.default_rng(EVALUATION_SEED)

    def _finish(self, importance, mask, rng):
        """Controls and normaliser, among real tokens that compete. NaN and infinity stay where they are, for `forward`
        to refuse or skip, and touch no other token."""
        xp = array_module(importance)
        sound, special = xp.isfinite(importance), self._special(importance, mask)
        live = sound if mask is None else sound & mask
        live = live if special is None else live & ~special
        finished = normalise_importance(apply_controls(self.controls, importance, live, rng), live, self.normalise)
        return xp.where(sound, finished, importance)

    def _special(self, like, mask):
        """bool (B, S): the tokens that exclude_special names; None when it names none."""
        if not self.special.size:
            return None
        xp = array_module(like)
        real = xp.ones(like.shape, bool) if mask is None else mask
        place = real.cumsum(axis=1) - 1                                 # 0, 1, 2, ... among the real tokens
        special = xp.asarray(self.special)
        named = xp.isin(place, special) | xp.isin(place - real.sum(axis=1, keepdims=True), special)
        return real & named

    def _by_sample(self, probabilities, importance):
        return probabilities.reshape(*importance.shape, self.n_experts)

    def _check_options(self, given: dict) -> None:
        """Unknown names, impossible limits and what nothing would read are refused here, not in the first step."""
        allocation, (k_min, k_max) = self.allocation["allocation"], self.k_range
        mean = self.allocation["mean_experts"]
        check_choice("DynamicRouter", "allocation", allocation, SCHEDULES)
        check_choice("DynamicRouter", "source", self.source, SOURCES)
        check_limits(self.n_experts, k_min, k_max)
        check_numbers("DynamicRouter", mean_experts=mean)
        if mean is not None and not k_min <= mean <= k_max:
            raise ValueError(f"DynamicRouter: mean_experts is {mean}; it must lie in k_min={k_min} .. k_max={k_max}")
        for name, value in given.items():
            if value is not None and allocation not in READ_BY[name]:
                raise ValueError(f"DynamicRouter: {name} does nothing under allocation={allocation!r}; leave it out, "
                                 f"or use {' or '.join(READ_BY[name])}")
        if "thresholds" in given and self.thresholds is not None:
            raise ValueError("DynamicRouter: thresholds and threshold_shares exclude each other; give one")
        if self.inner in ("rollout", "router_entropy") and self.source != "same":
            raise ValueError(f"DynamicRouter: source={self.source!r} does nothing under measure={self.measure!r}")
        if self.inner == "router_entropy" and self.heads != "mean":
            raise ValueError(f"DynamicRouter: heads={self.heads!r} does nothing under measure={self.measure!r}")
        has_gradient = self.measure in DIFFERENTIABLE and self.normalise == "none" and self.source == "same"
        if self.kappa is not None and not has_gradient:
            raise ValueError("DynamicRouter: soft_importance needs a measure that has a gradient (one of "
                             f"{', '.join(DIFFERENTIABLE)}), with normalise='none' and source='same'")
        one = np.ones((1, 1, 1, 1), np.float32)
        even = np.full((1, self.n_experts), 1 / self.n_experts, np.float32)
        self.eval()
        self.experts_per_token(even, self.importance([one], x=one[0]), None)
        self.train()
