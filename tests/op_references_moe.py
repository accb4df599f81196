"""What attention and experts should give, by loops over queries, tokens and experts. See op_references.py."""
from __future__ import annotations

import math

import numpy as np
from op_references import gelu, mask


def attention(q, k, v, live=None, scale=None, dropout_p=0.0, rng=None):
    """One query at a time: (output, attention before dropout)."""
    o, p = np.zeros((*q.shape[:-1], v.shape[-1])), np.zeros((*q.shape[:-1], k.shape[-2]))
    keep = np.reshape(mask(p.size, dropout_p, rng), p.shape) if dropout_p else np.ones(p.shape)
    for *n, i in np.ndindex(q.shape[:-1]):
        n = tuple(n)
        allowed = [j for j in range(k.shape[-2]) if sees(live, q.ndim, n, i, j)]
        scores = {j: sum(q[(*n, i)] * k[(*n, j)]) * (scale or 1 / math.sqrt(q.shape[-1])) for j in allowed}
        for j in allowed:
            p[(*n, i, j)] = math.exp(scores[j]) / sum(math.exp(s) for s in scores.values())
            o[(*n, i)] += p[(*n, i, j)] * keep[(*n, i, j)] * v[(*n, j)]
    return o, p


def sees(live, axes, n, i, j) -> bool:
    if live is None:
        return True
    return live[n[0], i] and live[n[0], j] if live.ndim == 2 and axes > 2 else live[(*n, i, j)]


def dispatch(x, plan):
    return np.array([x[plan.token[a]] for a in plan.perm]).reshape(len(plan.perm), x.shape[1])


def combine(u, gates, plan):
    y = np.zeros((plan.n_tokens, u.shape[1]))
    for row, a in enumerate(plan.perm):
        y[plan.token[a]] += gates[a] * u[row]
    return y


def select_gates(probabilities, plan, form="raw", renorm_after_drop=False):
    gates = np.zeros(plan.expert.size)
    for i in range(plan.n_tokens):
        mine = range(plan.row_ptr[i], plan.row_ptr[i + 1])
        counted = [a for a in mine if plan.inv[a] >= 0 or not renorm_after_drop]
        total = sum(probabilities[i, plan.expert[a]] for a in counted)
        for a in mine:
            if plan.inv[a] >= 0:
                p = probabilities[i, plan.expert[a]]
                gates[a] = {"raw": p, "renorm": p / total, "equal": 1 / len(mine)}[form]
    return gates


def router_terms(logits, plan, form="raw", renorm_after_drop=False, share=None, counted=None, balance_weight=0,
                 z_weight=0, entropy_weight=0):
    p = np.zeros(logits.shape)
    balance = z = entropy = 0.0
    everyone = [i for i in range(plan.n_tokens) if counted is None or counted[i]]
    f = (plan.counts / max(plan.expert.size, 1) if share is None else share).tolist()
    for i in range(plan.n_tokens):
        lse = math.log(sum(math.exp(value) for value in logits[i]))
        p[i] = [math.exp(value - lse) for value in logits[i]]
        if i in everyone:
            product = sum(a * b for a, b in zip(f, p[i], strict=True))
            balance += balance_weight * plan.n_experts * product / len(everyone)
            z += z_weight * lse**2 / len(everyone)
            entropy -= entropy_weight * sum(value * math.log(value) for value in p[i]) / len(everyone)
    return p, select_gates(p, plan, form, renorm_after_drop), balance, z, entropy


def grouped_linear(x, weight, bias, offsets, grouped="library"):
    y = np.zeros((len(x), weight.shape[2]))
    for e in range(len(weight)):
        for row in range(offsets[e], offsets[e + 1]):
            for o in range(weight.shape[2]):
                y[row, o] = sum(x[row] * weight[e, :, o]) + (0 if bias is None else bias[e, o])
    return y


def expert_ffn(x, w1, b1, w2, b2, offsets, activation="gelu", dropout_p=0.0, rng=None, grouped="library"):
    def relu(h):
        return np.where(h > 0, h, 0)

    phi = {"gelu": gelu, "gelu_tanh": lambda h: gelu(h, "tanh"), "relu": relu,
           "geglu": lambda h: gelu(h[:, :h.shape[1] // 2]) * h[:, h.shape[1] // 2:],
           "reglu": lambda h: relu(h[:, :h.shape[1] // 2]) * h[:, h.shape[1] // 2:]}[activation]
    hidden = phi(grouped_linear(x, w1, b1, offsets))
    if dropout_p:
        hidden = hidden * np.reshape(mask(hidden.size, dropout_p, rng), hidden.shape)
    return grouped_linear(hidden, w2, b2, offsets)


REFERENCES = {"attention": attention, "dispatch": dispatch, "combine": combine, "select_gates": select_gates,
              "router_terms": router_terms, "grouped_linear": grouped_linear, "expert_ffn": expert_ffn}
