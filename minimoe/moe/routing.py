"""From router logits and a count per token to a Routing: the one answer that every router gives."""
from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from minimoe import kernels, ops
from minimoe.backend import array_module, is_array, on_host, to_host
from minimoe.moe.plan import RoutingPlan, scan_counts, sorted_plan
from minimoe.moe.selection import PRIORITIES, expert_capacity, keep_within_capacity
from minimoe.tensor import Tensor, raw


@dataclass(frozen=True, repr=False)
class Routing:
    """N tokens, E experts, A = sum of K assignments. Tensors carry gradients, the rest are plain arrays."""

    plan: RoutingPlan
    gates: Tensor              # (A,)   weight of every assignment, 0 when dropped
    k: object                  # (N,)   int32, experts per token, 0 at padding
    logits: Tensor             # (N, E) after noise and bans
    probabilities: Tensor      # (N, E) softmax of logits
    balance_loss: Tensor       # scalar, weight included
    z_loss: Tensor             # scalar, weight included
    entropy_loss: Tensor       # scalar, weight included
    importance: object         # (N,) or None
    mask: object               # (N,) bool, True = real token, or None when all are
    k_range: tuple[int, int]   # what the router allows per real token
    clipped: object            # 0-d or int: tokens that asked for more experts than there are
    nonfinite: object          # 0-d or int: tokens with NaN or infinite logits or importance
    share: object              # (E,)   f_e of the balance loss; backward reads it, so that parts of a batch can join

    def __repr__(self) -> str:
        return (f"Routing({self.plan.n_tokens} tokens, {self.plan.n_experts} experts, {self.plan.expert.size} "
                "assignments; see .k, .plan, .gates, .stats)")

    @property
    def aux_loss(self) -> Tensor:
        """The sum of the auxiliary losses."""
        return self.balance_loss + self.z_loss + self.entropy_loss

    @cached_property
    def stats(self) -> dict:
        """Plain numbers and lists, computed on first access.

        tokens (real ones), assignments, kept, dropped, mean_k, k_hist (tokens with 0..E experts), expert_load
        (assignments asked of every expert, before dropping), mean_probability (E numbers), balance (E sum f P, 1 is
        uniform), clipped, nonfinite.
        """
        xp = array_module(self.k)
        n_experts = self.plan.n_experts
        real = self.k if self.mask is None else self.k[self.mask]
        p = self.probabilities.data if self.mask is None else self.probabilities.data[self.mask]
        load = to_host(xp.bincount(self.plan.expert, minlength=n_experts)).tolist()
        kept = int(self.plan.perm.size)
        mean_p = to_host(p.mean(axis=0)).tolist() if real.size else [0.0] * n_experts
        return finish_stats({
            "tokens": int(real.size), "assignments": sum(load), "kept": kept, "dropped": sum(load) - kept,
            "k_hist": to_host(xp.bincount(real, minlength=n_experts + 1)).tolist(), "expert_load": load,
            "mean_probability": mean_p, "clipped": int(self.clipped), "nonfinite": int(self.nonfinite),
        })


def finish_stats(counts: dict) -> dict:
    """The counts with what follows from them: mean_k and balance."""
    load, p = counts["expert_load"], counts["mean_probability"]
    asked = max(sum(load), 1)
    return counts | {"mean_k": sum(load) / max(counts["tokens"], 1),
                     "balance": len(load) * sum(n / asked * q for n, q in zip(load, p, strict=True))}


def pool_stats(several: list[dict]) -> dict:
    """The stats of several calls as if they had been one."""
    tokens = max(sum(stats["tokens"] for stats in several), 1)
    pooled = {name: sum(stats[name] for stats in several)
              for name in ("tokens", "assignments", "kept", "dropped", "clipped", "nonfinite")}
    pooled |= {name: [sum(column) for column in zip(*(stats[name] for stats in several), strict=True)]
               for name in ("k_hist", "expert_load")}
    weighted = zip(*([q * stats["tokens"] for q in stats["mean_probability"]] for stats in several), strict=True)
    return finish_stats(pooled | {"mean_probability": [sum(column) / tokens for column in weighted]})


def route(logits, k, gates: str = "raw", capacity: float | None = None, mask=None, *, importance=None,
          priority: str = "position", capacity_min: int = 1, renorm_after_drop: bool = False, ban=None,
          balance_weight: float = 0.01, z_weight: float = 0.001, entropy_weight: float = 0.0,
          on_nonfinite: str = "raise", k_range: tuple[int, int] | None = None,
          assignments: int | None = None) -> Routing:
    """Sends token i to its k_i experts of largest logit (ties: the lower index) and weighs them.

    logits (N, E) tensor; k (N,) or (B, S) integers, clipped to the experts there are, 0 at padding; mask (N,) or
    (B, S) bool, True = real token. gates: see `ops.select_gates`. capacity: None is dropless, else the capacity
    factor of `expert_capacity` over all real tokens of the call, with at least `capacity_min` rows per expert;
    `priority` "position" (Switch, confirmed), "prob" (confirmed, as batch-prioritised routing) or "importance"
    (DA-MoE, assumed) says who comes first within a choice level; renorm_after_drop divides by what was kept.
    ban: bool (E,), True for experts nobody may use. Losses: see `ops.router_terms`. importance (N,) or (B, S) is
    used by `priority` and kept for reports. on_nonfinite: what to do with a real token whose logits or importance are
    NaN or infinite: "raise" FloatingPointError, or "skip": it gets no expert, counts in no loss and in
    `stats["nonfinite"]`, and changes nothing for the others. On a GPU "raise" waits: `Routing.nonfinite` counts them,
    and an encoder reads the counts of all its layers once and raises then. k_range: what the router allows, for
    reports. assignments: the sum of k after clipping and padding, where the caller knows it: on a GPU, finding out
    means waiting.

    Raises ValueError for shapes and names that do not fit, TypeError for k that is not an integer array.
    """
    logits = logits if isinstance(logits, Tensor) else Tensor(logits)
    logits, importance, bad, nonfinite = clean(logits, importance, mask, ban, on_nonfinite)
    return assemble(logits, softmax_of(logits), k, bad, nonfinite=nonfinite, gates=gates, capacity=capacity, mask=mask,
                    importance=importance, priority=priority, capacity_min=capacity_min,
                    renorm_after_drop=renorm_after_drop, ban=ban, balance_weight=balance_weight, z_weight=z_weight,
                    entropy_weight=entropy_weight, k_range=k_range, assignments=assignments)


def clean(logits: Tensor, importance, mask, ban, on_nonfinite: str):
    """(logits, importance, bad, nonfinite): banned experts at -inf, and 0 wherever a token is bad: its logits or
    importance are NaN or infinite. bad: bool (N,), tokens to skip, or None for none. nonfinite: how many real tokens
    were bad. Padding may hold anything. `route` explains the rest."""
    if logits.ndim != 2:
        raise ValueError(f"route: logits is {logits.shape}; it must be (N, E)")
    if logits.dtype.kind != "f":
        raise TypeError(f"route: logits is {logits.dtype}; it must be float32 or float64: use logits.astype('float32')")
    if on_nonfinite not in ("raise", "skip"):
        raise ValueError(f"route: on_nonfinite {on_nonfinite!r} is not 'raise' or 'skip'")
    xp = array_module(logits.data)
    bad, what = ~xp.isfinite(logits.data).all(axis=1), "route: router logits"
    if importance is not None:
        importance = xp.asarray(raw(importance))
        if importance.dtype.kind not in "fiu":
            raise TypeError(f"route: importance is {importance.dtype}; it must be numbers: use .astype('float32')")
        strange = ~xp.isfinite(_flat(xp, "importance", importance, bad.size))
        if not on_host(strange) or strange.any():
            bad, what = bad | strange, "route: router logits or importance"
    mask = _flat(xp, "mask", mask, bad.size)
    nonfinite = (bad if mask is None else bad & mask).sum()
    if on_host(bad):                                # on a device nobody looks: see `nonfinite_error`
        if nonfinite and on_nonfinite == "raise":
            raise nonfinite_error(what, int(nonfinite), bad.size)
        bad = bad if bad.any() else None
    if bad is not None:
        logits = ops.where(bad[:, None], 0.0, logits)
        importance = None if importance is None else xp.where(bad.reshape(importance.shape), 0, importance)
    if ban is not None:
        ban = host_ban(ban, logits.shape[1])
        logits = ops.where(xp.asarray(ban), -xp.inf, logits)
    return logits, importance, bad if on_nonfinite == "skip" else None, nonfinite


def nonfinite_error(what: str, count: int, tokens: int) -> FloatingPointError:
    """What `on_nonfinite="raise"` raises."""
    advice = "lower the learning rate or clip gradients" + (", or use on_nonfinite='skip'" if "router" in what else "")
    return FloatingPointError(f"{what} of {count} of {tokens} tokens are NaN or infinite; {advice}")


def host_ban(ban, n_experts: int):
    """A ban as a bool array (E,) on the host. Raises ValueError unless it is one and leaves an expert."""
    ban = raw(ban)
    ban = to_host(ban) if is_array(ban) else np.asarray(ban)
    if ban.shape != (n_experts,) or ban.dtype != bool or ban.all():
        raise ValueError(f"route: ban is {ban.dtype} {ban.shape}; it must be bool ({n_experts},) and leave one expert")
    return ban


def softmax_of(logits: Tensor):
    """(softmax (N, E), log-sum-exp (N,)) of logits (N, E), plain arrays: what `assemble` takes."""
    return kernels.of(logits.data).router_softmax(logits.data)[:2]


def who_counts(mask, bad):
    """Real tokens that are not bad, or None when that is all of them. mask and bad: bool of one shape, or None."""
    if bad is None:
        return mask
    return ~bad if mask is None else mask & ~bad


def assemble(logits: Tensor, softmax, k, bad, *, nonfinite, gates, capacity, mask, importance, priority,
             capacity_min, renorm_after_drop, ban, balance_weight, z_weight, entropy_weight, k_range,
             assignments=None, tokens=None, scores=None) -> Routing:
    """The Routing for clean logits and what `softmax_of` says of them; `route` explains the other arguments.

    scores (N, E): what selection orders experts by, default the logits; -inf marks an expert the token may not have.
    tokens: how many are real, where the caller knows it.
    """
    xp = array_module(logits.data)
    n, n_experts = logits.shape
    p, lse = softmax
    mask = _flat(xp, "mask", mask, n)
    bad = _flat(xp, "bad", bad, n)
    importance = _flat(xp, "importance", importance, n)
    if priority not in PRIORITIES:
        raise ValueError(f"route: priority {priority!r} is not one of {', '.join(PRIORITIES)}")
    counted = who_counts(mask, bad)
    most = n_experts if ban is None else n_experts - int(host_ban(ban, n_experts).sum())
    k, clipped = _counts(xp, k, counted, n, most)
    row_ptr = scan_counts(k)
    if assignments is None or bad is not None:
        assignments = _read_total(xp, row_ptr, k)
    expert = kernels.of(k).select_experts(logits.data if scores is None else scores, row_ptr, assignments)
    plan = sorted_plan(row_ptr, expert, n_experts)
    share = (plan.counts / max(assignments, 1)).astype(p.dtype)                         # before anything is dropped
    if capacity is not None:
        if tokens is None or bad is not None:
            tokens = n if counted is None else int(counted.sum())
        keep = _keep(xp, plan, p, importance, priority, tokens, capacity, capacity_min)
        plan = sorted_plan(row_ptr, expert, n_experts, keep)
    probabilities, chosen, *losses = ops.router_terms(
        logits, plan, gates, renorm_after_drop, p, lse, share, counted, balance_weight=balance_weight,
        z_weight=z_weight, entropy_weight=entropy_weight)
    return Routing(plan, chosen, k, logits, probabilities, *losses, importance, mask, k_range or (0, n_experts),
                   clipped, nonfinite, share)


def _flat(xp, name: str, array, n: int):
    """(N,) from (N,) or (B, S)."""
    if array is None:
        return None
    array = xp.asarray(raw(array))
    if array.size != n or array.ndim not in (1, 2):
        raise ValueError(f"route: {name} is {array.shape}; {n} tokens need ({n},) or (B, S) of that size")
    if name == "mask" and array.dtype != bool:
        raise TypeError(f"route: mask is {array.dtype}; it must be bool with True for real tokens: mask.astype(bool)")
    return array.reshape(n)


def _counts(xp, k, counted, n: int, most: int):
    """K per token, int32, within 0..most and 0 where `counted` is False, and how many tokens asked for more."""
    k = _flat(xp, "k", k, n)
    if k is None or k.dtype.kind not in "iu":
        raise TypeError(f"route: k is {getattr(k, 'dtype', k)}; it must be an integer array: k.astype('int32')")
    k = k if counted is None else xp.where(counted, k, 0)
    return xp.minimum(k, most).astype(xp.int32), (k > most).sum()


def _read_total(xp, row_ptr, k) -> int:
    """The sum of k, read back once. Raises ValueError for a k below 0."""
    total, least = to_host(xp.stack([row_ptr[-1], k.min()])).tolist() if k.size else (0, 0)
    if least < 0:
        raise ValueError(f"route: k has {least}; a token cannot have fewer than 0 experts")
    return total


def _keep(xp, plan, probabilities, importance, priority, tokens, factor, minimum):
    if factor < 0 or minimum < 0:
        raise ValueError(f"route: capacity {factor} and capacity_min {minimum} must be at least 0")
    token, expert = plan.token, plan.expert
    level = xp.arange(expert.size, dtype=xp.int32) - plan.row_ptr[token]
    if priority == "importance":
        if importance is None:
            raise ValueError("route: priority='importance' needs importance, (N,) or (B, S)")
        rank = importance[token]
    else:
        rank = probabilities[token, expert] if priority == "prob" else xp.zeros(expert.size, probabilities.dtype)
    limit = expert_capacity(expert.size, tokens, plan.n_experts, factor, minimum)
    return keep_within_capacity(plan, level, rank, limit)
