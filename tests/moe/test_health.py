"""Routing in sentences: what is said, and when the warning fires."""
from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minimoe.moe.health import MANY, describe, describe_layers, effective_experts, has_collapsed, health
from minimoe.moe.routing import route


def routing(experts, n_experts, k=1, **options):
    """A Routing in which token i ranks `experts[i]` first, in that order."""
    logits = np.zeros((len(experts), n_experts))
    for token, ranked in enumerate(experts):
        for place, expert in enumerate(np.atleast_1d(ranked)):
            logits[token, expert] = 20.0 - place
    return route(logits, np.broadcast_to(k, len(experts)).astype(np.int32), **options)


def warnings_in(lines):
    return [line for line in lines if line.startswith("Warning:")]


def counts(k_hist, load, **more):
    return {"k_hist": k_hist, "expert_load": load, "dropped": 0, "balance": 1.0} | more


def test_effective_experts_is_e_for_an_even_load_and_one_for_a_single_busy_expert():
    assert effective_experts([7] * 5) == pytest.approx(5)
    assert effective_experts([0, 9, 0]) == 1.0
    assert effective_experts([0, 0]) == 0.0


def test_effective_experts_is_the_exponential_of_the_entropy_of_the_shares():
    assert effective_experts([1, 1, 2]) == pytest.approx(math.exp(1.5 * math.log(2)))


def test_balance_of_a_uniform_routing_reads_one_with_all_experts_effective():
    lines = health(routing([0, 1, 2, 3] * 4, 4, k_range=(1, 1)))
    assert lines[0] == "Balance is 1.00, where 1.0 is uniform; effective experts: 4.0 of 4."
    assert lines[1] == "Dead experts, which got no token: none."
    assert lines[2] == "100.0% of tokens got 1 expert, the only number this router gives."
    assert len(lines) == 3


def test_dead_experts_are_named_with_runs_drawn_together():
    lines = health(routing([0, 1, 3] * 24, 9))
    assert "Dead experts, which got no token: 2, 4-8." in lines


def test_shares_at_both_ends_of_the_range_and_the_mean_count_real_tokens_only():
    k = np.array([1, 1, 1, 4, 2, 2, 2, 2, 3, 3])
    mask = np.array([True] * 8 + [False] * 2)
    lines = health(routing([[0, 1, 2, 3], [1, 2, 3, 0]] * 5, 4, k=k, mask=mask, k_range=(1, 4)))
    assert lines[2] == ("37.5% of tokens got the fewest experts (k_min = 1), 12.5% the most (k_max = 4); "
                        "the mean is 1.88.")


def test_a_range_above_the_number_of_experts_is_read_as_all_experts():
    assert "(k_max = 2)" in describe(counts([0, 1, 3], [4, 3]), (1, 8))[2]


def test_dropped_assignments_are_told_only_when_a_capacity_dropped_some():
    lines = health(routing([0, 0, 0, 1] * 2, 2, capacity=1.0))
    assert "The capacity dropped 2 of 8 assignments (25.0%)." in lines
    assert not [line for line in health(routing([0, 1] * 4, 2, capacity=1.0)) if "dropped" in line]


def test_tokens_with_non_finite_logits_are_told():
    logits = np.eye(2)[[0, 1] * 6].astype(float)
    logits[3] = np.nan
    lines = health(route(logits, np.ones(12, int), on_nonfinite="skip"))
    assert "1 token had NaN or infinite router logits and got no expert." in lines


@pytest.mark.parametrize("n_experts", [2, 4, 8, 32])
def test_one_expert_with_every_token_gives_exactly_one_warning_that_names_it(n_experts):
    found = warnings_in(health(routing([1] * 64, n_experts)))
    assert len(found) == 1 and "expert 1 alone got 100.0% of all assignments" in found[0]


def test_one_expert_with_nearly_every_token_gives_a_warning():
    assert warnings_in(health(routing([5] * 95 + [0, 1, 2, 3, 4], 8)))
    assert warnings_in(health(routing([1] * 92 + [0] * 8, 2)))


def test_two_busy_experts_of_eight_give_a_warning_and_three_do_not():
    assert warnings_in(health(routing([0, 4] * 40, 8)))
    assert not warnings_in(health(routing([0, 4, 5] * 20, 8)))


def test_tokens_with_several_experts_that_are_all_the_same_ones_give_a_warning():
    found = warnings_in(health(routing([[3, 6]] * 40, 8, k=2)))
    assert len(found) == 1 and "experts 3, 6 alone got 100.0%" in found[0]


def test_uneven_but_living_routing_gives_no_warning():
    assert not warnings_in(health(routing([0] * 30 + [1] * 20 + [2] * 30 + [3] * 20, 4)))
    assert not warnings_in(health(routing([0] * 40 + [1] * 20 + [2] * 10 + [3] * 10 + [4] * 20, 8)))
    assert not warnings_in(health(routing([0] * 80 + [1] * 20, 2)))


def test_random_routing_gives_no_warning_for_any_size():
    r = np.random.default_rng(0)
    for n_experts, tokens, _ in itertools.product((2, 4, 8, 32), (1, 2, 5, 12, 60), range(5)):
        k = r.integers(1, min(n_experts, 3) + 1, tokens)
        lines = health(route(r.standard_normal((tokens, n_experts)), k))
        assert not warnings_in(lines), (n_experts, tokens, lines)


def test_every_token_with_every_expert_leaves_no_choice_and_gives_no_warning():
    assert not warnings_in(health(routing([[0, 1, 2, 3]] * 30, 4, k=4)))
    assert not warnings_in(health(routing([[0, 1, 2, 3]] * 30, 4, k=np.array([4] * 29 + [3]))))


def test_fewer_assignments_than_experts_are_too_few_to_judge_and_give_no_warning():
    lines = health(routing([2] * 5, 8))
    assert "Experts without a token: 0, 1, 3-7, but 5 tokens with 5 assignments are too few to judge." in lines
    assert not warnings_in(lines)


def test_two_tokens_on_one_of_two_experts_are_too_few_to_judge():
    lines = health(routing([0, 0], 2))
    assert "too few to judge" in lines[1] and not warnings_in(lines)


def test_a_single_expert_has_nothing_to_balance():
    lines = health(routing([0] * 9, 1))
    assert lines[0] == "There is only one expert, so there is nothing to balance."
    assert not warnings_in(lines)


def test_no_tokens_gives_one_sentence():
    assert health(route(np.zeros((0, 4)), np.zeros(0, int))) == ["No tokens were routed, so there is nothing to judge."]
    padding = route(np.zeros((3, 4)), np.ones(3, int), mask=np.zeros(3, bool))
    assert health(padding) == ["No tokens were routed, so there is nothing to judge."]


def test_tokens_that_all_got_no_expert_are_told_without_a_warning():
    lines = health(route(np.zeros((20, 4)), np.zeros(20, int)))
    assert lines[0] == "No token was sent to an expert." and not warnings_in(lines)


def test_several_routings_are_told_layer_by_layer():
    one, two = routing([0, 1] * 8, 2), routing([1] * 16, 2)
    lines = health([one, two])
    told = [f"Expert layer {number}: {line}" for number, r in ((1, one), (2, two)) for line in health(r)]
    assert lines[:-1] == [line for line in told if "Warning" not in line]
    assert lines[-1].startswith("Warning: expert layer 2: routing has collapsed")


def test_several_collapsed_layers_give_one_warning():
    lines = health([routing([1] * 16, 2)] * 3)
    assert [line for line in lines if "Warning" in line] == [lines[-1]]
    assert lines[-1].startswith("Warning: expert layers 1 and 2 and 3: ")


def test_counts_summed_over_a_data_set_read_like_one_routing_of_all_of_it():
    whole = routing([0, 1, 2, 3] * 6 + [0] * 8, 4)
    parts = [routing([0, 1, 2, 3] * 6, 4).stats, routing([0] * 8, 4).stats]
    summed = counts(np.sum([p["k_hist"] for p in parts], axis=0).tolist(),
                    np.sum([p["expert_load"] for p in parts], axis=0).tolist(), balance=whole.stats["balance"])
    assert describe(summed, whole.k_range) == health(whole)


def test_counts_that_do_not_fit_together_are_refused():
    with pytest.raises(ValueError, match=r"describe: k_hist has 4 counts and expert_load 4.*one more"):
        describe(counts([0, 1, 1, 1], [1, 1, 1, 1]), (1, 3))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.integers(0, 2**32 - 1))
def test_no_choice_of_experts_is_more_concentrated_than_tokens_that_all_agree(k, seed):
    r = np.random.default_rng(seed)
    load = np.zeros(5, int)
    for count in k:
        load[r.permutation(5)[:count] if r.random() < 0.5 else np.arange(count)] += 1
    agreed = [sum(count >= j for count in k) for j in range(1, 6)]
    assert effective_experts(load.tolist()) >= effective_experts(agreed) - 1e-9


@given(st.integers(2, 16), st.integers(30, 200))
def test_tokens_that_all_agree_on_one_expert_have_always_collapsed(n_experts, tokens):
    load = [0] * n_experts
    load[-1] = tokens
    assert has_collapsed([0, tokens] + [0] * (n_experts - 1), load)


def test_a_short_text_whose_tokens_share_two_experts_is_no_collapse_but_complete_agreement_is():
    assert warnings_in(health(routing([2, 5] * 8, 8))) == []
    assert len(warnings_in(health(routing([5] * 16, 8)))) == 1


@pytest.mark.parametrize("tokens", [MANY - 2, MANY])
def test_from_64_tokens_on_two_busy_experts_of_eight_are_a_collapse_and_idle_experts_dead(tokens):
    lines = health(routing([0, 4] * (tokens // 2), 8))
    assert bool(warnings_in(lines)) == (tokens == MANY)
    assert lines[1].startswith("Dead experts" if tokens == MANY else "Experts without a token: 1-3, 5-7, but 62 tokens")


def test_a_quarter_of_the_way_from_the_floor_is_enough():
    assert effective_experts([40, 40, 0, 0, 0]) == 2.0 == 1 + 0.25 * (5 - 1)
    assert not has_collapsed([0, 80, 0, 0, 0, 0], [40, 40, 0, 0, 0])
    assert has_collapsed([0, 80, 0, 0, 0, 0], [41, 39, 0, 0, 0])


def test_three_quarters_of_the_experts_still_leave_a_choice():
    assert effective_experts([30] * 15) == 0.75 * 20
    assert has_collapsed([0] * 15 + [30] + [0] * 5, [30] * 15 + [0] * 5)


def test_as_many_assignments_as_experts_can_be_judged():
    assert len(warnings_in(health(routing([2] * 8, 8)))) == 1 and not warnings_in(health(routing([2] * 7, 8)))


@pytest.mark.parametrize("tokens, n_experts, k, judged", [(7, 2, 1, True), (6, 2, 1, False), (2, 50, 25, True)])
def test_agreement_is_judged_where_chance_alone_gives_it_at_most_twice_in_a_hundred(tokens, n_experts, k, judged):
    """All tokens on the same experts by chance: n_experts ** (1 - tokens), here 1/64, 1/32 and 1/50."""
    assert has_collapsed([0] * k + [tokens] + [0] * (n_experts - k), [tokens] * k + [0] * (n_experts - k)) == judged


def test_only_three_in_a_row_are_drawn_together():
    lines = health(routing([0, 3, 7] * 24, 8))
    assert "Dead experts, which got no token: 1, 2, 4-6." in lines


def test_every_layer_needs_its_range():
    with pytest.raises(ValueError, match="shorter"):
        describe_layers([routing([0, 1], 2).stats], [])
