"""Texts and labels: GLUE from a folder, built-in tasks, plain text, tokenizers, batches. Knows no tensor."""
from minimoe.data.batching import Batch, Encoded, batch_order, batches, encode_dataset, make_batch
from minimoe.data.builtin import load_builtin
from minimoe.data.dataset import Dataset, Example
from minimoe.data.glue import load_glue
from minimoe.data.text import load_text, standard_library_text
from minimoe.data.tokenizer import Tokenizer, WordTokenizer, tokenizer_class, tokenizer_from_dict
from minimoe.data.wordpiece import WordPieceTokenizer

__all__ = ["Batch", "Dataset", "Encoded", "Example", "Tokenizer", "WordPieceTokenizer", "WordTokenizer", "batch_order",
           "batches", "encode_dataset", "load_builtin", "load_glue", "load_text", "make_batch", "standard_library_text",
           "tokenizer_class", "tokenizer_from_dict"]
