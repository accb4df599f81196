"""What each command does; `cli` parses, these modules run and print."""
from minimoe.commands.checks import gradcheck, info
from minimoe.commands.reading import evaluate, inspect, predict
from minimoe.commands.runs import pretrain, train
from minimoe.commands.study import compare

__all__ = ["compare", "evaluate", "gradcheck", "info", "inspect", "predict", "pretrain", "train"]
