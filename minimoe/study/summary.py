"""A finished run in a few lines of text."""
from __future__ import annotations

import numpy as np

from minimoe.models import Encoder
from minimoe.plots import experts_per_token
from minimoe.study.reading import Reading


def table(rows: list[dict]) -> str:
    """Rows of the same keys as aligned columns; numbers to the right."""
    keys = list(rows[0])
    cells = [keys] + [[str(row[key]) for key in keys] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(keys))]
    lines = ["  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))])
             for line in cells]
    return "\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:]])


def compare_rows(results: list[dict]) -> list[dict]:
    """One row per run for `table`."""
    def speed(r: dict) -> str:
        return f"{r['tokens_per_second']:,.0f}" if r["tokens_per_second"] else "-"

    return [{"router": r["router"], **{name: f"{value:.4f}" for name, value in r["metrics"].items()},
             "experts/token": f"{r['mean_experts_per_token']:.2f}", "FLOPs/token": f"{r['flops_per_token']:,.0f}",
             "tokens/s": speed(r), "parameters": f"{r['parameters']:,}"} for r in results]


def k_ranges(model: Encoder) -> list[tuple[int, int]]:
    """What the router of every expert layer allows per token."""
    return [layer.router.k_range or (0, layer.router.n_experts) for layer in model.expert_layers()]


def deciding_lines(result: dict) -> list[str]:
    """Whether the words that decide the label got more experts than the others; built-in tasks only."""
    return [f"Experts per word by {measure}: {means['deciding']:.2f} on the words that decide the label, "
            f"{means['others']:.2f} on the others "
            f"({'more' if means['deciding'] > means['others'] else 'not more'} on the deciding ones)."
            for measure, means in result["deciding"].items()]


def routed_sentence(reading: Reading, width: int = 100) -> str:
    """The tokens with the number of experts under each, one row per expert layer."""
    return experts_per_token(reading.tokens, np.stack(reading.k), format="text", width=width)
