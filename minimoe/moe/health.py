"""The state of a routing in a few plain sentences: balance, experts in use, experts per token, losses, collapse."""
from __future__ import annotations

import math
from collections.abc import Iterable

from minimoe.moe.routing import Routing

LUCK = 0.02      # with so few tokens that chance alone piles them up this often, nothing is judged
MANY = 64        # fewer tokens than this may be one text, whose tokens share their context and so their experts


def health(routing: Routing | Iterable[Routing]) -> list[str]:
    """What `describe` says of one Routing; of several, what `describe_layers` says of them."""
    if isinstance(routing, Routing):
        return describe(routing.stats, routing.k_range)
    layers = list(routing)
    return describe_layers([layer.stats for layer in layers], [layer.k_range for layer in layers])


def describe_layers(stats: list[dict], k_ranges: list[tuple[int, int]]) -> list[str]:
    """`describe` of every expert layer, prefixed "Expert layer 1: " and so on; at most one warning for all, last."""
    lines, collapsed = [], {}
    for number, (layer, k_range) in enumerate(zip(stats, k_ranges, strict=True), 1):
        for line in describe(layer, k_range):
            if line.startswith("Warning: "):
                collapsed[number] = line.removeprefix("Warning: ")
            else:
                lines.append(f"Expert layer {number}: {line}")
    if collapsed:
        which = " and ".join(str(number) for number in collapsed)
        lines.append(f"Warning: expert layer{'s' * (len(collapsed) > 1)} {which}: {next(iter(collapsed.values()))}")
    return lines


def describe(stats: dict, k_range: tuple[int, int]) -> list[str]:
    """Three to six short sentences about counts, of one forward pass or summed over a data set.

    stats: k_hist (E+1 counts), expert_load (E counts), dropped, balance and, if there were any, nonfinite, all as in
    `Routing.stats`; k_range: what the router allows per token. At most one sentence starts with "Warning:", when
    routing has collapsed (see `has_collapsed`). Raises ValueError when k_hist and expert_load do not fit together.
    """
    k_hist, load = stats["k_hist"], stats["expert_load"]
    if len(k_hist) != len(load) + 1:
        raise ValueError(f"describe: k_hist has {len(k_hist)} counts and expert_load {len(load)}; k_hist needs one "
                         "more, for tokens with 0 experts")
    if not sum(k_hist):
        return ["No tokens were routed, so there is nothing to judge."]
    asked = sum(load)
    lines = [*_use(stats["balance"], k_hist, load), _experts_per_token(k_hist, k_range)]
    if stats["dropped"]:
        share = stats["dropped"] / asked
        lines.append(f"The capacity dropped {stats['dropped']} of {asked} assignments ({share:.1%}).")
    if stats.get("nonfinite"):
        lines.append(f"{_count(stats['nonfinite'], 'token')} had NaN or infinite router logits and got no expert.")
    if has_collapsed(k_hist, load):
        lines.append(_warning(load))
    return lines


def effective_experts(load: list[int]) -> float:
    """exp of the entropy of the load shares: E when all are equal, 1 when one expert takes all, 0 without load."""
    total = sum(load)
    return math.exp(-sum(n / total * math.log(n / total) for n in load if n)) if total else 0.0


def has_collapsed(k_hist: list[int], load: list[int]) -> bool:
    """Whether tokens agree so much on their experts that most experts are idle; False when that cannot be judged.

    A token with K experts must use K different ones, so even tokens that all agree load several experts: the j-th
    best gets every token with K >= j. No routing with these K has a load of lower entropy (Gale-Ryser), so its
    effective experts are the `floor`. Collapsed means: less than a quarter of the way from there to E, or below 1.5;
    with fewer than 64 tokens, which may all be of one text, only complete agreement. These numbers are ours (assumed).
    """
    n_experts = len(load)
    agreed = [sum(k_hist[j:]) for j in range(1, n_experts + 1)]
    floor = effective_experts(agreed)
    if _too_few(k_hist, load) or floor > 0.75 * n_experts:               # a single expert is the extreme of no choice
        return False
    limit = max(1.5, floor + 0.25 * (n_experts - floor)) if sum(k_hist) >= MANY else 1.01 * floor
    return effective_experts(load) < limit


def _too_few(k_hist: list[int], load: list[int]) -> bool:
    """Fewer assignments than experts, or so few tokens that uniform routing would often give all the same expert."""
    return sum(load) < len(load) or len(load) ** (1.0 - sum(k_hist[1:])) > LUCK


def _use(balance: float, k_hist: list[int], load: list[int]) -> list[str]:
    """Balance, effective experts and dead experts."""
    if len(load) == 1:
        return ["There is only one expert, so there is nothing to balance."]
    if not sum(load):
        return ["No token was sent to an expert."]
    dead = _numbers([expert for expert, n in enumerate(load) if not n])
    lines = [f"Balance is {balance:.2f}, where 1.0 is uniform; effective experts: {effective_experts(load):.1f} of "
             f"{len(load)}."]
    if not dead or (not _too_few(k_hist, load) and sum(k_hist) >= MANY):
        return [*lines, f"Dead experts, which got no token: {dead or 'none'}."]
    tokens = sum(k_hist[1:])
    return [*lines, f"Experts without a token: {dead}, but {_count(tokens, 'token')} with "
                    f"{_count(sum(load), 'assignment')} {'is' if tokens == 1 else 'are'} too few to judge."]


def _experts_per_token(k_hist: list[int], k_range: tuple[int, int]) -> str:
    """Shares of tokens at both ends of what the router allows, and the mean."""
    tokens, most = sum(k_hist), len(k_hist) - 1
    low, high = (min(k, most) for k in k_range)
    share = [n / tokens for n in k_hist]
    mean = sum(k * n for k, n in enumerate(k_hist)) / tokens
    if low == high:
        return f"{share[low]:.1%} of tokens got {_count(low, 'expert')}, the only number this router gives."
    return (f"{share[low]:.1%} of tokens got the fewest experts (k_min = {low}), {share[high]:.1%} the most "
            f"(k_max = {high}); the mean is {mean:.2f}.")


def _warning(load: list[int]) -> str:
    """Who takes nearly everything, and what helps."""
    busiest = sorted(range(len(load)), key=lambda expert: -load[expert])[:max(1, round(effective_experts(load)))]
    taken = sum(load[expert] for expert in busiest) / sum(load)
    names = f"expert{'s' if len(busiest) > 1 else ''} {_numbers(sorted(busiest))}"
    return (f"Warning: routing has collapsed, {names} alone got {taken:.1%} of all assignments; "
            "a larger balance_weight or a smaller learning rate usually helps.")


def _numbers(experts: list[int]) -> str:
    """Ascending expert numbers with runs drawn together: "0, 2-5"; "" for none."""
    runs: list[list[int]] = []
    for expert in experts:
        if runs and expert == runs[-1][-1] + 1:
            runs[-1].append(expert)
        else:
            runs.append([expert])
    return ", ".join(", ".join(map(str, run)) if len(run) < 3 else f"{run[0]}-{run[-1]}" for run in runs)


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"
