"""The whole encoder by a dense masked mixture in float64: every expert computes every token, and gates are 0 where an
expert was not chosen. Written from the formulas, independent of minimoe.

`encode` answers with hidden states, the auxiliary loss and the choices of every expert layer (who goes where); given
back, choices stay fixed, as they do under a small change of the weights.
"""
import math
from dataclasses import dataclass

import numpy as np
from oracle_counts import counts, finish, measure
from scipy.special import erf


@dataclass
class Choice:
    """asked and kept: bool (N, E); importance (N,) and K (N,). What soft importance takes for constants: its mean over
    each sample, (B,), and the tokens (B, S, d) whose size `colsum_l1` reads."""

    asked: np.ndarray
    kept: np.ndarray
    importance: np.ndarray
    k: np.ndarray
    mean: np.ndarray
    h: np.ndarray


def encode(model, w, ids, mask, segments, choices=None):
    """model: the configuration and `training`, as a dict; w: name -> array; mask (B, S) bool."""
    x = w["token_embedding.weight"][ids] + w["position_embedding.weight"][:ids.shape[1]]
    x = x + w["segment_embedding.weight"][segments]
    attentions, made, aux = [], [], 0.0
    for number in range(model["n_layers"]):
        mine = {name.removeprefix(f"layers.{number}."): a for name, a in w.items()
                if name.startswith(f"layers.{number}.")}
        mixed, p = attention(layer_norm(x, mine, "norm1"), mine, mask, model["n_heads"])
        attentions.append(p)
        x = x + mixed
        h = layer_norm(x, mine, "norm2")
        if model["n_experts"] == 0 or (number + 1) % model["moe_every"]:
            hidden = h @ mine["feedforward.linear1.weight"].T + mine["feedforward.linear1.bias"]
            x = x + activate(hidden, model["activation"]) @ mine["feedforward.linear2.weight"].T \
                + mine["feedforward.linear2.bias"]
            continue
        choice = choices[len(made)] if choices else None
        y, loss, choice = expert_layer(model, mine, h, mask, attentions, choice)
        made.append(choice)
        aux, x = aux + loss, x + y
    return layer_norm(x, w, "final_norm"), aux, made


def layer_norm(x, w, name):
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred ** 2).mean(axis=-1, keepdims=True) + 1e-5) * w[f"{name}.weight"] \
        + w[f"{name}.bias"]


def attention(x, w, mask, n_heads):
    """(output (B, S, d), P (B, H, S, S)); rows and columns of padding are 0."""
    batch, length, d = x.shape
    q, k, v = ((x @ part.T + bias).reshape(batch, length, n_heads, d // n_heads) for part, bias in
               zip(np.split(w["attention.in_proj_weight"], 3), np.split(w["attention.in_proj_bias"], 3), strict=True))
    scores = np.einsum("bqhc,bkhc->bhqk", q, k) / math.sqrt(d // n_heads)
    live = mask[:, None, :, None] & mask[:, None, None, :]
    scores = np.where(live, scores, -1e300)
    e = np.where(live, np.exp(scores - scores.max(axis=-1, keepdims=True)), 0)
    p = e / np.maximum(e.sum(axis=-1, keepdims=True), 1e-300)
    joined = np.einsum("bhqk,bkhc->bqhc", p, v).reshape(batch, length, d)
    return joined @ w["attention.out_proj.weight"].T + w["attention.out_proj.bias"], p


def activate(h, name):
    if name in ("geglu", "reglu"):
        gate, value = np.split(h, 2, axis=-1)
        return activate(gate, "gelu" if name == "geglu" else "relu") * value
    if name == "gelu":
        return h * (1 + erf(h / math.sqrt(2))) / 2
    if name == "gelu_tanh":
        return h * (1 + np.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h ** 3))) / 2
    return np.maximum(h, 0)


def expert_layer(model, w, h, mask, attentions, choice):
    """(y (B, S, d), auxiliary loss, the choice)."""
    options, e = model["router_options"], model["n_experts"]
    flat, real = h.reshape(-1, h.shape[2]), mask.reshape(-1)
    z = flat @ w["moe.router.weight"].T                                             # (N, E)
    z = np.where(options.get("ban") or [False] * e, -np.inf, z)
    top = z.max(axis=1, keepdims=True)
    lse = top + np.log(np.exp(z - top).sum(axis=1, keepdims=True))
    p = np.exp(z - lse)
    if choice is None:
        choice = choose(model, p, z, h, mask, attentions)

    form, asked, kept = options["gates"], choice.asked, choice.kept
    if form == "raw":
        gates = np.where(kept, p, 0)
    elif form == "renorm":
        over = kept if options["renorm_after_drop"] else asked
        gates = np.where(kept, p, 0) / np.maximum(np.where(over, p, 0).sum(axis=1, keepdims=True), 1e-300)
    else:
        gates = kept / np.maximum(choice.k, 1)[:, None]
    y = np.zeros_like(flat)
    for expert in range(e):
        r = activate(flat @ w["moe.experts.w1"][expert] + w["moe.experts.b1"][expert], model["activation"])
        y += gates[:, [expert]] * (r @ w["moe.experts.w2"][expert] + w["moe.experts.b2"][expert])
    if options.get("soft_importance"):
        value = importance_of(model, choice.h, mask, attentions, p)
        y *= 1 + w["moe.router.kappa"] * (value - np.repeat(choice.mean, h.shape[1]))[:, None]

    n = max(real.sum(), 1)
    share = asked.sum(axis=0) / max(asked.sum(), 1)
    entropy = -(p * np.log(np.where(p > 0, p, 1))).sum(axis=1)
    loss = (options["balance_weight"] * e * (share * p[real].sum(axis=0) / n).sum()
            + options["z_weight"] * (lse[real] ** 2).sum() / n + options["entropy_weight"] * entropy[real].sum() / n)
    return y.reshape(h.shape), loss, choice


def choose(model, p, z, h, mask, attentions):
    """Who goes where. p and z (N, E), h (B, S, d)."""
    options, e, router = model["router_options"], model["n_experts"], model["router"]
    allowed = e - sum(options.get("ban") or [])
    importance = np.zeros(len(z))
    wanted = np.zeros(z.shape, bool)
    if router == "expert_choice":
        for rows in samples(mask):
            places = math.floor(len(rows) * options["mean_experts"] / e + 1e-9)
            for expert in range(e):
                if np.isfinite(z[0, expert]):
                    for i in sorted(rows, key=lambda i: (-p[i, expert], i))[:places]:
                        wanted[i, expert] = True
        k = wanted.sum(axis=1)
    else:
        k = np.zeros(len(z), int)
        if router == "da":
            importance = importance_of(model, h, mask, attentions, p)
        competing = competing_tokens(mask, options.get("exclude_special", ()))
        groups = samples(mask)
        if options.get("group") == "batch":
            groups = [[i for rows in groups for i in rows]]
        for rows in groups:
            k[rows] = group_counts(router, options, e, importance[rows], p[rows], competing[rows])
        k = np.minimum(k, allowed)
        for i in range(len(z)):
            wanted[i, sorted(range(e), key=lambda j: (-z[i, j], j))[:k[i]]] = True
    kept = within_capacity(model, wanted, p, z, importance, int(mask.sum()))
    mean = np.array([importance[rows].mean() if rows else 0.0 for rows in samples(mask)])
    return Choice(wanted, kept, importance, k, mean, h)


def group_counts(router, options, e, importance, p, competing):
    fixed = {"switch": 1, "topk": options.get("k")}
    if router in fixed:
        return [fixed[router]] * len(importance)
    if router == "topp":
        return counts("top_p", importance, p, competing, e, 1, e, p=options["p"])
    names = ("thresholds", "rho", "levels", "gamma", "p")
    return counts(options["allocation"], importance, p, competing, e, options["k_min"], options["k_max"],
                  options.get("mean_experts"), **{name: options[name] for name in names if name in options})


def samples(mask):
    """The flat numbers of every sample's real tokens."""
    return [[b * mask.shape[1] + s for s in np.flatnonzero(row)] for b, row in enumerate(mask)]


def competing_tokens(mask, special):
    """bool (N,): False for positions of a sample's real tokens that `special` names, counted from either end."""
    out = np.ones(mask.size, bool)
    for rows in samples(mask):
        for place in special:
            if -len(rows) <= place < len(rows):
                out[rows[place]] = False
    return out


def importance_of(model, h, mask, attentions, p):
    """(N,), 0 at padding, after controls and normaliser."""
    options = model["router_options"]
    name = options["measure"]
    competing, out = competing_tokens(mask, options.get("exclude_special", ())), np.zeros(mask.size)
    for b, rows in enumerate(samples(mask)):
        if not rows:
            continue
        place = np.array(rows) - b * mask.shape[1]
        seen = [a[b][:, place][:, :, place] for a in attentions]
        if options["source"] == "prev":
            seen = seen[:-1] or seen
        elif options["source"] == "mean_of_layers":
            seen = [sum(seen) / len(seen)]
        values = measure(name.replace("reversed(", "").rstrip(")"), seen, options["heads"], p[rows], h[b, place])
        if not options.get("soft_importance"):          # there importance is neither normalised nor set apart
            values = finish(values, competing[rows], name.count("reversed("), options["normalise"])
        out[rows] = values
    return out


def within_capacity(model, wanted, p, z, importance, tokens):
    """bool (N, E): the assignments that an expert's capacity lets through."""
    options, e = model["router_options"], model["n_experts"]
    factor = options["capacity"]
    if not model["training"] and options["eval_capacity"] is not None:
        factor = options["eval_capacity"]
    if factor is None:
        return wanted.copy()
    room = min(tokens, max(options["capacity_min"], math.ceil(factor * wanted.sum() / e - 1e-9)))
    kept = np.zeros_like(wanted)
    level = {(i, j): rank for i, row in enumerate(wanted)
             for rank, j in enumerate(sorted(np.flatnonzero(row).tolist(), key=lambda j: (-z[i, j], j)))}
    for j in range(e):
        rank = {"position": lambda i, j: 0.0, "prob": lambda i, j: -p[i, j],
                "importance": lambda i, j: -importance[i]}[options["priority"]]
        queue = sorted(np.flatnonzero(wanted[:, j]).tolist(), key=lambda i: (level[i, j], rank(i, j), i))
        kept[queue[:room], j] = True
    return kept
