"""Router, the base class: from tokens to a Routing. A router of your own overrides one method."""
from __future__ import annotations

import math
from numbers import Real

import numpy as np

from minimoe import ops
from minimoe.backend import array_module, is_array, on_host, to_backend
from minimoe.moe.importance import token_importance
from minimoe.moe.routing import Routing, assemble, clean, host_ban, route, softmax_of, who_counts
from minimoe.nn.init import check_sizes, generator, truncated_normal
from minimoe.nn.module import Module, Parameter
from minimoe.tensor import Tensor, raw


class Router(Module):
    """z = x W^T, p = softmax(z), K from `experts_per_token`, then the K_i best experts by z.

    Implement `experts_per_token`. Set `measure` to a measure of `token_importance` if importance is wanted; it is
    None otherwise. Weight (E, d_model), drawn from `rng` (a generator or an integer seed) by the rule of
    minimoe.nn.init, with a stream of its own.

    Options: gates, capacity, priority, capacity_min, renorm_after_drop, ban, balance_weight, z_weight,
    entropy_weight and on_nonfinite as in `route`; eval_capacity: the capacity factor outside training (default: the
    same); jitter: in training the router sees x times U(1 - jitter, 1 + jitter), the experts see x (Switch,
    confirmed, 0.01 there); gauss: in training N(0, 1) * gauss / E is added to z (assumed).
    Raises ValueError for options that no step could use.
    """

    measure: str | None = None
    heads, normalise = "mean", "none"
    k_range: tuple[int, int] | None = None
    kappa: Parameter | None = None                  # of DA-MoE's soft_importance

    def __init__(self, d_model: int, n_experts: int, *, rng, gates: str = "raw", capacity: float | None = None,
                 eval_capacity: float | None = None, priority: str = "position", capacity_min: int = 1,
                 renorm_after_drop: bool = False, ban=None, balance_weight: float = 0.01, z_weight: float = 0.001,
                 entropy_weight: float = 0.0, jitter: float = 0.0, gauss: float = 0.0, on_nonfinite: str = "raise"):
        name = type(self).__name__
        check_sizes(name, n_experts=n_experts, d_model=d_model)
        weights = dict(balance_weight=balance_weight, z_weight=z_weight, entropy_weight=entropy_weight)
        eval_capacity = capacity if eval_capacity is None else eval_capacity
        check_numbers(name, **weights, jitter=jitter, gauss=gauss, capacity=capacity, eval_capacity=eval_capacity,
                      capacity_min=capacity_min)
        check_switches(name, renorm_after_drop=renorm_after_drop)
        if jitter >= 1:
            raise ValueError(f"{name}: jitter is {jitter}; it must be below 1")
        self.options = dict(gates=gates, priority=priority, capacity_min=capacity_min,
                            renorm_after_drop=renorm_after_drop, **weights)
        route(np.zeros((1, n_experts), np.float32), np.ones(1, int), ban=ban, on_nonfinite=on_nonfinite,
              capacity=capacity, importance=np.zeros(1), **self.options)        # a wrong name shows here, not in step 1
        self.n_experts = n_experts
        self.capacity, self.eval_capacity = capacity, eval_capacity
        self.jitter, self.gauss = jitter, gauss
        self.ban, self.on_nonfinite = ban, on_nonfinite
        for_weight, self.noise = generator(rng, name).spawn(2)
        self.weight = Parameter(truncated_normal(for_weight, (n_experts, d_model), fan_in=d_model))

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

    def weigh(self, y: Tensor, importance, mask) -> Tensor:
        """The layer's answer y (N, d_model) once more, for routers that scale it; here it stays as it is."""
        return y

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
        d_model = self.weight.shape[1]
        x = x if isinstance(x, Tensor) else Tensor(x)
        if x.ndim not in (2, 3) or x.shape[-1] != d_model:
            raise ValueError(f"{type(self).__name__}: x is {x.shape}; it must be (B, S, {d_model}) or (N, {d_model})")
        samples = (1,) + x.shape[:1] if x.ndim == 2 else x.shape[:2]
        mask, importance = (_per_sample(name, a, samples) for name, a in (("mask", mask), ("importance", importance)))
        lengths = _lengths(mask, samples)
        mask = None if mask is None else to_backend(mask, x.backend)
        if self.measure is not None and importance is None:
            raise ValueError(f"{type(self).__name__}: importance is missing; give token_importance(attention, mask)")
        logits = self.logits(x.reshape(-1, d_model))
        if not isinstance(logits, Tensor) or logits.shape != (x.size // d_model, self.n_experts):
            found = getattr(logits, "shape", "")
            raise ValueError(f"{type(self).__name__}.logits gave a {type(logits).__name__} {found}; it must give a "
                             f"Tensor ({x.size // d_model}, {self.n_experts}), a row for every token")
        logits, importance, bad, nonfinite = clean(logits, importance, mask, self.ban, self.on_nonfinite)
        bad = None if bad is None else bad.reshape(samples)
        known = dict(nonfinite=nonfinite, tokens=None if lengths is None else int(lengths.sum()),
                     assignments=None if lengths is None else self._known_total(lengths))
        return self.choose(logits, softmax_of(logits), importance, mask, bad, known)

    def choose(self, logits: Tensor, softmax, importance, mask, bad, known: dict) -> Routing:
        """The Routing for clean logits (N, E) with their `softmax_of`. bad (B, S) bool: tokens to skip, or None.
        known: what is known without a look at the arrays, for `assemble`."""
        k = self.experts_per_token(softmax[0], importance, who_counts(mask, bad))
        if k is None:
            raise ValueError(f"{type(self).__name__}.experts_per_token gave None; end it with return and the integers "
                             "K, (N,) or (B, S)")
        return self._assemble(logits, softmax, k, bad, importance, mask, **known)

    def total_experts(self, lengths) -> int | None:
        """The sum of `experts_per_token` for samples of these real lengths (B,), or None when it depends on the data.
        Only used on a GPU, where reading the sum would wait; a class that overrides one of the two overrides both."""
        return None

    @property
    def by_sample(self) -> bool:
        """Whether a sample is routed the same whatever stands beside it in the batch; training may then split it. Of a
        router of one's own this is believed: give `by_sample = False` to one that looks beyond a sample."""
        return self.capacity is None

    def allowed_experts(self) -> int:
        """How many experts are not banned."""
        return self.n_experts if self.ban is None else self.n_experts - int(host_ban(self.ban, self.n_experts).sum())

    def _known_total(self, lengths) -> int | None:
        owner = next(cls for cls in type(self).__mro__ if "experts_per_token" in vars(cls))
        return self.total_experts(lengths) if "total_experts" in vars(owner) else None

    def _assemble(self, logits, softmax, k, bad, importance, mask, **more) -> Routing:
        capacity = self.capacity if self.training else self.eval_capacity
        return assemble(logits, softmax, k, bad, importance=importance, mask=mask, ban=self.ban,
                        capacity=capacity, k_range=self.k_range, **self.options, **more)

    @staticmethod
    def _noise_like(x: Tensor, draw):
        xp = array_module(x.data)
        return xp.asarray(draw(x.shape).astype(x.dtype))


def check_numbers(name: str, **values) -> None:
    """Raises ValueError for a value that is neither None nor a finite number of at least 0."""
    for option, value in values.items():
        if value is not None and not (isinstance(value, Real) and 0 <= value < math.inf):
            raise ValueError(f"{name}: {option} is {value!r}; it must be a finite number of at least 0")


def check_switches(name: str, **values) -> None:
    """Raises ValueError for a value that is neither True nor False; a text like "no" would count as True."""
    for option, value in values.items():
        if not isinstance(value, bool | np.bool_):
            raise ValueError(f"{name}: {option} is {value!r}; it must be true or false")


def _lengths(mask, samples: tuple[int, int]):
    """Real tokens of each sample, (B,) on the host; None where only the device knows."""
    if mask is None:
        return np.full(samples[0], samples[1])
    return mask.sum(axis=1) if on_host(mask) else None


def _per_sample(name: str, array, samples: tuple[int, int]):
    """(B, S), also from (N,) for a single sample."""
    if array is None:
        return None
    array = raw(array)
    if not is_array(array):
        raise TypeError(f"router: {name} is a {type(array).__name__}; give an array {samples}")
    if name == "mask" and array.dtype != bool:
        raise TypeError(f"router: mask is {array.dtype}; it must be bool with True for real tokens: mask.astype(bool)")
    if array.shape != samples and not (array.ndim == 1 and array.shape == samples[1:] and samples[0] == 1):
        raise ValueError(f"router: {name} is {array.shape}; x needs {samples}")
    return array.reshape(samples)
