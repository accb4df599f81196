"""Pictures of routing. Every function returns what it made and neither shows nor saves it.

The text and HTML forms of `experts_per_token` need nothing; everything else needs matplotlib, which is imported on
first use: pip install "minimoe[plots]". Figures do not touch pyplot: save one with `figure.savefig("name.png")`, and a
notebook shows the last line of a cell. Where an array is wanted a Tensor will do.
"""
from __future__ import annotations

from minimoe.plots.attention import attention_heatmap
from minimoe.plots.experts import experts_per_token
from minimoe.plots.graph import computation_graph
from minimoe.plots.importance import importance_against_k
from minimoe.plots.load import expert_load
from minimoe.plots.plan import routing_plan

__all__ = ["attention_heatmap", "computation_graph", "expert_load", "experts_per_token", "importance_against_k",
           "routing_plan"]
