"""The three small grammars behind the built-in tasks.

Each grammar function draws one sentence (or pair) that has the asked label, as text in which a star before a word says
that the word decides the label: "the plot was dull , *but the film was *superb ." Words are separated by one space.

Each grammar lets single words speak softly for a label (plain opinions among the contradicted ones; more plural than
singular subjects; usual and unusual places) and puts the rest of the answer into the relation of words. Without that
first hint the tasks are parities, on which small networks stay at chance for many epochs (measured while designing).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


class Draws:
    """Fast random choices from one generator, which is asked for numbers in blocks."""

    def __init__(self, rng: np.random.Generator):
        self._rng = rng
        self._block: list[float] = []

    def number(self) -> float:
        """A float in [0, 1)."""
        if not self._block:
            self._block = self._rng.random(4096).tolist()
        return self._block.pop()

    def chance(self, probability: float) -> bool:
        return self.number() < probability

    def pick(self, items: Sequence[Any]) -> Any:
        return items[int(self.number() * len(items))]

    def two(self, items: Sequence[Any]) -> tuple[Any, Any]:
        """Two different items."""
        first = int(self.number() * len(items))
        second = int(self.number() * (len(items) - 1))
        return items[first], items[second + (second >= first)]


def listed(items: str) -> list[str]:
    """["a", "b c"] from "a, b c"."""
    return items.split(", ")


# Sentiment: the writer's own, final opinion --------------------------------------------------------------------------

GOOD = listed(
    "good, great, wonderful, lovely, excellent, superb, splendid, pleasant, delightful, "
    "impressive, charming, brilliant"
)
BAD = listed("bad, awful, terrible, dreadful, horrible, poor, disappointing, dull, boring, mediocre, weak, forgettable")
PARTS = {
    "film": listed("plot, acting, music, ending, dialogue, opening"),
    "hotel": listed("room, breakfast, service, lobby, pool, garden"),
    "restaurant": listed("soup, dessert, menu, wine, fish, service"),
    "book": listed("opening, style, story, hero, ending, cover"),
    "concert": listed("sound, singer, hall, band, music, ending"),
    "museum": listed("tour, entrance, exhibition, guide, shop, garden"),
}
CHOSEN = listed("we saw, my sister chose, everybody talks about, i chose, you mentioned, they showed us")
OTHERS = listed(
    "my brother, her aunt, our neighbour, the critics, two friends, "
    "the local paper, some people, my teacher"
)
WHEN = listed("last night, on friday, this time, that evening, last summer, yesterday, on our trip")
STRONG = listed("extremely, truly, absolutely, incredibly")
MILD = listed("slightly, somewhat, mildly")


def sentiment(draw: Draws, label: int) -> tuple[str, None]:
    """A review; label 1 if its deciding opinion is good. Two opinions that disagree are told apart by `but`, `although`
    or their strength; two that agree are joined by `and`, and both decide."""
    topic = draw.pick(list(PARTS))
    part, other_part = (f"the {word}" for word in draw.two(PARTS[topic]))
    whole = f"the {topic} {draw.pick(CHOSEN)}" if draw.chance(0.4) else f"the {topic}"
    first, second = draw.pick([(part, whole), (whole, part), (part, other_part)])
    kind = draw.number()
    if kind < 0.5:
        text = _opinion(draw, f"{part} of {whole}" if draw.chance(0.6) else whole, label)
    elif kind < 0.7:
        text = f"{_opinion(draw, first, label)} and {_opinion(draw, second, label)}"
    elif kind < 0.88:
        aside = _opinion(draw, first, 1 - label).replace("*", "")
        verdict = _opinion(draw, second, label)
        but = f"{aside} , *but {verdict}"
        text = draw.pick([but, but, f"*although {aside} , {verdict}", f"{verdict} , *although {aside}"])
    elif kind < 0.92:
        mine = f"found it *{_word(draw, label)}" if draw.chance(0.7) else f"did *not find it *{_word(draw, 1 - label)}"
        text = f"{draw.pick(OTHERS)} found {whole} {_word(draw, 1 - label)} , *but i {mine}"
    elif kind < 0.96:
        right = int(draw.chance(0.5))
        said = _word(draw, label if right else 1 - label)
        text = f"{draw.pick(OTHERS)} told us that {whole} was *{said} , and that was *{'right' if right else 'wrong'}"
    else:
        strong = f"{part} was *{draw.pick(STRONG)} *{_word(draw, label)}"
        mild = f"{other_part} was *{draw.pick(MILD)} *{_word(draw, 1 - label)}"
        text = f"{strong} and {mild}" if draw.chance(0.5) else f"{mild} and {strong}"
    if len(text.split()) < 8 or draw.chance(0.3):
        text = f"{text} {draw.pick(WHEN)}" if text.startswith("*although") else f"{draw.pick(WHEN)} {text}"
    return f"{text} .", None


def _word(draw: Draws, good: int) -> str:
    return draw.pick(GOOD if good else BAD)


def _opinion(draw: Draws, subject: str, good: int) -> str:
    """A clause that finds `subject` good or bad, one time in six by denying the opposite."""
    if draw.chance(5 / 6):
        return f"{subject} was {draw.pick(['', 'really ', 'quite '])}*{_word(draw, good)}"
    word = _word(draw, 1 - good)
    if draw.chance(0.5):
        return f"{subject} was *{draw.pick(['not', 'never', 'hardly'])} *{word}"
    denial = draw.pick(["i do *not think", "i do *not believe", "i *doubt", "*nobody would say"])
    return f"{denial} that {subject} was *{word}"


# Acceptability: does the verb agree with its subject? ----------------------------------------------------------------

PEOPLE = [
    *[("doctor", "doctors"), ("teacher", "teachers"), ("farmer", "farmers"), ("child", "children")],
    *[("artist", "artists"), ("sailor", "sailors"), ("student", "students"), ("guest", "guests")],
]
THINGS = [
    *[("key", "keys"), ("picture", "pictures"), ("letter", "letters"), ("house", "houses"), ("garden", "gardens")],
    *[("box", "boxes"), ("car", "cars"), ("boat", "boats"), ("window", "windows"), ("door", "doors")],
    *[("tree", "trees"), ("bench", "benches")],
]
ABOUT_PEOPLE = listed("young, famous, quiet, friendly, old")
ABOUT_THINGS = listed("old, small, red, green, heavy")
WHERE = listed("near, behind, next to, in front of, beside, opposite")
SEEN = listed("painted, saw, bought, liked, visited, found")
VERBS = [("is", "are"), ("was", "were"), ("has been", "have been"), ("seems", "seem"), ("looks", "look")]
STATE_PEOPLE = listed(
    "very tired, rather late, quite happy, almost ready, too loud, rather ill, "
    "still hungry, very kind"
)
STATE_THINGS = listed(
    "very clean, rather dark, quite new, almost ready, too big, rather wet, "
    "still dirty, very beautiful"
)
MOMENTS = listed("this morning, in the evening, at this time of year, on sunday, after the storm, in winter")
PLURAL_SHARE = 2 / 3


def acceptability(draw: Draws, label: int) -> tuple[str, None]:
    """A statement about one noun with other nouns around it; label 1 if the verb has the number of its subject."""
    plural = int(draw.chance(PLURAL_SHARE))
    nouns, states = draw.pick([(PEOPLE, STATE_PEOPLE), (THINGS, STATE_THINGS)])
    kind = draw.number()
    if kind < 0.35:
        between = ""
    elif kind < 0.65:
        between = f"{draw.pick(WHERE)} {_noun_phrase(draw, THINGS)} "
    elif kind < 0.8:
        between = f"{draw.pick(WHERE)} {_noun_phrase(draw, THINGS)} {draw.pick(WHERE)} {_noun_phrase(draw, PEOPLE)} "
    else:
        between = f"that {_noun_phrase(draw, PEOPLE)} {draw.pick(SEEN)} "
    verb = draw.pick(VERBS)[plural if label else 1 - plural]
    text = f"{_noun_phrase(draw, nouns, plural, '*')} {between}*{verb} {draw.pick(states)}"
    if draw.chance(0.25):
        text = f"{draw.pick(WHERE)} {_noun_phrase(draw, THINGS)} , {text}"
    if len(text.split()) < 8:
        text = f"{text} {draw.pick(MOMENTS)}"
    return f"{text} .", None


def _noun_phrase(draw: Draws, nouns: list[tuple[str, str]], plural: int | None = None, mark: str = "") -> str:
    """An article, sometimes an adjective, and a noun, of either number if `plural` is None."""
    if plural is None:
        plural = int(draw.chance(0.5))
    article = draw.pick([("the", "the"), ("the", "the"), ("this", "these"), ("that", "those")])[plural]
    adjective = draw.pick(ABOUT_PEOPLE if nouns is PEOPLE else ABOUT_THINGS) + " " if draw.chance(0.3) else ""
    return f"{article} {adjective}{mark}{draw.pick(nouns)[plural]}"


# Paraphrase: do two sentences tell the same event? -------------------------------------------------------------------
# Every part of an event is told in one of two ways (synonyms) and comes in two kinds: the first list of a pair holds
# the usual ones, the second the unusual ones. A changed part is always of the other kind.

ROLES = (
    [("*doctor", "*physician"), ("*lawyer", "*attorney"), ("*teacher", "*instructor")],
    [("*child", "*kid"), ("*farmer", "*grower"), ("*guest", "*visitor")],
)
DEEDS = (
    [("*praised", "*commended"), ("*helped", "*assisted")],
    [("*warned", "*cautioned"), ("*employed", "*hired")],
)
PLACES = (
    [("in the *shop", "in the *store"), ("at the *hospital", "at the *clinic")],
    [("in the *forest", "in the *woods"), ("near the *harbour", "near the *port")],
)
TIMES = (
    [("on *monday", "on *monday"), ("on *friday", "on *friday")],
    [("in *autumn", "in *fall"), ("in *april", "in *april")],
)


def paraphrase(draw: Draws, label: int) -> tuple[str, str]:
    """Two tellings; label 1 if they tell the same event, 0 if the roles are swapped or one part is another."""
    kinds = [int(draw.chance(0.2)) for _ in range(3)]
    parts = [draw.pick(pool[kind]) for pool, kind in zip((DEEDS, PLACES, TIMES), kinds, strict=True)]
    roles = [draw.pick(ROLES[0]), draw.pick(ROLES[1])]
    if draw.chance(0.15):
        roles.reverse()
    event = changed = [*roles, *parts]
    deciding = {0, 1, 2, 3, 4}
    if not label and draw.chance(0.4):
        changed = [event[1], event[0], *parts]
        deciding = {0, 1}
    elif not label:
        place = draw.pick([0, 0, 1, 2])
        changed = list(event)
        changed[2 + place] = draw.pick((DEEDS, PLACES, TIMES)[place][1 - kinds[place]])
        deciding = {2 + place}
    return _tell(draw, event, deciding), _tell(draw, changed, deciding)


def _tell(draw: Draws, event: list[tuple[str, str]], deciding: set[int]) -> str:
    """One sentence for (agent, patient, deed, place, time), active or passive, in one of three orders."""
    words = [part[draw.chance(0.3)] for part in event]
    words = [word if i in deciding else word.replace("*", "") for i, word in enumerate(words)]
    agent, patient, deed, place, time = words
    by = "*by" if 0 in deciding else "by"
    core = f"the {patient} was {deed} {by} the {agent}" if draw.chance(0.2) else f"the {agent} {deed} the {patient}"
    return draw.pick([f"{core} {place} {time} .", f"{core} {time} {place} .", f"{time} {core} {place} ."])
