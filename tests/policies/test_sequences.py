"""Log-probabilities by hand, and one number whatever the layout, the padding and the company in a batch."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM

import tiny_models
from comal.policies.sequences import Group, TokenBatch, completion_log_probs, next_token_logits, token_log_probs

GROUPS: list[Group] = [
    ([5, 6, 7, 8, 9], [[10, 11, 12], [13], [10, 11, 14, 15, 16]]),
    ([20], [[21, 22], [23, 24, 25], [26]]),
    ([30, 31, 32], [[33], [33], [34, 35, 36, 37]]),
]


@pytest.fixture(scope="module", params=["llama", "qwen2"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    folder = tiny_models.save_causal_lm(
        tmp_path_factory.mktemp(request.param), architecture=request.param, hidden_size=64, initializer_range=0.2
    )
    return AutoModelForCausalLM.from_pretrained(folder).eval()


def by_hand(model, prompt, completion) -> torch.Tensor:
    """One unpadded row, one softmax a token."""
    logits = model(torch.tensor([[*prompt, *completion]])).logits[0]
    return sum(logits[len(prompt) + t - 1].log_softmax(-1)[token] for t, token in enumerate(completion))


@pytest.mark.parametrize("share_prompt", [False, True])
def test_sums_of_log_softmax_at_each_answer_token(model, share_prompt: bool) -> None:
    with torch.no_grad():
        found = completion_log_probs(model, TokenBatch.collate(GROUPS, pad=0, share_prompt=share_prompt))
        expected = [by_hand(model, prompt, c) for prompt, completions in GROUPS for c in completions]
    assert found.shape == (9,)
    assert torch.allclose(found, torch.stack(expected), atol=1e-5)


@pytest.mark.parametrize("share_prompt", [False, True])
def test_the_padding_token_and_the_batch_do_not_matter(model, share_prompt: bool) -> None:
    with torch.no_grad():
        together = completion_log_probs(model, TokenBatch.collate(GROUPS, pad=0, share_prompt=share_prompt))
        other_pad = completion_log_probs(model, TokenBatch.collate(GROUPS, pad=77, share_prompt=share_prompt))
        alone = [completion_log_probs(model, TokenBatch.collate([g], pad=0, share_prompt=share_prompt)) for g in GROUPS]
    assert torch.allclose(together, other_pad, atol=1e-5)
    assert torch.allclose(together, torch.cat(alone), atol=1e-5)


def test_both_layouts_have_the_same_gradients(model) -> None:
    weights = torch.linspace(-1, 1, 9)
    gradients = []
    for share_prompt in (False, True):
        model.zero_grad()
        (completion_log_probs(model, TokenBatch.collate(GROUPS, 0, share_prompt)) * weights).sum().backward()
        gradients.append([p.grad.clone() for p in model.parameters()])
    scale = max(float(g.abs().max()) for g in gradients[0])
    assert scale > 0.1
    for one_row_an_answer, one_row_a_prompt in zip(*gradients, strict=True):
        assert torch.allclose(one_row_an_answer, one_row_a_prompt, atol=1e-5 * scale, rtol=1e-4)


@pytest.mark.parametrize("share_prompt", [False, True])
def test_with_a_half_life_values_stay_and_each_token_pulls_by_its_weight(model, share_prompt: bool) -> None:
    batch = TokenBatch.collate(GROUPS, pad=0, share_prompt=share_prompt)
    coefficients = torch.linspace(-1, 1, 9)

    def gradient(of: torch.Tensor) -> torch.Tensor:
        return torch.cat([g.flatten() for g in torch.autograd.grad(of, list(model.parameters()))])

    found = completion_log_probs(model, batch, half_life=1.5)
    assert torch.allclose(found, completion_log_probs(model, batch), atol=1e-5)
    answers = [(prompt, answer) for prompt, completions in GROUPS for answer in completions]
    expected = sum(
        coefficient * 2 ** (-t / 1.5) * (by_hand(model, prompt, answer[: t + 1]) - by_hand(model, prompt, answer[:t]))
        for coefficient, (prompt, answer) in zip(coefficients, answers, strict=True)
        for t in range(len(answer))
    )
    one, other = gradient((found * coefficients).sum()), gradient(expected)
    assert torch.allclose(one, other, atol=1e-5 * float(other.abs().max()), rtol=1e-4)


def test_answers_packed_in_a_row_do_not_see_each_other(model) -> None:
    prompt, first, second = [5, 6], [10, 11], [12, 13, 14]
    with torch.no_grad():
        for neighbour in ([10, 11], [90, 91, 92, 93]):
            packed = TokenBatch.collate([(prompt, [neighbour, second])], pad=0, share_prompt=True)
            assert completion_log_probs(model, packed)[1] == pytest.approx(
                float(by_hand(model, prompt, second)), abs=1e-5
            )
        swapped = TokenBatch.collate([(prompt, [second, first])], pad=0, share_prompt=True)
        assert completion_log_probs(model, swapped)[1] == pytest.approx(float(by_hand(model, prompt, first)), abs=1e-5)


@pytest.mark.parametrize("share_prompt", [False, True])
def test_an_empty_answer_is_certain(model, share_prompt: bool) -> None:
    with torch.no_grad():
        batch = TokenBatch.collate([([5, 6], [[], [7]])], pad=0, share_prompt=share_prompt)
        found = completion_log_probs(model, batch)
        assert found[0] == 0
        assert found[1] == pytest.approx(float(by_hand(model, [5, 6], [7])), abs=1e-5)


def test_token_log_probs_are_zero_on_padding_and_negative_on_tokens(model) -> None:
    batch = TokenBatch.collate(GROUPS, pad=0)
    with torch.no_grad():
        found = token_log_probs(next_token_logits(model, batch), batch)
    assert found.dtype == torch.float32
    assert ((found < 0) == (batch.segment_RC >= 0)).all()


def test_a_batch_survives_the_way_through_a_data_loader() -> None:
    batch = TokenBatch.collate(GROUPS, pad=0, share_prompt=True)
    again = TokenBatch.of(batch.tensors() | {"win_rate": 1}).to(torch.device("cpu"))
    assert again.segments == 3
    assert torch.equal(again.attention_mask, batch.attention_mask)
