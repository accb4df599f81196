"""The shape of a model, as data."""
from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields

from minimoe.moe.make import ROUTERS
from minimoe.ops.activations import ACTIVATIONS, GATED
from minimoe.ops.grouped import GROUPED


@dataclass(frozen=True)
class EncoderConfig:
    """Everything that decides a model's parameters and computation. Raises ValueError naming the field.

    n_classes=1 is regression. n_experts=0 is the dense model. moe_every=2 puts experts in every second layer.
    router: a name of `make_router` or "file.py:ClassName"; router_options: its keywords. Pre-norm encoder, final norm,
    first token pooled for classification. grouped: how a GPU multiplies expert by expert, see minimoe.ops.grouped.
    """

    vocab_size: int
    n_classes: int = 2
    d_model: int = 128
    n_layers: int = 2
    n_heads: int = 4
    d_ff: int = 512
    n_experts: int = 8
    router: str = "da"
    router_options: dict = field(default_factory=dict)
    moe_every: int = 1
    max_length: int = 128
    dropout: float = 0.1
    activation: str = "gelu"
    pad_id: int = 0
    expert_dropout: float = 0.0
    grouped: str = "library"

    def __post_init__(self):
        at_least = dict(vocab_size=1, n_classes=1, d_model=1, n_layers=1, n_heads=1, d_ff=1, n_experts=0, moe_every=1,
                        max_length=1, pad_id=0)
        for name, smallest in at_least.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < smallest:
                raise ValueError(f"EncoderConfig: {name} is {value!r}; it must be an integer of at least {smallest}")
        for name in ("dropout", "expert_dropout"):
            value = getattr(self, name)
            if not isinstance(value, float | int) or isinstance(value, bool) or not 0 <= value < 1:
                raise ValueError(f"EncoderConfig: {name} is {value!r}; it must lie in [0, 1)")
        if self.d_model % self.n_heads:
            raise ValueError(f"EncoderConfig: d_model {self.d_model} is not a multiple of n_heads {self.n_heads}")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"EncoderConfig: activation {self.activation!r} is not one of {', '.join(ACTIVATIONS)}")
        if not isinstance(self.router, str) or not (self.router in ROUTERS or ".py:" in self.router):
            raise ValueError(f"EncoderConfig: router {self.router!r} is not one of {', '.join(ROUTERS)}, "
                             "nor path/to/file.py:ClassName")
        if not isinstance(self.router_options, dict):
            raise ValueError(f"EncoderConfig: router_options is {self.router_options!r}; it must be a dict")
        if "rng" in self.router_options:
            raise ValueError("EncoderConfig: router_options has 'rng'; the model draws the router's weights itself")
        if self.grouped not in GROUPED:
            raise ValueError(f"EncoderConfig: grouped {self.grouped!r} is not one of {', '.join(GROUPED)}")
        if self.pad_id >= self.vocab_size:
            raise ValueError(f"EncoderConfig: pad_id is {self.pad_id}; the ids are 0 to {self.vocab_size - 1}")

    def has_experts(self, layer: int) -> bool:
        """Whether layer 0, 1, ... has experts in place of its feed-forward block."""
        return self.n_experts > 0 and (layer + 1) % self.moe_every == 0

    def flops_per_token(self, mean_experts: float, length: float) -> float:
        """Multiply-adds counted as 2, forward, all layers: 8 d^2 + 4 n d + 4 d f K + 2 d E, n = live keys per row, and
        6 d f K for a gated activation.

        mean_experts: kept assignments per real token and expert layer. Embeddings and the head are not counted.
        """
        d, f = self.d_model, self.d_ff * (1.5 if self.activation in GATED else 1)      # a gate: three products, not two
        attention = 8 * d * d + 4 * length * d
        with_experts = sum(self.has_experts(layer) for layer in range(self.n_layers))
        return (self.n_layers * attention + (self.n_layers - with_experts) * 4 * d * f
                + with_experts * (2 * d * self.n_experts + 4 * d * f * mean_experts))

    def to_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> EncoderConfig:
        unknown = sorted(set(values) - {f.name for f in fields(cls)})
        if unknown:
            raise ValueError(f"EncoderConfig: there is no field {unknown[0]!r}")
        if "vocab_size" not in values:
            raise ValueError("EncoderConfig: vocab_size is missing")
        return cls(**values)

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> EncoderConfig:
        return cls.from_dict(json.loads(text))
