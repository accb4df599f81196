"""A DA-MoE layer in one file: forward and backward in plain NumPy, no engine. Read it from top to bottom.

A transformer layer mixes tokens by attention, then sends each token through a feed-forward block. A mixture of experts
(MoE) has E such blocks, the experts, and uses only a few for each token. In DA-MoE the attention decides how many:

    attention weights P  ->  importance I_i of token i  ->  K_i experts  ->  router: which ones, with which gates
    y_i = sum over the chosen experts e of  g_ie FFN_e(x_i)

Sizes: B sentences of S tokens, N = B S, width d, H heads of width d/H, E experts of hidden width f.
Every step is a pair of functions. `step(...)` answers with its result and `saved`, what the way back needs;
`step_backward(gy, saved)` turns the gradient of the result, `gy`, into the gradients of the inputs: `gx` for x.
Names of the parameters are those of minimoe's encoder layer, and a test holds both equal, gradients included.

    python tutorials/one_file.py        shows a small layer at work and checks its gradients by finite differences

Sources: attention, arXiv 1706.03762 eq. 1; routing and balance loss, arXiv 2101.03961 eq. 2 and 4; z-loss, arXiv
2202.08906 eq. 5; importance and K as reported of arXiv 2409.06669 (tutorials/notation.md says what is certain).
"""
from __future__ import annotations

import math

import numpy as np

ALPHA, BETA = 0.01, 0.001                                       # weights of the balance loss and of the z-loss

# ---------------------------------------------------------------------------------------------------------------------
# Two tools: a linear map and layer norm


def linear(x, weight, bias):
    """y = x weight^T + bias. x (..., in), weight (out, in), bias (out,) -> (..., out)."""
    return x @ weight.T + bias, (x, weight)


def linear_backward(gy, saved):
    x, weight = saved
    rows, g = x.reshape(-1, x.shape[-1]), gy.reshape(-1, gy.shape[-1])
    return gy @ weight, g.T @ rows, g.sum(axis=0)               # the bias was copied to every row: sum over the rows


def layer_norm(x, weight, bias):
    """Each token to mean 0 and variance 1, then a scale and a shift. x (..., d)."""
    centred = x - x.mean(axis=-1, keepdims=True)
    spread = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5)
    normed = centred / spread
    return normed * weight + bias, (normed, spread, weight)


def layer_norm_backward(gy, saved):
    normed, spread, weight = saved
    tokens = tuple(range(gy.ndim - 1))                          # all axes but the last
    g = gy * weight
    along = (g * normed).mean(axis=-1, keepdims=True)           # the part that the division by the spread takes away
    gx = (g - g.mean(axis=-1, keepdims=True) - normed * along) / spread
    return gx, (gy * normed).sum(axis=tokens), gy.sum(axis=tokens)


# ---------------------------------------------------------------------------------------------------------------------
# Attention: every token reads the real tokens of its sentence


def split_heads(x, n_heads):
    """(B, S, d) -> (B, H, S, d/H)."""
    batch, length, width = x.shape
    return x.reshape(batch, length, n_heads, width // n_heads).transpose(0, 2, 1, 3)


def join_heads(x):
    """(B, H, S, d/H) -> (B, S, d)."""
    batch, n_heads, length, width = x.shape
    return x.transpose(0, 2, 1, 3).reshape(batch, length, n_heads * width)


def attention(x, mask, params, n_heads):
    """P = softmax(Q K^T / sqrt(d/H)) over real tokens, O = P V. mask (B, S), True = real -> output (B, S, d), P."""
    qkv, saved_in = linear(x, params["attention.in_proj_weight"], params["attention.in_proj_bias"])     # (B, S, 3 d)
    q, k, v = (split_heads(part, n_heads) for part in np.split(qkv, 3, axis=-1))    # (B, H, S, d/H) each
    scores = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])                        # (B, H, S, S): row looks at column
    live = (mask[:, :, None] & mask[:, None, :])[:, None]                           # (B, 1, S, S)
    top = np.where(live, scores, -np.inf).max(axis=-1, keepdims=True)
    weights = np.exp(np.where(live, scores - top, -np.inf))                         # shifted: exp never overflows
    total = weights.sum(axis=-1, keepdims=True)
    p = weights / np.where(total > 0, total, 1.0)                                   # a padding row stays exactly 0
    y, saved_out = linear(join_heads(p @ v), params["attention.out_proj.weight"], params["attention.out_proj.bias"])
    return y, p, (q, k, v, p, saved_in, saved_out)


def attention_backward(gy, saved):
    q, k, v, p, saved_in, saved_out = saved
    grads = {}
    go, grads["attention.out_proj.weight"], grads["attention.out_proj.bias"] = linear_backward(gy, saved_out)
    go = split_heads(go, q.shape[1])                                                # (B, H, S, d/H)
    gv = p.swapaxes(-1, -2) @ go
    gp = go @ v.swapaxes(-1, -2)                                                    # (B, H, S, S)
    gs = p * (gp - (p * gp).sum(axis=-1, keepdims=True)) / math.sqrt(q.shape[-1])   # back through the softmax
    gq, gk = gs @ k, gs.swapaxes(-1, -2) @ q
    gqkv = np.concatenate([join_heads(part) for part in (gq, gk, gv)], axis=-1)     # (B, S, 3 d)
    gx, grads["attention.in_proj_weight"], grads["attention.in_proj_bias"] = linear_backward(gqkv, saved_in)
    return gx, grads


# ---------------------------------------------------------------------------------------------------------------------
# The idea of DA-MoE: attention decides how many experts a token gets. Nothing flows back through this step: K is a
# whole number, and a small nudge does not change it.


def importance_of(p, mask):
    """I_i = mean over heads of the largest weight in row i: how sharply token i looks. p (B, H, S, S) -> (B, S)."""
    return np.where(mask, p.max(axis=-1).mean(axis=1), 0.0)


def experts_per_token(importance, mask, n_experts):
    """K_i = ceil(E I_i), from 1 to E; 0 for padding. The 1e-6 keeps rounding from lifting 8 * 0.125 to 2."""
    k = np.ceil(n_experts * (importance - 1e-6)).clip(1, n_experts)
    return np.where(mask, k, 0).astype(int)                                         # (B, S)


# ---------------------------------------------------------------------------------------------------------------------
# Router: which experts, with which gates


def route(x, k, mask, weight):
    """The K_i experts of largest logit get the gates g = p; all others 0. x (N, d), k and mask (N,), weight (E, d).

    Answers with gates (N, E), chosen (N, E) and the auxiliary loss: ALPHA E sum_e f_e P_e, small where all experts are
    used alike, plus BETA mean(lse(z)^2), which keeps the logits small.
    """
    z = x @ weight.T                                                                # (N, E) logits
    top = z.max(axis=1, keepdims=True)
    lse = top + np.log(np.exp(z - top).sum(axis=1, keepdims=True))                  # (N, 1)
    p = np.exp(z - lse)                                                             # (N, E) probabilities
    place = np.argsort(np.argsort(-z, axis=1, kind="stable"), axis=1)               # 0 for a token's largest logit, ...
    chosen = place < k[:, None]                                                     # ties go to the lower expert
    real = mask[:, None] / max(mask.sum(), 1)                                       # (N, 1): averages over real tokens
    share = chosen.sum(axis=0) / max(chosen.sum(), 1)                               # (E,) f_e, of the assignments
    balance = ALPHA * len(weight) * (share * (p * real).sum(axis=0)).sum()
    return p * chosen, chosen, balance + BETA * (lse**2 * real).sum(), (x, weight, p, lse, chosen, share, real)


def route_backward(g_gates, saved, g_loss):
    """g_gates (N, E), g_loss a number. All logits of a token move, because p is a softmax over all experts."""
    x, weight, p, lse, chosen, share, real = saved
    gp = g_gates * chosen + g_loss * ALPHA * len(weight) * share * real
    gz = p * (gp - (p * gp).sum(axis=1, keepdims=True)) + g_loss * BETA * 2 * lse * real * p
    return gz @ weight, gz.T @ x


# ---------------------------------------------------------------------------------------------------------------------
# Experts and combine: each expert computes its own tokens only, so the cost follows the sum of K


def normal_cdf(x):
    return 0.5 * (1 + np.vectorize(math.erf, otypes=[float])(x / math.sqrt(2)))


def experts(x, gates, chosen, params):
    """y_i = sum_e g_ie u_ie, u_ie = gelu(x_i W1_e + b1_e) W2_e + b2_e for the chosen e. x (N, d) -> y (N, d)."""
    w1, b1, w2, b2 = (params[f"moe.experts.{name}"] for name in ("w1", "b1", "w2", "b2"))
    y, saved = np.zeros_like(x), []
    for e in range(len(w1)):
        tokens = np.flatnonzero(chosen[:, e])                                       # dispatch: whose rows expert e gets
        h = x[tokens] @ w1[e] + b1[e]                                               # (n_e, f)
        r = h * normal_cdf(h)                                                       # gelu
        u = r @ w2[e] + b2[e]                                                       # (n_e, d)
        y[tokens] += gates[tokens, e, None] * u                                     # combine; a token is there once
        saved.append((tokens, h, r, u))
    return y, (x, gates, params, saved)


def experts_backward(gy, saved):
    """The gradients of x, of the gates and of the experts' parameters. An expert without tokens gets zeros."""
    x, gates, params, by_expert = saved
    gx, g_gates = np.zeros_like(x), np.zeros_like(gates)
    grads = {name: np.zeros_like(value) for name, value in params.items() if name.startswith("moe.experts.")}
    for e, (tokens, h, r, u) in enumerate(by_expert):
        g_gates[tokens, e] = (gy[tokens] * u).sum(axis=1)                           # does this expert help the token?
        gu = gates[tokens, e, None] * gy[tokens]                                    # (n_e, d)
        gr = gu @ params["moe.experts.w2"][e].T                                     # (n_e, f)
        slope = normal_cdf(h) + h * np.exp(-h * h / 2) / math.sqrt(2 * math.pi)     # of gelu
        gh = gr * slope
        grads["moe.experts.w2"][e], grads["moe.experts.b2"][e] = r.T @ gu, gu.sum(axis=0)
        grads["moe.experts.w1"][e], grads["moe.experts.b1"][e] = x[tokens].T @ gh, gh.sum(axis=0)
        gx[tokens] += gh @ params["moe.experts.w1"][e].T                            # from all experts of the token
    return gx, g_gates, grads


# ---------------------------------------------------------------------------------------------------------------------
# The whole layer: x + attention(norm1(x)), then + experts(norm2(.))


def layer(x, mask, params, n_heads):
    """x (B, S, d), mask (B, S) bool -> y (B, S, d), K (B, S), auxiliary loss, saved."""
    normed1, saved_norm1 = layer_norm(x, params["norm1.weight"], params["norm1.bias"])
    mixed, p, saved_attention = attention(normed1, mask, params, n_heads)
    middle = x + mixed                                                              # a residual: x goes on unchanged
    normed2, saved_norm2 = layer_norm(middle, params["norm2.weight"], params["norm2.bias"])

    router_weight = params["moe.router.weight"]                              # (E, d)
    k = experts_per_token(importance_of(p, mask), mask, len(router_weight))         # (B, S)
    rows = normed2.reshape(-1, x.shape[-1])                                         # (N, d)
    gates, chosen, loss, saved_route = route(rows, k.ravel(), mask.ravel(), router_weight)
    out, saved_experts = experts(rows, gates, chosen, params)
    saved = (saved_norm1, saved_attention, saved_norm2, saved_route, saved_experts)
    return middle + out.reshape(x.shape), k, loss, saved


def layer_backward(gy, saved, g_loss=1.0):
    """Gradients of x and, by name, of all parameters. The same steps as in `layer`, from last to first."""
    saved_norm1, saved_attention, saved_norm2, saved_route, saved_experts = saved
    grows, g_gates, grads = experts_backward(gy.reshape(-1, gy.shape[-1]), saved_experts)
    by_router, grads["moe.router.weight"] = route_backward(g_gates, saved_route, g_loss)
    gnormed2 = (grows + by_router).reshape(gy.shape)                                 # used twice: the parts add up
    gmiddle, grads["norm2.weight"], grads["norm2.bias"] = layer_norm_backward(gnormed2, saved_norm2)
    gmiddle = gmiddle + gy                                                          # and the residual's part
    gnormed1, grads_attention = attention_backward(gmiddle, saved_attention)
    gx, grads["norm1.weight"], grads["norm1.bias"] = layer_norm_backward(gnormed1, saved_norm1)
    return gx + gmiddle, grads | grads_attention


def new_parameters(random, d, f, n_experts):
    """Small random parameters for a layer, by name."""
    shapes = {"norm1.weight": (d,), "norm1.bias": (d,), "norm2.weight": (d,), "norm2.bias": (d,),
              "attention.in_proj_weight": (3 * d, d), "attention.in_proj_bias": (3 * d,),
              "attention.out_proj.weight": (d, d), "attention.out_proj.bias": (d,),
              "moe.router.weight": (n_experts, d),
              "moe.experts.w1": (n_experts, d, f), "moe.experts.b1": (n_experts, f),
              "moe.experts.w2": (n_experts, f, d), "moe.experts.b2": (n_experts, d)}
    return {name: random.standard_normal(shape) * 0.2 + ("norm" in name) for name, shape in shapes.items()}


if __name__ == "__main__":
    random = np.random.default_rng(0)
    params = new_parameters(random, d=16, f=32, n_experts=4)
    x, mask = random.standard_normal((2, 6, 16)), np.arange(6) < np.array([[6], [4]])   # the second sentence is shorter
    y, k, loss, saved = layer(x, mask, params, n_heads=2)
    print("x", x.shape, " y", y.shape, f" auxiliary loss {loss:.4f}\nexperts per token (0: padding)\n{k}")
    gy = random.standard_normal(y.shape)
    gx, grads = layer_backward(gy, saved)
    for name, value in {"x": x, **params}.items():              # nudge one element of each up and down
        index = tuple(random.integers(size) for size in value.shape)
        kept, ends = value[index], []
        for step in (1e-5, -1e-5):
            value[index] = kept + step
            end = layer(x, mask, params, n_heads=2)
            ends.append((end[0] * gy).sum() + end[2])
        value[index] = kept
        analytic = (gx if name == "x" else grads[name])[index]
        print(f"{name:28} backward {analytic:11.7f}   finite difference {(ends[0] - ends[1]) / 2e-5:11.7f}")
