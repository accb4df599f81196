"""Layers: modules with parameters, built from minimoe.ops."""
from minimoe.nn.attention import MultiHeadAttention
from minimoe.nn.dropout import Dropout
from minimoe.nn.embedding import Embedding
from minimoe.nn.feedforward import FeedForward
from minimoe.nn.linear import Linear
from minimoe.nn.module import Module, ModuleList, Parameter
from minimoe.nn.norm import LayerNorm, RMSNorm

__all__ = ["Dropout", "Embedding", "FeedForward", "LayerNorm", "Linear", "Module", "ModuleList", "MultiHeadAttention",
           "Parameter", "RMSNorm"]
