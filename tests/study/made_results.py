"""Result files as `minimoe compare` writes them, with scores of one's choice."""
import json
from pathlib import Path

BASE = dict(router="da", experts=4, importance=None, allocation=None, mean_experts=None, k_min=None, k_max=None,
            router_options={}, layers=2, d_model=16, heads=2, d_ff=8, dropout=0.1, epochs=3, lr=1e-3)
BUDGET = dict(allocation="budget", mean_experts=2)
ROWS = {                                            # row -> (configuration, mean K)
    "dense": (dict(experts=0, d_ff=16), 1.0),
    "switch": (dict(router="switch"), 1.0),
    "topk2": (dict(router="topk", router_options={"k": 2}), 2.0),
    "budget": (BUDGET, 2.0),
    "colmax": (BUDGET | dict(importance="colmax"), 2.0),
    "shuffled": (BUDGET | dict(importance="shuffled(rowmax)"), 2.0),
    "ceil": ({}, 1.5),
}
MACHINE = dict(processor="P", cores=2, platform="Linux", python="3.11", numpy="2.4", blas="b")


def result(row: str, seed: int, score: float, task="sentiment", kind="train", config=None, **more) -> dict:
    """One result; `row` is one of ROWS unless `config` and mean_experts_per_token are given."""
    found, k = ROWS[row] if config is None else (config, 2.0)
    k = more.get("mean_experts_per_token", k)
    found = BASE | found | {"seed": seed}
    layers = 0 if found["experts"] == 0 else 2
    whole = int(k)
    counts = [0] * 5
    counts[whole], counts[whole + 1] = round(100 * (1 - k + whole)), round(100 * (k - whole))
    values = dict(task=task, row=row, seed=seed, kind=kind, config=found, score=score, metric="accuracy",
                  metrics={"accuracy": score}, mean_experts_per_token=k, k_per_layer=[counts] * layers,
                  load_cv=[0.5, 0.25][:layers], dropped=0.0, flops_per_token=1000.0 * k, tokens_per_second=500.0 + seed,
                  parameters=4000, majority={"accuracy": 0.5}, commit="c" * 40, source="s" * 16, machine=MACHINE,
                  minimoe="0.1.0", deciding={"routed": {"deciding": k + 0.25, "others": k - 0.25}} if layers else {})
    asks = layers and found["router"] == "da"
    values["by_frequency"] = [{"first_rank": first, "share": 0.1 / first, "importance": 1 + seed / first, "experts": k}
                              for first in (1, 4, 11)] if asks else []
    values["example"] = {"tokens": ["[CLS]", "a", "[SEP]"], "experts": [k, k - asks / 4, k]} if layers else None
    if kind == "pretrain":
        values |= dict(metric="loss", metrics={"loss": score}, unigram=6.5, deciding={})
        del values["majority"]
    return values | more


def write(folder, *results: dict) -> Path:
    """Each into its file, named as `compare` names it."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for r in results:
        path = folder / f"{r['task']}--{r['row']}--{r['seed']}.json"
        path.write_text(json.dumps(r), encoding="utf-8")
    return folder


def write_rows(folder, scores: dict[str, list[float]], **more) -> Path:
    """row -> its scores with seeds 0, 1, ..."""
    return write(folder, *(result(row, seed, score, **more) for row, several in scores.items()
                           for seed, score in enumerate(several)))
