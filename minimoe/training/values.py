"""Checks of single values, and TOML: what every configuration needs."""
from __future__ import annotations

import json
import math
import sys

from minimoe.backend import BACKENDS
from minimoe.data.tokenizer import MOST_TOKENS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MOST = 2**31 - 1
# Sizes end where a slip of the finger would keep a machine busy for days before anything shows.
INTEGERS = dict(experts=(0, 4096), k_min=(0, 4096), k_max=(0, 4096), layers=(1, 1000), d_model=(1, 65536),
                heads=(1, 65536), d_ff=(1, 2**20), vocab_size=(6, MOST_TOKENS), max_length=(5, 65536),
                epochs=(1, MOST), max_steps=(1, MOST), batch_size=(1, MOST), save_every=(1, MOST), seed=(0, MOST),
                threads=(1, 1024))
NUMBERS = dict(mean_experts=(0, 1e6), dropout=(0, 0.999), lr=(1e-12, 1e3), warmup=(0, 1), weight_decay=(0, 1e3),
               clip=(1e-12, 1e12), label_smoothing=(0, 0.999))
TEXTS = ("task", "data_dir", "router", "importance", "allocation", "tokenizer", "init_from", "out", "backend",
         "checkpoint", "split", "plot", "export", "json", "cell")
CHOICES = {"tokenizer": ("word", "wordpiece"), "backend": BACKENDS}
LISTS = ("text", "held_out")


def check_value(name: str, value) -> None:
    """Raises ValueError, starting with the key, unless the value is of the kind and size that the key needs."""
    if name in INTEGERS:
        low, high = INTEGERS[name]
        fits = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        wanted = f"an integer of at least {low} and at most {high}"
    elif name in NUMBERS:
        low, high = NUMBERS[name]
        fits = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
        wanted = f"a number from {low:g} to {high:g}"
    elif name in TEXTS:
        fits, wanted = _is_text(value), "a text"
    elif name in LISTS:
        fits, wanted = isinstance(value, list | tuple) and all(_is_text(v) for v in value), "a list of texts"
    else:
        fits, wanted = isinstance(value, dict), "a table of KEY = VALUE"
    if not fits:
        raise ValueError(f"{name}: {value!r} is not {wanted}")
    if name in CHOICES and value not in CHOICES[name]:
        raise ValueError(f"{name}: {value!r} is not one of {', '.join(CHOICES[name])}")


def _is_text(value) -> bool:
    return isinstance(value, str) and value != "" and "\0" not in value


def parse_toml(text: str) -> dict:
    """The keys of a TOML text, dashes read as underscores. Raises ValueError with the line or the key that is wrong."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"TOML: {error}") from error
    except ValueError:                              # what int() says of it differs between versions of Python
        raise ValueError(f"TOML: a number has more than {sys.get_int_max_str_digits()} digits") from None
    except RecursionError:
        raise ValueError("TOML: brackets are nested too deeply") from None
    return with_underscores(values)


def with_underscores(table: dict) -> dict:
    """The table with the dashes in its keys read as underscores. Raises ValueError where that makes one key of two."""
    names: dict[str, str] = {}
    for key in table:
        before = names.setdefault(key.replace("-", "_"), key)
        if before != key:
            raise ValueError(f"{before} and {key} are the same key; leave one of them out")
    return {name: table[key] for name, key in names.items()}


def write_toml(values: dict) -> str:
    """TOML text of plain values, tables last; keys that are None are left out, since TOML has no null."""
    plain = [f"{key} = {_toml(value)}" for key, value in values.items()
             if value is not None and not isinstance(value, dict)]
    tables = [line for key, table in values.items() if isinstance(table, dict) and table
              for line in ("", f"[{key}]", *(f"{_toml(k)} = {_toml(v)}" for k, v in table.items() if v is not None))]
    return "\n".join(plain + tables) + "\n"


def _toml(value) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml(key)} = {_toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(inner) for inner in value) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)                           # inf and nan, as TOML writes them
    return json.dumps(value, ensure_ascii=False)
