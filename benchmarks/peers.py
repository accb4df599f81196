"""The same models in PyTorch, written as people write them ("eager") and as strongly as it can ("best").

eager: attention by its formula, a loop over the experts with index_select and index_add, Adam's default loop.
best: fused attention (SDPA), rows sorted by expert once, fused Adam. Parameters carry our names, so that our
`state_dict` loads; expert weights are (E, d, f) as ours.
"""
from __future__ import annotations

import math
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

BALANCE, Z = 0.01, 0.001                            # our default weights of the auxiliary losses
ACTIVATIONS = {"gelu": F.gelu, "gelu_tanh": partial(F.gelu, approximate="tanh")}


class Experts(nn.Module):
    """y_i = sum of p FFN_e(x_i) over the k_i best experts e of token i; answers with (y, auxiliary losses)."""

    def __init__(self, d: int, f: int, n_experts: int, activation: str = "gelu", best: bool = False):
        super().__init__()
        self.router = nn.Linear(d, n_experts, bias=False)
        self.experts = nn.ParameterDict({name: nn.Parameter(torch.empty(n_experts, *shape)) for name, shape in
                                         {"w1": (d, f), "b1": (f,), "w2": (f, d), "b2": (d,)}.items()})
        self.phi, self.best = ACTIVATIONS[activation], best

    def forward(self, x, k):
        """x (N, d); k: an integer, or integers (N,)."""
        z = self.router(x)
        p = z.softmax(-1)
        p_chosen, chosen = p.topk(int(k) if isinstance(k, int) else int(k.max()), dim=-1)
        if not isinstance(k, int):
            chosen = chosen.masked_fill(torch.arange(chosen.shape[1], device=x.device) >= k[:, None], -1)
        y, counts = (self._sorted if self.best else self._loop)(x, p_chosen, chosen)
        balance = z.shape[1] * ((counts / counts.sum()) * p.mean(0)).sum()
        return y, BALANCE * balance + Z * (z.logsumexp(-1) ** 2).mean()

    def _expert(self, e: int, rows):
        w = self.experts
        return self.phi(rows @ w["w1"][e] + w["b1"][e]) @ w["w2"][e] + w["b2"][e]

    def _loop(self, x, p_chosen, chosen):
        y, counts = torch.zeros_like(x), []
        for e in range(self.router.out_features):
            token, slot = torch.where(chosen == e)
            counts.append(token.numel())
            u = self._expert(e, x.index_select(0, token))
            y = y.index_add(0, token, u * p_chosen[token, slot, None])
        return y, torch.tensor(counts, dtype=x.dtype, device=x.device)

    def _sorted(self, x, p_chosen, chosen):
        token, slot = torch.where(chosen >= 0)
        expert, order = chosen[token, slot].sort(stable=True)
        token, slot = token[order], slot[order]
        counts = torch.bincount(expert, minlength=self.router.out_features)
        parts = x.index_select(0, token).split(counts.tolist())
        u = torch.cat([self._expert(e, rows) for e, rows in enumerate(parts)])
        return torch.zeros_like(x).index_add(0, token, u * p_chosen[token, slot, None]), counts.to(x.dtype)


class Attention(nn.Module):
    """Multi-head self-attention without padding."""

    def __init__(self, d: int, n_heads: int, best: bool = False):
        super().__init__()
        self.in_proj_weight, self.in_proj_bias = nn.Parameter(torch.empty(3 * d, d)), nn.Parameter(torch.empty(3 * d))
        self.out_proj = nn.Linear(d, d)
        self.n_heads, self.best = n_heads, best

    def forward(self, x):
        b, s, d = x.shape
        qkv = F.linear(x, self.in_proj_weight, self.in_proj_bias)
        q, k, v = (t.view(b, s, self.n_heads, -1).transpose(1, 2) for t in qkv.chunk(3, dim=-1))
        if self.best:
            o = F.scaled_dot_product_attention(q, k, v)
        else:
            o = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1) @ v
        return self.out_proj(o.transpose(1, 2).reshape(b, s, d))


class Layer(nn.Module):
    def __init__(self, config, best: bool):
        super().__init__()
        d = config.d_model
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.attention = Attention(d, config.n_heads, best)
        self.moe = Experts(d, config.d_ff, config.n_experts, config.activation, best)

    def forward(self, x, k):
        x = x + self.attention(self.norm1(x))
        y, losses = self.moe(self.norm2(x).flatten(0, 1), k)
        return x + y.view_as(x), losses


class Encoder(nn.Module):
    """Our pre-norm encoder without dropout and padding; `words`: a masked language model with tied scores, else the
    first token is classified."""

    def __init__(self, config, best: bool = False, words: bool = False):
        super().__init__()
        d = config.d_model
        self.token_embedding, self.position_embedding, self.segment_embedding = (
            nn.Embedding(n, d) for n in (config.vocab_size, config.max_length, 2))
        self.layers = nn.ModuleList(Layer(config, best) for _ in range(config.n_layers))
        self.final_norm = nn.LayerNorm(d)
        if words:
            self.head_bias = nn.Parameter(torch.empty(config.vocab_size))
        else:
            self.head = nn.Linear(d, config.n_classes)
        self.words = words

    def loss(self, ids, labels, k):
        """labels: (B,) classes, or (B, S) words with -100 where none is asked for."""
        x = self.token_embedding(ids) + self.position_embedding.weight[:ids.shape[1]] + self.segment_embedding.weight[0]
        total = 0
        for layer in self.layers:
            x, losses = layer(x, k)
            total = total + losses
        x = self.final_norm(x)
        if not self.words:
            return F.cross_entropy(self.head(x[:, 0]), labels) + total
        asked = labels != -100
        scores = F.linear(x[asked], self.token_embedding.weight, self.head_bias)
        return F.cross_entropy(scores, labels[asked]) + total


def torch_step(model, fused: bool, *batch):
    adam = torch.optim.AdamW(model.parameters(), lr=1e-4, **({"fused": True} if fused else {"foreach": False}))

    def step():
        model.loss(*batch).backward()
        adam.step()
        adam.zero_grad()

    return step
