"""Small encoders and batches drawn from a seed: every router, schedule, measure, gate, capacity and odd size."""
import numpy as np

from minimoe.models import Encoder, EncoderConfig

LEARNED = ("rowmax", "colmax", "colsum", "colsum_l1", "cls", "focus", "diffuse")        # have a gradient
MEASURES = (*LEARNED, "uniform", "rollout", "router_entropy")
SCHEDULES = ("ceil", "affine", "threshold", "mass", "quantile", "budget", "pairs", "top_p")
OTHERS = ("switch", "topk", "topp", "expert_choice")


class Draw:
    def __init__(self, seed):
        self.random = np.random.default_rng([seed, 8])

    def of(self, *values):
        return values[self.random.integers(len(values))]

    def whole(self, low, high):
        """An integer from low to high, both included."""
        return int(self.random.integers(low, high + 1))

    def share(self, chance):
        return bool(self.random.random() < chance)


def draw(seed):
    """(configuration, whether it trains, ids, mask or None, segments). Every second router is DA-MoE's; measures and
    schedules take turns, so that 160 models have every pair of them."""
    d, turn = Draw(seed), seed // 2
    n_experts, n_heads = d.of(1, 2, 3, 4, 6, 8), d.of(1, 2, 3)
    router = OTHERS[turn % 4] if seed % 2 else "da"
    options = shared_options(d, n_experts)
    if router == "da":
        options |= importance_options(d, MEASURES[turn % 10])
        options |= schedule_options(d, SCHEDULES[(turn + turn // 40) % 8], n_experts)
    elif options["priority"] == "importance":
        options["priority"] = "prob"
    if router == "topk":
        options["k"] = d.whole(1, n_experts)
    elif router == "topp":
        options["p"] = d.of(0.2, 0.5, 0.9, 1.0)
    elif router == "expert_choice":
        options["mean_experts"] = d.of(0.5, 1.0, 1.7, float(n_experts)) if n_experts > 1 else 1.0
    measure = options.get("measure", "")
    exact = not measure or any(name in measure for name in ("rowmax", "colmax", "cls", "uniform"))
    head = d.of(1, 2, 3) if exact else d.of(2, 3) if n_heads > 1 else 3     # narrow: even attention, ties by rounding
    config = EncoderConfig(
        vocab_size=d.of(2, 9), d_model=n_heads * head, n_layers=d.of(1, 2, 3), n_heads=n_heads, d_ff=d.of(1, 3, 4),
        n_experts=n_experts, router=router, router_options=options, moe_every=d.of(1, 1, 1, 2), max_length=8,
        dropout=0.0, activation=d.of("gelu", "gelu_tanh", "relu", "geglu", "reglu"))
    shape = d.of(1, 2, 3), d.of(1, 2, 5, 8)
    ids = d.random.integers(0, config.vocab_size, shape)
    mask = draw_mask(d, shape, from_the_start="cls" in measure)
    if mask is None and "cls" in measure:
        ids[:, 0] = 1
    segments = d.random.integers(0, 2, shape)
    keep = distinct(ids, segments, ids != 0 if mask is None else mask)
    return config, d.share(0.5), ids[keep], None if mask is None else mask[keep], segments[keep]


def distinct(ids, segments, mask):
    """The samples to keep so that no two are equal: which of two equal tokens comes first would be up to rounding."""
    rows = np.concatenate([np.where(mask, ids, -1), np.where(mask, segments, -1)], axis=1)
    return np.sort(np.unique(rows, axis=0, return_index=True)[1])


def draw_mask(d, shape, from_the_start):
    """None (ids that are 0 are padding), prefixes, or any positions; some samples are empty."""
    kind = d.of("none", "prefix", "prefix", "any")
    if kind == "none":
        return None
    if kind == "prefix" or from_the_start:
        return np.arange(shape[1]) < d.random.integers(0, shape[1] + 1, shape[0])[:, None]
    return d.random.random(shape) < 0.7


def shared_options(d, n_experts):
    ban = [False] * n_experts
    if n_experts > 1 and d.share(0.2):
        ban[d.whole(0, n_experts - 1)] = True
    return dict(gates=d.of("raw", "raw", "renorm", "equal"), capacity=d.of(None, None, 0.0, 0.4, 0.8, 1.25),
                eval_capacity=d.of(None, None, 0.6, 2.0), capacity_min=d.of(0, 1, 4),
                priority=d.of("importance", "prob", "position"), renorm_after_drop=d.share(0.3),
                ban=ban if any(ban) else None, balance_weight=d.of(0.0, 0.01, 0.5), z_weight=d.of(0.0, 0.001, 0.1),
                entropy_weight=d.of(0.0, 0.0, 0.2))


def importance_options(d, inner):
    if inner in LEARNED and d.share(0.4):
        return dict(measure=inner, heads=d.of("mean", "max"), normalise="none", source="same", soft_importance=True,
                    exclude_special=d.of((), (0, -1)))
    heads = {"rollout": d.of("mean", "each"), "router_entropy": "mean"}.get(inner, d.of("mean", "max"))
    source = "same" if inner in ("rollout", "router_entropy") else d.of("same", "prev", "mean_of_layers")
    measure = d.of(inner, inner, f"reversed({inner})", f"reversed(reversed({inner}))")
    return dict(measure=measure, heads=heads, source=source, normalise=d.of("none", "none", "mean1", "minmax", "rank"),
                exclude_special=d.of((), (), (0,), (0, -1), (2,)))


def schedule_options(d, allocation, n_experts):
    k_min = d.whole(0, min(n_experts, 2))
    k_max = d.whole(max(k_min, 1), n_experts)
    options = dict(allocation=allocation, k_min=k_min, k_max=k_max)
    if allocation == "threshold":
        options["thresholds"] = sorted(d.random.random(d.whole(1, 3)).tolist())
    elif allocation == "mass":
        options["rho"] = d.of(0.0, 1.0, *d.random.random(4).tolist())
    elif allocation == "top_p":
        options["p"] = d.of(0.3, 0.6, 0.95)
    if allocation in ("quantile", "budget", "pairs"):
        options["mean_experts"] = k_min + (k_max - k_min) * d.of(0.0, 0.3, 0.5, 0.81, 1.0)
    if allocation == "quantile" and d.share(0.4):
        options["levels"] = sorted({k_min, k_max})
    if allocation == "pairs":
        options["gamma"] = d.of(0.0, 0.5, 1.0)
    if allocation in ("mass", "quantile", "budget", "pairs"):
        options["group"] = d.of("sample", "batch")
    return options


def build(config, seed, backend="numpy"):
    """The encoder in float64 with weights large enough that tokens disagree, and its weights as float64 arrays."""
    model, random = Encoder(config, rng=0).to(dtype="float64"), np.random.default_rng([seed, 9])
    for name, p in model.named_parameters():
        p.data[...] = random.standard_normal(p.shape) * 0.6 + (1 if "norm" in name and name.endswith("weight") else 0)
    return model.to(backend=backend), {name: p.astype(np.float64) for name, p in model.state_dict().items()}
