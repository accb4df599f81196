"""The expert layer, forward and backward, as loops over tokens and experts in float64. Independent of minimoe."""
import math

import numpy as np


def gelu(h):
    return h * 0.5 * (1 + math.erf(h / math.sqrt(2)))


def gelu_slope(h):
    return 0.5 * (1 + math.erf(h / math.sqrt(2))) + h * math.exp(-h * h / 2) / math.sqrt(2 * math.pi)


def route(z, k, form):
    """For one token: chosen experts, their gates, all probabilities."""
    p = np.exp(z - z.max())
    p /= p.sum()
    chosen = sorted(range(len(z)), key=lambda e: (-z[e], e))[:k]
    total = sum(p[e] for e in chosen)
    gates = {"raw": [p[e] for e in chosen], "renorm": [p[e] / total for e in chosen], "equal": [1 / k for _ in chosen]}
    return chosen, gates[form] if k else [], p


def expert_layer(x, router, w1, b1, w2, b2, k, form, gy):
    """(y, gradients of x, router, w1, b1, w2, b2) of y_i = sum_a g_a FFN_e(x_i) for upstream gy. x (N, d), k (N,)."""
    y = np.zeros_like(x)
    gx, g_router, gw1, gb1, gw2, gb2 = (np.zeros_like(a) for a in (x, router, w1, b1, w2, b2))
    for i in range(len(x)):
        z = router @ x[i]
        chosen, gates, p = route(z, k[i], form)
        gp = np.zeros_like(p)
        g_gates = []
        for e, g in zip(chosen, gates, strict=True):
            h = x[i] @ w1[e] + b1[e]
            r = np.array([gelu(v) for v in h])
            u = r @ w2[e] + b2[e]
            y[i] += g * u
            gu = g * gy[i]
            g_gates.append(gy[i] @ u)
            gw2[e] += np.outer(r, gu)
            gb2[e] += gu
            gh = (w2[e] @ gu) * np.array([gelu_slope(v) for v in h])
            gw1[e] += np.outer(x[i], gh)
            gb1[e] += gh
            gx[i] += w1[e] @ gh
        total = sum(p[e] for e in chosen)
        mixed = sum(g * gg for g, gg in zip(gates, g_gates, strict=True))
        for e, gg in zip(chosen, g_gates, strict=True):
            gp[e] = {"raw": gg, "renorm": (gg - mixed) / total if total else 0, "equal": 0}[form]
        gz = p * (gp - p @ gp)
        g_router += np.outer(gz, x[i])
        gx[i] += router.T @ gz
    return y, gx, g_router, gw1, gb1, gw2, gb2
