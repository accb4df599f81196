"""The transformer encoder: embeddings, pre-norm layers, a final norm. The expert layer takes the FFN's place."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minimoe.backend import array_module, is_array, on_host, to_backend, to_host
from minimoe.models.config import EncoderConfig
from minimoe.moe.layer import MoELayer
from minimoe.moe.routing import Routing, nonfinite_error
from minimoe.nn.attention import MultiHeadAttention
from minimoe.nn.dropout import Dropout
from minimoe.nn.embedding import Embedding
from minimoe.nn.feedforward import FeedForward
from minimoe.nn.init import generator
from minimoe.nn.module import Module, ModuleList
from minimoe.nn.norm import LayerNorm
from minimoe.tensor import Tensor, raw


@dataclass(frozen=True, repr=False)
class Output:
    """What a model answers. hidden (B, S, d) after the final norm; logits (B, n_classes), (B, S, vocab) or None;
    attentions: (B, H, S, S) per layer; routings: one Routing per expert layer."""

    hidden: Tensor
    logits: Tensor | None
    attentions: list[Tensor]
    routings: list[Routing]

    def __repr__(self) -> str:
        logits = "none" if self.logits is None else self.logits.shape
        return f"Output(hidden {self.hidden.shape}, logits {logits}, {len(self.routings)} routings)"

    @property
    def aux_loss(self) -> Tensor:
        """Sum of every expert layer's auxiliary losses; 0 for a dense model."""
        return sum((routing.aux_loss for routing in self.routings), Tensor(0.0, backend=self.hidden.backend))


class EncoderLayer(Module):
    """x += D(attention(norm1(x))); x += D(experts or feed-forward(norm2(x)))."""

    def __init__(self, config: EncoderConfig, experts: bool, *, rng, dropout_rng):
        rng = generator(rng, type(self).__name__)
        self.norm1 = LayerNorm(config.d_model)
        self.attention = MultiHeadAttention(config.d_model, config.n_heads, config.dropout, rng=rng,
                                            dropout_rng=dropout_rng)
        self.norm2 = LayerNorm(config.d_model)
        if experts:
            self.moe = MoELayer(config.d_model, config.d_ff, config.n_experts, config.router, config.activation,
                                rng=rng, router_options=config.router_options, dropout=config.expert_dropout,
                                dropout_rng=dropout_rng, grouped=config.grouped)
        else:
            own = rng.spawn(1)[0]                   # so that what follows starts as in the model with experts
            self.feedforward = FeedForward(config.d_model, config.d_ff, config.activation, rng=own)
        self.has_experts = experts
        self.dropout = Dropout(config.dropout, rng=dropout_rng)

    def forward(self, x: Tensor, mask, earlier: list[Tensor], counted=None) -> tuple[Tensor, Tensor, Routing | None]:
        """x (B, S, d), mask (B, S), attentions of the layers before -> (x, attention, routing or None). counted: the
        same mask, on the host where there is one: it tells the router how many tokens there are without waiting."""
        mixed, attention = self.attention(self.norm1(x), mask)
        x = x + self.dropout(mixed)
        h = self.norm2(x)
        if not self.has_experts:
            return x + self.dropout(self.feedforward(h)), attention, None
        router = self.moe.router
        if router.kappa is None:
            importance = router.importance([a.data for a in (*earlier, attention)], mask, h.data)
        else:
            importance = router.learned_importance(attention, mask, h.data)
        y, routing = self.moe(h, importance, mask if counted is None else counted)
        return x + self.dropout(y), attention, routing


class Encoder(Module):
    """ids -> hidden states. `rng`: integer seed or generator; weights, dropout and routing noise get streams of
    their own, so that one never moves the other."""

    def __init__(self, config: EncoderConfig, rng=0):
        self.config = config
        weights, dropout_rng = generator(rng, type(self).__name__).spawn(2)
        d = config.d_model
        self.token_embedding = Embedding(config.vocab_size, d, rng=weights)
        self.position_embedding = Embedding(config.max_length, d, rng=weights)
        self.segment_embedding = Embedding(2, d, rng=weights)
        self.dropout = Dropout(config.dropout, rng=dropout_rng)
        self.layers = ModuleList([EncoderLayer(config, config.has_experts(layer), rng=weights,
                                               dropout_rng=dropout_rng) for layer in range(config.n_layers)])
        self.final_norm = LayerNorm(d)

    def expert_layers(self) -> list[MoELayer]:
        """The expert layers, first to last."""
        return [layer.moe for layer in self.layers if layer.has_experts]

    def encode(self, ids, mask=None, segments=None) -> Output:
        """ids int (B, S); mask bool (B, S), True = real token, default ids != pad_id; segments int (B, S) of 0 and 1,
        default 0 everywhere.

        Raises ValueError for ids of another rank or longer than max_length, FloatingPointError naming the layer where
        NaN or infinite numbers arise, unless a router skips them (on_nonfinite="skip").
        """
        ids, mask, segments, counted = self._inputs(ids, mask, segments)
        positions = array_module(ids).arange(ids.shape[1])
        x = self.token_embedding(ids) + self.position_embedding(positions)              # (B, S, d)
        x = x + (self.segment_embedding.weight[0] if segments is None else self.segment_embedding(segments))
        x = self.dropout(x)
        attentions, routings, waiting = [], [], []
        for number, layer in enumerate(self.layers):
            try:
                x, attention, routing = layer(x, mask, attentions, counted)
            except FloatingPointError as error:
                raise FloatingPointError(f"layers.{number}: {error}") from error
            attentions.append(attention)
            if routing is not None:
                routings.append(routing)
                if layer.moe.router.on_nonfinite == "raise" and not on_host(routing.nonfinite):
                    waiting.append((f"layers.{number}: route: router logits or importance", routing.nonfinite))
            waiting += self._refuse_nonfinite(f"layers.{number}: outputs", x)
        hidden = self.final_norm(x)
        waiting += self._refuse_nonfinite("final_norm: outputs", hidden)
        if waiting:                                 # on a device all counts are read here, once for the whole pass
            counts = to_host(array_module(hidden.data).stack([count for _, count in waiting])).tolist()
            for (what, _), count in zip(waiting, counts, strict=True):
                if count:
                    raise nonfinite_error(what, count, ids.size)
        return Output(hidden, None, attentions, routings)

    def _refuse_nonfinite(self, what: str, x: Tensor) -> list[tuple[str, object]]:
        """Raises FloatingPointError for NaN or infinity in x (..., d). On a device: [(what, tokens that have some)],
        for the caller to read later. A router that skips such tokens lets them pass here too."""
        if any(layer.router.on_nonfinite == "skip" for layer in self.expert_layers()):
            return []
        finite = array_module(x.data).isfinite(x.data)
        if on_host(finite) and finite.all():
            return []
        count = (~finite.all(axis=-1)).sum()
        if on_host(finite):
            raise nonfinite_error(what, int(count), finite.size // finite.shape[-1])
        return [(what, count)]

    def forward(self, ids, mask=None, segments=None) -> Output:
        """See `encode`."""
        return self.encode(ids, mask, segments)

    def _inputs(self, ids, mask, segments):
        """ids, mask and segments on the model's backend, and the mask where it came from."""
        name, mask, segments = type(self).__name__, raw(mask), raw(segments)
        backend = self.token_embedding.weight.backend
        ids = raw(ids) if is_array(raw(ids)) else np.asarray(ids)
        if ids.ndim != 2 or ids.dtype.kind not in "iu":
            raise ValueError(f"{name}: ids is {ids.dtype} {ids.shape}; it must be an integer array (B, S)")
        if ids.shape[1] > self.config.max_length:
            raise ValueError(f"{name}: ids has length {ids.shape[1]}, the model's max_length is "
                             f"{self.config.max_length}; cut the text or build a longer model")
        mask = ids != self.config.pad_id if mask is None else mask if is_array(mask) else np.asarray(mask)
        segments = segments if segments is None or is_array(segments) else np.asarray(segments)
        for what, array in (("mask", mask), ("segments", segments)):
            if array is not None and array.shape != ids.shape:
                raise ValueError(f"{name}: {what} is {array.shape}, ids is {ids.shape}; they must be equal")
        moved = (None if a is None else to_backend(a, backend) for a in (ids, mask, segments))
        return *moved, mask
