"""What a trained model sees in words: importance and experts by how often a word occurs, and on example sentences."""
from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from minimoe.autograd import no_grad
from minimoe.backend import to_host
from minimoe.data.batching import batches
from minimoe.study.reading import read_sentence
from minimoe.training import Pretrainer, Trainer

RANKS = (1, 4, 11, 31, 101, 301, 1001, 3001, 10001)     # a class of words begins at each; rank 1 occurs most often
# Written for this figure. The words of the built-in tasks' examples are in their vocabularies.
EXAMPLES = {
    "sentiment": ("although the music was dull , the film we saw was never boring .", None),
    "acceptability": ("the teachers behind the old house are very tired .", None),
    "paraphrase": ("the doctor praised the child in the shop on monday .",
                   "on monday the kid was commended by the physician in the store ."),
    "stsb": ("A man plays the guitar on a stage.", "Someone is making music."),
    "mrpc": ("The bank cut its rates on Monday.", "On Monday the bank lowered its rates."),
    "qqp": ("How can I learn to swim?", "What is the best way to learn swimming?"),
    "rte": ("The river flooded the town in May.", "The town was flooded."),
}
OTHER = ("The film is not as bad as its first half hour, and its ending is a small wonder.", None)


def word_figures(trainer: Trainer | Pretrainer, kind: str) -> dict:
    """{"by_frequency": see `by_frequency`, empty for routers without importance; "example": the tokens of one
    sentence and their experts, mean over the expert layers, None for a dense model}."""
    if not trainer.model.expert_layers():
        return {"by_frequency": [], "example": None}
    train = np.concatenate(trainer.task.train.ids) if kind == "train" else trainer.train_blocks.reshape(-1)
    task = trainer.task.name if kind == "train" else None
    reading = read_sentence(trainer.model, trainer.tokenizer, *EXAMPLES.get(task, OTHER))
    with no_grad():
        classes = by_frequency(_outputs(trainer, kind), train, trainer.tokenizer)
    return {"by_frequency": classes,
            "example": {"tokens": reading.tokens, "experts": np.mean(reading.k, axis=0).tolist()}}


def by_frequency(outputs: Iterable[tuple], train: np.ndarray, tokenizer) -> list[dict]:
    """Words in classes by their rank in the training text, one dict each, mean over expert layers and occurrences.

    outputs: (ids, mask, routings) of every batch of held-out data, (B, S) and (B, S). train: all ids of the training
    data. first_rank: that of the class's most frequent word; share: of the class's average word in the training data;
    importance: in units of the sample's average, so that 1 is an average token; experts: K.
    """
    counts = np.bincount(train, minlength=tokenizer.vocab_size)
    counts[list(tokenizer.special_ids)] = 0
    sums = np.zeros((3, tokenizer.vocab_size))      # by word: occurrences times layers, importance, experts
    for ids, mask, routings in outputs:
        words = mask & (counts[ids] > 0)
        for routing in routings:
            if routing.importance is None:
                return []
            importance = to_host(routing.importance).reshape(ids.shape) * mask
            average = importance.sum(axis=1, keepdims=True) / mask.sum(axis=1, keepdims=True)
            relative = importance / np.maximum(average, 1e-30)
            experts = to_host(routing.k).reshape(ids.shape)
            for total, values in zip(sums, (words, relative, experts), strict=True):
                total += np.bincount(ids[words], values[words], minlength=len(counts))
    order = np.argsort(-counts, kind="stable")[:np.count_nonzero(counts)]
    found = []
    for first, end in zip(RANKS, (*RANKS[1:], len(counts) + 1), strict=True):
        chosen = order[first - 1:end - 1]
        seen, importance, experts = sums[:, chosen].sum(axis=1).tolist()
        if seen:
            found.append({"first_rank": first, "share": float(counts[chosen].mean() / counts.sum()),
                          "importance": importance / seen, "experts": experts / seen})
    return found


def _outputs(trainer: Trainer | Pretrainer, kind: str) -> Iterator[tuple]:
    """What `by_frequency` asks for, of the data that the score comes from."""
    if kind == "pretrain":
        for ids, _, output in trainer.held_out_outputs():
            yield ids, np.ones(ids.shape, bool), output.routings
    else:
        for batch in batches(trainer.task.test, 128, pad_id=trainer.model.config.pad_id):
            yield batch.ids, batch.mask, trainer.model(batch.ids, batch.mask, batch.segments).routings
