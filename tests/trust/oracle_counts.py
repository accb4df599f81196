"""Importance and experts per token by loops over one sample's tokens, in float64. Independent of minimoe.

P (H, n, n) is the attention among the n real tokens of one sample, and every list here has n entries.
"""
import math

import numpy as np
from scipy.optimize import brentq


def measure(name, attentions, heads, probabilities=None, x=None):
    """attentions: the P of every layer that counts, the last one its own. Answers with n floats."""
    p = attentions[-1]
    h, n, _ = p.shape
    if name == "uniform":
        return [1.0] * n
    if name == "router_entropy":
        e = len(probabilities[0])
        return [0.0 if e == 1 else entropy(row) / math.log(e) for row in probabilities]
    if name == "rollout":
        return rollout(attentions, heads)
    says = {"rowmax": lambda p, i: max(p[i]), "colmax": lambda p, i: max(p[:, i]), "cls": lambda p, i: p[0, i],
            "colsum": lambda p, i: sum(p[:, i]) / n, "colsum_l1": lambda p, i: sum(p[:, i]) / n,
            "focus": lambda p, i: focus(p[i]), "diffuse": lambda p, i: focus(p[i])}[name]
    join = np.mean if heads == "mean" else max
    joined = [join([says(p[k], i) for k in range(h)]) for i in range(n)]
    if name == "diffuse":
        return [1 - value for value in joined]
    if name == "colsum_l1":
        return [value * sum(abs(x[i])) for i, value in enumerate(joined)]
    return joined


def entropy(row):
    return -sum(v * math.log(v) for v in row if v > 0)


def focus(row):
    return 1.0 if len(row) == 1 else min(max(1 - entropy(row) / math.log(len(row)), 0.0), 1.0)


def rollout(attentions, heads):
    h, n, _ = attentions[0].shape
    chains = [[p.mean(axis=0) for p in attentions]] if heads == "mean" else [[p[k] for p in attentions]
                                                                             for k in range(h)]
    answers = []
    for chain in chains:
        r = np.eye(n)
        for p in chain:
            r = (np.eye(n) + p) / 2 @ r
        answers.append(r.mean(axis=0))
    return list(np.mean(answers, axis=0)) if n else []


def finish(values, competing, n_reversals, normalise):
    """Controls and normaliser among the competing tokens; the others get 0."""
    live = [i for i, yes in enumerate(competing) if yes]
    out = [0.0] * len(values)
    if not live:
        return out
    for i in live:
        out[i] = float(values[i])
    for _ in range(n_reversals):
        low, high = min(out[i] for i in live), max(out[i] for i in live)
        for i in live:
            out[i] = high + low - out[i]
    v = [out[i] for i in live]
    if normalise == "mean1":
        mean = sum(v) / len(v)
        v = [a / mean if mean else 1.0 for a in v]
    elif normalise == "minmax":
        low, high = min(v), max(v)
        v = [(a - low) / (high - low) if high > low else 0.5 for a in v]
    elif normalise == "rank":
        order = sorted(range(len(v)), key=lambda j: (v[j], j))
        v = [1.0 if len(v) == 1 else order.index(j) / (len(v) - 1) for j in range(len(v))]
    for i, a in zip(live, v, strict=True):
        out[i] = a
    return out


def counts(allocation, importance, probabilities, competing, e, k_min, k_max, mean=None, thresholds=(), rho=0.5,
           levels=None, gamma=1.0, p=0.4):
    """K of every real token of one group, in order."""
    k = [k_min] * len(importance)
    live = [i for i, yes in enumerate(competing) if yes]
    if allocation == "ceil":
        for i in live:
            k[i] = clip(math.ceil(e * (importance[i] - 1e-6)), k_min, k_max)
    elif allocation == "affine":
        for i in live:
            k[i] = k_min + math.floor((k_max - k_min) * clip(importance[i], 0, 1) + 0.5)
    elif allocation == "threshold":
        for i in live:
            k[i] = clip(k_min + sum(importance[i] >= t for t in thresholds), k_min, k_max)
    elif allocation == "top_p":
        for i in live:
            best = sorted(probabilities[i], reverse=True)
            k[i] = clip(next(j for j in range(1, e + 1) if sum(best[:j]) >= p - 1e-6 or j == e), k_min, k_max)
    elif allocation == "mass":
        total, held = sum(importance[i] for i in live), 0.0
        for i in sorted(live, key=lambda i: (-importance[i], i)):
            if held < rho * total * (1 - 1e-9):
                k[i] = k_max
            held += importance[i]
    elif live:
        total = math.floor(mean * len(importance) + 0.5)
        apart = k_min * (len(importance) - len(live))
        if allocation == "quantile":
            shares = quantile(len(live), (mean * len(importance) - apart) / len(live),
                              levels or range(k_min, k_max + 1))
            for i, level in zip(sorted(live, key=lambda i: (-importance[i], i)), shares, strict=True):
                k[i] = level
        else:
            total = min(total - apart, len(live) * k_max)
            if allocation == "budget":
                more = budget([importance[i] for i in live], total - k_min * len(live), k_max - k_min)
            else:
                more = pairs([importance[i] for i in live], [probabilities[i] for i in live],
                             total - k_min * len(live), k_min, k_max, gamma)
            for i, extra in zip(live, more, strict=True):
                k[i] += extra
    return k


def clip(value, low, high):
    return min(max(value, low), high)


def quantile(n, mean, levels):
    """The levels of n tokens, best first."""
    levels = list(levels)
    if mean <= levels[0] or mean >= levels[-1]:
        return [levels[0] if mean <= levels[0] else levels[-1]] * n

    def shares(slope):
        weights = [math.exp(slope * (level - levels[-1 if slope > 0 else 0])) for level in levels]
        return [w / sum(weights) for w in weights]

    slope = brentq(lambda s: sum(f * level for f, level in zip(shares(s), levels, strict=True)) - mean, -700, 700,
                   xtol=1e-14, rtol=1e-14)
    exact = [n * f for f in shares(slope)]
    sizes = [math.floor(value) for value in exact]
    queue = sorted(range(len(levels)), key=lambda j: (-round(exact[j] - sizes[j], 9), j))
    for j in queue[:n - sum(sizes)]:
        sizes[j] += 1
    return [level for level, size in reversed(list(zip(levels, sizes, strict=True))) for _ in range(size)]


def budget(importance, spare, cap):
    """`spare` experts beyond k_min, at most `cap` for a token."""
    share, full, r = [0.0] * len(importance), set(), spare
    while True:
        free = [i for i in range(len(importance)) if i not in full]
        total = sum(importance[i] for i in free)
        for i in free:
            share[i] = r * importance[i] / total if total > 0 else r / len(free)
        over = [i for i in free if share[i] > cap]
        if not over:
            break
        for i in over:
            share[i] = cap
            full.add(i)
        r = spare - cap * len(full)
    k = [math.floor(s) for s in share]
    queue = sorted(range(len(k)), key=lambda i: (-round(share[i] - k[i], 9), -importance[i], i))
    while sum(k) < spare:
        for i in queue:
            if k[i] < cap and sum(k) < spare:
                k[i] += 1
    return k


def pairs(importance, probabilities, spare, k_min, k_max, gamma):
    offers = [(-(value * importance[i] ** gamma), i, j) for i, row in enumerate(probabilities)
              for j, value in enumerate(sorted(row, reverse=True)[k_min:k_max])]
    more = [0] * len(importance)
    for _, i, _ in sorted(offers)[:spare]:
        more[i] += 1
    return more
