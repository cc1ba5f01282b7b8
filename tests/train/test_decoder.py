"""The model against an independent float64 twin, DCLM's published counts, and its own promises."""

import math
from itertools import pairwise

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from tamis.base.errors import ConfigError  # noqa: E402
from tamis.train.loop import LoopSettings, Trainer  # noqa: E402
from tamis.train.model import GainOnlyLayerNorm, Transformer, losses  # noqa: E402
from tamis.train.optimizer import learning_rate, make_optimizer  # noqa: E402
from tamis.train.scales import SCALES, Shape, get_scale, swiglu_width  # noqa: E402

TINY = Shape(d_model=24, num_layers=3, num_heads=2, ffn_width=40, vocab_size=50)


def tiny_model(seed: int = 0) -> Transformer:
    """In float64, with gains that are not 1, so that a gain in the wrong place shows."""
    model = Transformer(TINY).double()
    model.reset_parameters(seed)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, GainOnlyLayerNorm):
                module.weight.copy_(1 + 0.3 * torch.randn(module.weight.shape, generator=generator))
    return model


def twin(state: dict[str, np.ndarray], shape: Shape, ids: np.ndarray) -> np.ndarray:
    """Logits (length, vocab_size) of one sequence, written from the description in DCLM's paper, without torch."""

    def norm(x: np.ndarray, gain: str) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * state[gain]

    def turn(x: np.ndarray, position: int) -> np.ndarray:
        half = len(x) // 2
        out = np.empty_like(x)
        for i in range(half):
            angle = position / 10_000 ** (i / half)
            out[i] = x[i] * math.cos(angle) - x[i + half] * math.sin(angle)
            out[i + half] = x[i + half] * math.cos(angle) + x[i] * math.sin(angle)
        return out

    x = state["tok_embeddings.weight"][ids]
    d, head_dim = shape.d_model, shape.d_model // shape.num_heads
    for layer in range(shape.num_layers):
        p = f"layers.{layer}."
        q, k, v = np.split(norm(x, p + "attention_norm.weight") @ state[p + "attention.in_proj.weight"].T, 3, axis=-1)
        q, k = norm(q, p + "attention.q_norm.weight"), norm(k, p + "attention.k_norm.weight")
        mixed = np.zeros((len(ids), d))
        for start in range(0, d, head_dim):
            part = slice(start, start + head_dim)
            for i in range(len(ids)):
                scores = np.array([turn(q[i, part], i) @ turn(k[j, part], j) for j in range(i + 1)]) / head_dim**0.5
                weights = np.exp(scores - scores.max())
                mixed[i, part] = weights / weights.sum() @ v[: i + 1, part]
        x = x + mixed @ state[p + "attention.out_proj.weight"].T
        gate, up = np.split(norm(x, p + "ffn_norm.weight") @ state[p + "feed_forward.w12.weight"].T, 2, axis=-1)
        x = x + (gate / (1 + np.exp(-gate)) * up) @ state[p + "feed_forward.w3.weight"].T
    return norm(x, "norm.weight") @ state["output.weight"].T


def test_logits_are_those_of_the_twin() -> None:
    model = tiny_model()
    ids = torch.randint(0, 50, (2, 17), generator=torch.Generator().manual_seed(0))
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    with torch.no_grad():
        logits = model(ids).numpy()
    for row in range(2):
        # The rotary tables are float32 by design, which bounds the agreement.
        np.testing.assert_allclose(logits[row], twin(state, TINY, ids[row].numpy()), atol=2e-6)


def test_no_token_sees_a_later_one() -> None:
    model = tiny_model()
    ids = torch.randint(0, 50, (1, 20), generator=torch.Generator().manual_seed(0))
    changed = ids.clone()
    changed[0, 12] = (ids[0, 12] + 1) % 50
    with torch.no_grad():
        before, after = model(ids), model(changed)
    assert torch.equal(before[:, :12], after[:, :12]) and not torch.allclose(before[:, 12:], after[:, 12:])


@pytest.mark.parametrize(
    ("name", "listed", "qk_gains", "tokens", "steps"),
    [
        ("400m-1x", 411_616_256, 49_152, 8_232_325_120, 7_850),
        ("1b-1x", 1_439_795_200, 98_304, 28_795_904_000, 54_923),
        ("1b-5x", 1_439_795_200, 98_304, 143_979_520_000, 274_619),
        ("3b-1x", 2_795_932_160, 163_840, 55_918_643_200, 106_656),
        ("7b-1x", 6_889_410_560, 262_144, 137_788_211_200, 32_851),
        ("7b-2x", 6_889_410_560, 262_144, 275_576_422_400, 65_702),
    ],
)
def test_dclm_scales_have_the_published_sizes(name: str, listed: int, qk_gains: int, tokens: int, steps: int) -> None:
    scale = get_scale(name)
    with torch.device("meta"):
        model = Transformer(scale.shape)
    assert sum(p.numel() for p in model.parameters()) == listed + qk_gains == scale.shape.num_params
    assert scale.num_tokens == tokens
    assert scale.num_tokens // (scale.batch_size * scale.sequence_length) == steps


@pytest.mark.parametrize("name", sorted(SCALES))
def test_every_scale_can_be_built_and_counted(name: str) -> None:
    scale = SCALES[name]
    with torch.device("meta"):
        model = Transformer(scale.shape)
    assert sum(p.numel() for p in model.parameters()) == scale.shape.num_params
    assert scale.num_tokens // (scale.batch_size * scale.sequence_length) > 3 * scale.warmup_steps
    assert scale.batch_size % scale.accumulation == 0 and scale.shape.head_dim >= 16


def test_feed_forward_widths_and_names() -> None:
    assert [swiglu_width(d) for d in (1024, 2048, 2560, 4096)] == [2816, 5632, 6912, 11008]
    assert get_scale("7B-1x").name == "7b-1x"
    with pytest.raises(ConfigError, match="did you mean '400m-1x'"):
        get_scale("400m")


def test_initial_weights() -> None:
    shape = Shape(d_model=256, num_layers=3, num_heads=4, ffn_width=768, vocab_size=512)
    with torch.device("meta"):
        model = Transformer(shape)
    model = model.to_empty(device="cpu")
    for parameter in model.parameters():
        parameter.data.fill_(math.nan)
    model.reset_parameters(0)
    # A normal cut at three deviations has 0.9866 of its deviation.
    for name, value in model.state_dict().items():
        if "norm" in name:
            assert bool((value == 1).all())
            continue
        layer = int(name.split(".")[1]) if name.startswith("layers") else 0
        deviation = (768 if "w3" in name else 256) ** -0.5
        if "w3" in name or "out_proj" in name:
            deviation /= math.sqrt(2 * (layer + 1))
        assert value.std().item() == pytest.approx(0.9866 * deviation, rel=0.02), name
        assert value.abs().max().item() <= 3 * deviation * 1.000001 and abs(value.mean().item()) < 0.02 * deviation
    again = Transformer(shape)
    again.reset_parameters(0)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_losses_and_their_gradient() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = (4 * torch.randn(2, 5, 9, dtype=torch.float64, generator=generator)).requires_grad_()
    targets = torch.randint(0, 9, (2, 5), generator=generator)

    def joined(x: Tensor) -> Tensor:
        entropy, z = losses(x, targets)
        return entropy + 0.3 * z

    def plain(x: Tensor) -> Tensor:
        return F.cross_entropy(x.reshape(-1, 9), targets.reshape(-1)) + 0.3 * x.logsumexp(-1).square().mean()

    torch.testing.assert_close(joined(logits), plain(logits))
    torch.testing.assert_close(
        torch.autograd.grad(joined(logits), logits)[0], torch.autograd.grad(plain(logits), logits)[0]
    )
    huge = losses(torch.tensor([[[1e4, 0.0, -1e4]]]), torch.tensor([[1]]))
    assert huge[0].item() == 1e4 and huge[1].item() == 1e8
    narrow = logits.detach().bfloat16().requires_grad_()
    entropy, z = losses(narrow, targets)
    assert entropy.dtype == torch.float32
    (entropy + z).backward()
    assert narrow.grad is not None and narrow.grad.dtype == torch.bfloat16


def test_the_norm_computes_in_the_autocast_type() -> None:
    norm = GainOnlyLayerNorm(8)
    assert norm(torch.randn(2, 8)).dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert norm(torch.randn(2, 8)).dtype == torch.bfloat16


def test_learning_rate_warms_up_then_falls_to_an_absolute_rate() -> None:
    rates = [learning_rate(s, num_steps=1000, warmup_steps=100, peak=3e-3, final=3e-5) for s in range(1000)]
    assert rates[0] == pytest.approx(3e-5) and rates[49] == pytest.approx(1.5e-3) and rates[99] == rates[100] == 3e-3
    assert rates[550] == pytest.approx((3e-3 + 3e-5) / 2)
    assert rates[-1] == pytest.approx(3e-5, rel=0.01) and all(a > b for a, b in pairwise(rates[100:]))
    assert learning_rate(0, num_steps=10, warmup_steps=0, peak=1.0, final=0.1) == 1.0


def test_weight_decay_reaches_every_parameter() -> None:
    model = tiny_model()
    [group] = make_optimizer(model, 0.033).param_groups
    assert {id(p) for p in group["params"]} == {id(p) for p in model.parameters()}
    assert (group["weight_decay"], group["betas"], group["eps"]) == (0.033, (0.9, 0.95), 1e-8)


class FixedBatches:
    """The same eight windows at every step."""

    def __init__(self) -> None:
        self.windows = torch.randint(0, 50, (8, 13), generator=torch.Generator().manual_seed(5))

    def next(self) -> Tensor:
        return self.windows


def weights_after(micro_batch_size: int) -> tuple[float, float, Tensor]:
    model = tiny_model()
    settings = LoopSettings(
        num_steps=10, micro_batch_size=micro_batch_size, peak_learning_rate=1e-2, final_learning_rate=0.0,
        warmup_steps=1, z_loss=1e-2, device="cpu", autocast=False,
    )  # fmt: skip
    trainer = Trainer(settings, model, model, make_optimizer(model, 0.1), FixedBatches())  # type: ignore[arg-type]
    for step in range(3):
        metrics = trainer.step(step)
    flat = torch.cat([p.detach().flatten() for p in model.parameters()])
    return metrics.loss.item(), metrics.grad_norm.item(), flat


@pytest.mark.parametrize("micro_batch_size", [1, 3, 4, 100])
def test_accumulation_takes_the_step_of_the_whole_batch(micro_batch_size: int) -> None:
    loss, grad_norm, weights = weights_after(micro_batch_size)
    expected_loss, expected_norm, expected = weights_after(8)
    assert loss == pytest.approx(expected_loss, rel=1e-6) and grad_norm == pytest.approx(expected_norm, rel=1e-10)
    # 3 does not divide 8: the short part counts by its share. Adam divides by root-mean-square gradients, so rounding
    # of near-zero gradients is what is left.
    torch.testing.assert_close(weights, expected, rtol=0, atol=1e-9)
