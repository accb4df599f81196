"""The encoder written once more in PyTorch, from the formulas: dense loops over experts, no plan, no dispatch.

Modules and parameters have the names of ours, so that `load_state_dict` carries the weights over. Importing this file
needs torch. Dropout is left out.
"""
import torch
from torch import nn
from torch.nn import functional as F

ACTIVATIONS = {"gelu": F.gelu, "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"), "relu": F.relu}
BALANCE, Z = 0.01, 0.001                            # weights of the auxiliary losses, our defaults


class FeedForward(nn.Module):
    def __init__(self, d, f, activation):
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(d, f), nn.Linear(f, d)
        self.phi = ACTIVATIONS[activation]

    def forward(self, x):
        return self.linear2(self.phi(self.linear1(x)))


class Experts(nn.Module):
    def __init__(self, d, f, n_experts, activation):
        super().__init__()
        for name, shape in {"w1": (d, f), "b1": (f,), "w2": (f, d), "b2": (d,)}.items():
            setattr(self, name, nn.Parameter(torch.empty(n_experts, *shape)))
        self.phi = ACTIVATIONS[activation]

    def forward(self, x, e):
        return self.phi(x @ self.w1[e] + self.b1[e]) @ self.w2[e] + self.b2[e]


class Mixture(nn.Module):
    """Every expert computes every token; what a token did not choose is multiplied by 0."""

    def __init__(self, d, f, n_experts, activation):
        super().__init__()
        self.router = nn.Linear(d, n_experts, bias=False)
        self.experts = Experts(d, f, n_experts, activation)

    def forward(self, x, k, real):
        """x (N, d), k (N,) experts per token, real (N,) bool -> y (N, d), balance loss + z-loss."""
        n_experts = self.router.out_features
        z = self.router(x)                                                  # (N, E)
        p = z.softmax(-1)
        place = z.argsort(dim=-1, descending=True, stable=True).argsort(dim=-1)
        chosen = (place < k[:, None]) & real[:, None]
        y = torch.zeros_like(x)
        for e in range(n_experts):
            y = y + (p[:, e] * chosen[:, e])[:, None] * self.experts(x, e)
        share = chosen.sum(0).to(x.dtype) / chosen.sum()                    # (E,) f
        balance = n_experts * (share * p[real].mean(0)).sum()
        return y, BALANCE * balance + Z * (z[real].logsumexp(-1) ** 2).mean()


class Layer(nn.Module):
    """`k`: None for a feed-forward block, a number of experts per token, or "da"."""

    def __init__(self, config, k):
        super().__init__()
        d, f = config.d_model, config.d_ff
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.attention = nn.MultiheadAttention(d, config.n_heads, batch_first=True)
        self.k = k
        if k is None:
            self.feedforward = FeedForward(d, f, config.activation)
        else:
            self.moe = Mixture(d, f, config.n_experts, config.activation)

    def forward(self, x, real):
        """x (B, S, d), real (B, S) bool -> x, attention (B, H, S, S), auxiliary loss."""
        h = self.norm1(x)
        mixed, attention = self.attention(h, h, h, key_padding_mask=~real, average_attn_weights=False)
        x = x + mixed
        h = self.norm2(x)
        if self.k is None:
            return x + self.feedforward(h), attention, 0.0
        y, aux = self.moe(h.flatten(0, 1), self.experts_per_token(attention).flatten(), real.flatten())
        return x + y.view_as(x), attention, aux

    def experts_per_token(self, attention):
        """(B, S). DA-MoE: ceil(E * importance), importance the mean over heads of the largest weight of the row."""
        if self.k != "da":
            return torch.full((attention.shape[0], attention.shape[2]), self.k)
        importance = attention.detach().amax(-1).mean(1)
        n_experts = self.moe.router.out_features
        return torch.ceil(n_experts * (importance - 1e-6)).clamp(1, n_experts)


class Encoder(nn.Module):
    def __init__(self, config, k):
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.position_embedding = nn.Embedding(config.max_length, config.d_model)
        self.segment_embedding = nn.Embedding(2, config.d_model)
        self.layers = nn.ModuleList(Layer(config, k if config.has_experts(i) else None)
                                    for i in range(config.n_layers))
        self.final_norm = nn.LayerNorm(config.d_model)
        self.pad_id = config.pad_id

    def encode(self, ids, segments):
        """ids, segments (B, S) -> hidden (B, S, d), the sum of the auxiliary losses."""
        x = (self.token_embedding(ids) + self.position_embedding(torch.arange(ids.shape[1]))
             + self.segment_embedding(segments))
        total = 0.0
        for layer in self.layers:
            x, _, aux = layer(x, ids != self.pad_id)
            total = total + aux
        return self.final_norm(x), total


class Classifier(Encoder):
    def __init__(self, config, k):
        super().__init__(config, k)
        self.head = nn.Linear(config.d_model, config.n_classes)

    def loss(self, ids, labels, segments):
        hidden, aux = self.encode(ids, segments)
        logits = self.head(hidden[:, 0])
        task = F.cross_entropy(logits, labels) if logits.shape[1] > 1 else F.mse_loss(logits[:, 0], labels)
        return task + aux


class LanguageModel(Encoder):
    """The scores use the token embedding's weights once more."""

    def __init__(self, config, k):
        super().__init__(config, k)
        self.head_bias = nn.Parameter(torch.zeros(config.vocab_size))

    def loss(self, ids, labels, segments):
        hidden, aux = self.encode(ids, segments)
        scores = F.linear(hidden, self.token_embedding.weight, self.head_bias)
        return F.cross_entropy(scores.flatten(0, 1), labels.flatten()) + aux


def carry_over(ours, theirs):
    """Makes the weights and the dtype of a torch module those of ours. Returns it."""
    values = {name: torch.from_numpy(value) for name, value in ours.state_dict().items()}
    theirs.to(next(iter(values.values())).dtype).load_state_dict(values)
    return theirs
