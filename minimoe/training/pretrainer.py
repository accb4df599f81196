"""Pre-training: a masked language model on plain text."""
from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from minimoe.autograd import no_grad
from minimoe.backend import blas_threads
from minimoe.data.text import load_text, standard_library_text
from minimoe.data.tokenizer import tokenizer_class
from minimoe.models import MaskedLanguageModel
from minimoe.models.language_model import IGNORE
from minimoe.moe.routing import pool_stats
from minimoe.training.config import PretrainConfig
from minimoe.training.loop import Loop
from minimoe.training.masking import blocks_of, hide_tokens, unigram_loss
from minimoe.training.parts import Inputs

HELD_OUT_EVERY = 20        # every 20th paragraph is held out when no file is given for it
HELD_OUT_SEED = 0          # the held-out text is hidden in the same places in every run


@dataclass(frozen=True)
class Corpus:
    """Texts made ready. train_blocks int32 (n, max_length); held_out: (ids with tokens hidden, labels), both
    (n, max_length); unigram: held-out loss in nats of guessing by frequency alone."""

    tokenizer: object
    train_blocks: np.ndarray
    held_out: tuple[np.ndarray, np.ndarray]
    unigram: float


def prepare_corpus(config: PretrainConfig) -> Corpus:
    """Reads the texts of a run, trains its tokenizer and hides the held-out words."""
    config = config.resolved()
    texts, held_out = load_texts(config)
    tokenizer = tokenizer_class(config.tokenizer).train(texts, config.vocab_size)
    train_blocks = blocks_of(texts, tokenizer, config.max_length)
    blocks = blocks_of(held_out, tokenizer, config.max_length)
    hidden = hide_tokens(blocks, tokenizer, config.masked, np.random.default_rng(HELD_OUT_SEED))
    targets = hidden[1][hidden[1] != IGNORE]
    if not targets.size:
        raise ValueError("held_out: no word of it was hidden; give more text")
    return Corpus(tokenizer, train_blocks, hidden, unigram_loss(train_blocks, targets, tokenizer.vocab_size))


class Pretrainer(Loop):
    """`Pretrainer(PretrainConfig(out="DIR")).train()` -> the figures of the run. `corpus`: a prepared one, to share
    texts between runs."""

    def __init__(self, config: PretrainConfig, progress: bool = True, corpus: Corpus | None = None):
        config = config.resolved()
        corpus = corpus or prepare_corpus(config)
        tokenizer = corpus.tokenizer
        self.train_blocks, self.held_out, self.unigram = corpus.train_blocks, corpus.held_out, corpus.unigram
        model = MaskedLanguageModel(config.model_config(tokenizer.vocab_size), config.seed)
        batches = -(-len(self.train_blocks) // config.batch_size)
        super().__init__(config, model, tokenizer, {"name": "masked language model"}, batches, progress)
        self.layer_stats: list[dict] = []

    def train(self) -> dict:
        """Trains, measures on the held-out text and returns the figures; `restore()` before goes on."""
        with blas_threads(self.config.threads):
            self.run()
            self.validate()
        return self.figures()

    def epoch_batches(self) -> list:
        """(blocks, seed of the masks) per step: fresh masks every epoch."""
        order = self.order.permutation(len(self.train_blocks))
        size = self.config.batch_size
        picks = [order[i:i + size] for i in range(0, len(order), size)]
        return list(zip(picks, self.order.integers(0, 2**63, len(picks)).tolist(), strict=True))

    def inputs(self, item) -> Inputs:
        index, seed = item
        return Inputs(*hide_tokens(self.train_blocks[index], self.tokenizer, self.config.masked,
                                   np.random.default_rng(seed)))

    def loss_of(self, model, inputs: Inputs) -> tuple:
        output = model.encode(inputs.ids)
        return model.task_loss(output, inputs.labels), output

    def data(self) -> Iterator[np.ndarray]:
        yield from (self.train_blocks, *self.held_out)

    def validate(self) -> float:
        """Minus the mean loss in nats over all hidden tokens of the held-out text."""
        total, stats, was_training = 0.0, [], self.model.training
        self.model.eval()
        with no_grad():
            for _, part_labels, output in self.held_out_outputs():
                asked = int((part_labels != IGNORE).sum())
                total += self.model.task_loss(output, part_labels).item() * asked
                stats.append([routing.stats for routing in output.routings])
        self.model.train(was_training)
        self.layer_stats = [pool_stats(list(layer)) for layer in zip(*stats, strict=True)]
        return -total / int((self.held_out[1] != IGNORE).sum())

    def held_out_outputs(self) -> Iterator[tuple]:
        """(ids, labels, Output without scores) of the held-out text, 64 blocks at a time."""
        ids, labels = self.held_out
        for start in range(0, len(ids), 64):
            part = slice(start, start + 64)
            yield ids[part], labels[part], self.model.encode(ids[part])

    def figures(self) -> dict:
        """Plain numbers of the finished run; perplexity = e^loss over hidden held-out tokens."""
        loss = -self.best_score
        kept, tokens = (sum(s[name] for s in self.layer_stats) for name in ("kept", "tokens"))
        mean_k = kept / tokens if tokens else 1.0
        return {
            "task": self.facts["name"], "router": self.config.router, "metric": "perplexity",
            "score": perplexity(loss), "metrics": {
                "perplexity": perplexity(loss), "unigram_perplexity": perplexity(self.unigram),
                "ratio": perplexity(loss - self.unigram)},
            "mean_experts_per_token": mean_k, "layers": self.layer_stats,
            "flops_per_token": self.model.config.flops_per_token(mean_k, self.config.max_length),
            "parameters": sum(p.size for p in self.model.parameters()), "steps": self.step, "tokens": self.tokens,
            "tokens_per_second": self.tokens_per_second(), "seconds": self.seconds, "seed": self.config.seed,
            "backend": self.config.backend,
        }


def perplexity(loss: float) -> float:
    """e^loss, within what a float can hold."""
    return math.exp(min(loss, 700.0))


def load_texts(config: PretrainConfig) -> tuple[list[str], list[str]]:
    """(training paragraphs, held-out paragraphs)."""
    texts = [line for path in config.text for line in load_text(path)] if config.text else standard_library_text()
    if config.held_out:
        both = set(map(os.path.realpath, config.text)) & set(map(os.path.realpath, config.held_out))
        if both:
            raise ValueError(f"held_out: {min(both)} is among the training texts too; hold out another text")
        return texts, [line for path in config.held_out for line in load_text(path)]
    train = [text for i, text in enumerate(texts) if i % HELD_OUT_EVERY]
    held_out = texts[::HELD_OUT_EVERY]
    if not train:
        raise ValueError(f"text: {len(texts)} paragraph is too little to train and to hold out")
    return train, held_out
