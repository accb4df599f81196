"""Optimisers, learning rate schedules and gradient clipping, as in PyTorch."""
from minimoe.optim.adam import Adam, AdamW
from minimoe.optim.clip import clip_grad_norm_
from minimoe.optim.schedule import Constant, InverseSqrt, WarmupCosine, WarmupLinear
from minimoe.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Constant", "InverseSqrt", "WarmupCosine", "WarmupLinear", "clip_grad_norm_"]
