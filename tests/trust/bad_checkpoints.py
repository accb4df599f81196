"""Checkpoint files that must be refused: damaged, of another model, or written by somebody who means harm.

The hostile ones carry a right checksum, so that nothing but the reader's own care stands in their way. Rows of
tests/training/test_checkpoint.py are not repeated here.
"""
import json
import struct
import tempfile
from pathlib import Path

import numpy as np
from refusal import Bad
from safetensors import safe_open
from safetensors.numpy import load_file, save

from minimoe.data import WordTokenizer
from minimoe.models import EncoderConfig, SequenceClassifier
from minimoe.training import save_checkpoint
from minimoe.training.checkpoint import FILE, _checksum

CONFIG = EncoderConfig(vocab_size=9, d_model=4, n_heads=2, d_ff=3, n_experts=2, n_layers=1, max_length=6)


def _good() -> tuple[bytes, dict, dict]:
    """(a whole file, its arrays, its content)."""
    with tempfile.TemporaryDirectory() as folder:
        path = save_checkpoint(folder, SequenceClassifier(CONFIG), tokenizer=WordTokenizer.train(["a film was bad"], 9),
                               task={"name": "sentiment", "label_names": ["no", "yes"], "pairs": False})
        with safe_open(path, framework="numpy") as opened:
            content = json.loads(json.loads(opened.metadata()["minimoe"])[1])
        return path.read_bytes(), load_file(path), content


GOOD, ARRAYS, CONTENT = _good()
LENGTH = struct.unpack("<Q", GOOD[:8])[0]
HEADER, BODY = json.loads(GOOD[8:8 + LENGTH]), GOOD[8 + LENGTH:]
FIRST = next(name for name in HEADER if name != "__metadata__")
FIRST_BYTES = HEADER[FIRST]["data_offsets"][1] - HEADER[FIRST]["data_offsets"][0]


def packed(header: str, arrays: dict) -> bytes:
    return save(arrays, metadata={"minimoe": json.dumps([_checksum(header, arrays), header])})


def content(**changes) -> bytes:
    """The good file with these changes: section__key=value, or section=value."""
    changed = json.loads(json.dumps(CONTENT))
    for place, value in changes.items():
        section, _, key = place.partition("__")
        if key:
            changed[section][key] = value
        else:
            changed[section] = value
    return packed(json.dumps(changed), ARRAYS)


def arrays(**changes) -> bytes:
    return packed(json.dumps(CONTENT), ARRAYS | {f"model.{n.replace('__', '.')}": a for n, a in changes.items()})


def named(name: str) -> bytes:
    return packed(json.dumps(CONTENT), ARRAYS | {name: np.zeros(1, np.float32)})


def header(text: str | bytes, length: int | None = None) -> bytes:
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(data) if length is None else length) + data + BODY


def entry(**changes) -> bytes:
    """The first array described otherwise."""
    return header(json.dumps(HEADER | {FIRST: HEADER[FIRST] | changes}))


def flipped(place: int) -> bytes:
    return GOOD[:place] + bytes([GOOD[place] ^ 1]) + GOOD[place + 1:]


UNREADABLE = r"checkpoint\.safetensors: not a readable minimoe checkpoint, but damaged or something else \("
LABELS = r"checkpoint\.safetensors: saved without a tokenizer or the names of its labels"
ZEROS = np.zeros((2, 4), np.float32)
DAMAGED = {
    "empty": b"", "seven bytes": b"1234567", "text": b"hello, I am no checkpoint at all", "zeros": bytes(5000),
    **{f"cut at {share} tenths": GOOD[:len(GOOD) * share // 10] for share in (1, 5, 9)},
    "one byte short": GOOD[:-1], "one byte long": GOOD + b"x", "twice": GOOD + GOOD,
    **{f"bit flipped at byte {place}": flipped(place) for place in (0, 7, 9, 8 + LENGTH // 2, 8 + LENGTH - 2)},
    **{f"bit flipped in the data at {share} tenths": flipped(8 + LENGTH + len(BODY) * share // 10)
       for share in (0, 5, 9)},
    "header of no length": header("", 0), "header of 2^64 bytes": header("{}", 2**64 - 1),
    "header of 100 MB": header("{}", 10**8), "header no JSON": header("{'a': 1"), "header a list": header("[1, 2]"),
    "header nested without end": header("[" * 100_000), "header not UTF-8": header(b'{"\xff": 1}'),
    "no description": header(json.dumps({FIRST: HEADER[FIRST]})),
    "description no JSON": header(json.dumps({"__metadata__": {"minimoe": "hello"}})),
    "description nested without end": header(json.dumps({"__metadata__": {"minimoe": "[" * 100_000}})),
    "description twice": header('{"__metadata__": {"minimoe": "1"},' + json.dumps(HEADER)[1:]),
    "array twice, differently": header(json.dumps(HEADER)[:-1] + "," + json.dumps(
        {FIRST: HEADER[FIRST] | {"shape": [1]}})[1:]),
    "shape whose product overflows": entry(shape=[2**32, 2**32]), "shape of 2^62": entry(shape=[2**62]),
    "shape below 0": entry(shape=[-1]), "shape of fractions": entry(shape=[1.5]), "shape of 100,000 axes":
    entry(shape=[1] * 100_000), "shape that needs more data": entry(shape=[5000]),
    "data beyond the file": entry(data_offsets=[0, 2**60]), "data backwards": entry(data_offsets=[16, 0]),
    "data shared by two": header(json.dumps(HEADER | {"model.twin": HEADER[FIRST]})),
    "numbers of 8 bits": entry(dtype="F8_E4M3", shape=[FIRST_BYTES]),
    "numbers that NumPy has not": entry(dtype="BF16", shape=[FIRST_BYTES // 2]),
    "unknown dtype": entry(dtype="OBJECT"), "another dtype": entry(dtype="F64"),
    "content nested without end": packed("[" * 100_000, ARRAYS), "content no JSON": packed("{", ARRAYS),
    "content a list": packed("[]", ARRAYS), "content empty": packed("{}", ARRAYS),
    "kind is a list": content(kind=[]), "kind of a module": content(kind="os.system"), "format 2": content(format=2),
    "tokenizer a list": content(tokenizer=[]), "tokenizer a number": content(tokenizer=3),
    "tokenizer with a control character": content(tokenizer__tokens=[*CONTENT["tokenizer"]["tokens"], "\x1b[2J"]),
    "configuration a number": content(config=3), "task a text": content(task="x"), "state a number": content(state=3),
    "array called ../evil": named("../evil"), "array called /etc/passwd": named("/etc/passwd"),
    "array of no group": named("os.system"), "array with a long name": named("a" * 10_000),
}
HOSTILE = {
    "array called model.../../evil": (named("model.../../evil"), r"unexpected \.\./\.\./evil"),
    "array with an escape in its name": (named("model.\x1b[2J"), r"unexpected \\x1b\[2J"),
    "array of a special name": (named("model.__class__"), "unexpected __class__"),
    "language model in a classifier's file": (content(kind="language_model"), "not for this MaskedLanguageModel"),
    "a layer more": (content(config__n_layers=2), r"layers\.1\.moe\.experts\.w1 is missing"),
    "a thousand million layers": (content(config__n_layers=10**9), r"layers\.1\.moe\.experts\.w1 is missing"),
    "a huge vocabulary": (content(config__vocab_size=10**9), "token_embedding.weight is .* asks for"),
    "a huge width": (content(config__d_model=2**30), "token_embedding.weight is .* asks for"),
    "huge experts": (content(config__d_ff=2**40), "experts.w1 is .* asks for"),
    "a million experts": (content(config__n_experts=10**6), "experts.w1 is .* asks for"),
    "dense": (content(config__n_experts=0), "linear1.weight is missing"),
    "three heads": (content(config__n_heads=3), "d_model 4 is not a multiple of n_heads 3"),
    "a width in words": (content(config__d_model="4"), "d_model is '4'; it must be an integer"),
    "another activation": (content(config__activation="exec"), "activation 'exec' is not one of"),
    "a router in a file": (content(config__router="/tmp/evil.py:Evil"), "say where it is with --router"),
    "a router that is a number": (content(config__router=3), "trained with a router of its own, 3"),
    "unknown router options": (content(config__router_options={"cmd": "x"}), "router da: option 'cmd' is not one of"),
    "a measure that is a list": (content(config__router_options={"measure": ["x"]}),
                                 r"checkpoint\.safetensors: its configuration cannot be used \("),
    "router options of another kind": (content(config__router_options=[1]), "router_options is .*; it must be a dict"),
    "a third label": (content(task__label_names=["a", "b", "c"]), LABELS),
    "labels that are numbers": (content(task__label_names=[1, 2]), LABELS),
    "labels with an escape": (content(task__label_names=["\x1b[2J", "b"]), LABELS),
    "no labels": (content(task={}), LABELS),
    "pairs of a task without a name": (content(task={"label_names": ["a", "b"], "pairs": True}),
                                       "this model reads two texts, give both"),
    "a tokenizer too large": (content(tokenizer__tokens=[*CONTENT["tokenizer"]["tokens"], *map(str, range(99))]),
                              "the tokenizer has 108 tokens, the model 9"),
    "weights that are NaN": (arrays(head__weight=ZEROS + np.nan), "head.weight holds NaN or infinite numbers"),
    "weights that are infinite": (arrays(head__weight=ZEROS - np.inf), "head.weight holds NaN or infinite numbers"),
    "weights of integers": (arrays(head__weight=ZEROS.astype(int)), "integer, needed"),
    "weights of complex numbers": (arrays(head__weight=ZEROS.astype("complex64")), "complex64, needed"),
    "weights of no rows": (arrays(head__weight=ZEROS[:0]), r"head.weight is \(0, 4\)"),
    "weights of another rank": (arrays(head__weight=ZEROS[None]), r"head.weight is \(1, 2, 4\)"),
}
PREDICT = ("predict", "a film", "--checkpoint", "{}")
CHECKPOINTS = {name: Bad(PREDICT, UNREADABLE, {FILE: data}) for name, data in DAMAGED.items()}
CHECKPOINTS |= {name: Bad(PREDICT, says, {FILE: data}) for name, (data, says) in HOSTILE.items()}
STARTS = {
    "damaged": (GOOD[:-9], UNREADABLE),
    "no array": (packed(json.dumps(CONTENT), {}), r"checkpoint\.safetensors: token_embedding\.weight is missing"),
    "arrays renamed": (packed(json.dumps(CONTENT), {f"{n}_": a for n, a in ARRAYS.items()}),
                       r"checkpoint\.safetensors: token_embedding\.weight is missing"),
    "sizes beyond the file": (content(config=CONTENT["config"] | dict(d_model=65536, d_ff=2**20, n_experts=4096)),
                              r"checkpoint\.safetensors: token_embedding\.weight is .* asks for \(9, 65536\)"),
    "a width of attention alone": (arrays(layers__0__attention__in_proj_weight=ZEROS), "in_proj_weight is .* asks for"),
    "no configuration": (content(config={}), r"checkpoint\.safetensors: EncoderConfig: vocab_size is missing"),
    "another activation": (content(config__activation="relu"), "has activation relu; training can only start from"),
    "weights that are NaN": (arrays(head__weight=ZEROS + np.nan), r"checkpoint\.safetensors: head\.weight holds NaN"),
}
CHECKPOINTS |= {f"to start from, {name}": Bad(("train", "--init-from", "{}"), says, {FILE: data})
                for name, (data, says) in STARTS.items()}
CHECKPOINTS |= {
    "a folder without one": Bad(PREDICT, "there is no checkpoint here"),
    "a device": Bad((*PREDICT[:-1], str(Path("/dev/zero"))), "there is no checkpoint here"),
    "trained for another task": Bad(("evaluate", "--checkpoint", "{}", "--task", "paraphrase"),
                                    "whose labels are no, yes; paraphrase has different, same meaning", {FILE: GOOD}),
}
