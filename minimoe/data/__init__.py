"""Texts and labels: GLUE from a folder, built-in tasks, tokenizers, batches. Knows no tensor."""
from minimoe.data.batching import Batch, Encoded, batch_order, batches, encode_dataset, make_batch
from minimoe.data.builtin import load_builtin
from minimoe.data.dataset import Dataset, Example
from minimoe.data.glue import load_glue
from minimoe.data.tokenizer import Tokenizer, WordTokenizer, tokenizer_from_dict

__all__ = ["Batch", "Dataset", "Encoded", "Example", "Tokenizer", "WordTokenizer", "batch_order", "batches",
           "encode_dataset", "load_builtin", "load_glue", "make_batch", "tokenizer_from_dict"]
