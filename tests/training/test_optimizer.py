"""AdamW against its formulas written out, the groups, the learning rate against recorded runs."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import tiny_model
import torch
from torch import Tensor, nn

from twelve import Twelve
from twelve.errors import CheckpointError, ConfigError
from twelve.settings import RunConfig
from twelve.training.building import optimizer_of
from twelve.training.optimizer import AdamW, LearningRate, linear_schedule, loss_scales, parameter_groups


def gradients(steps: int, shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(5)
    return [torch.randn(shape, generator=generator, dtype=dtype) * 10.0 ** (k % 3 - 2) for k in range(steps)]


def written_out(
    p: Tensor, grads: list[Tensor | None], *, lr: float, decay: float, correct: bool = False, eps: float = 1e-6
) -> Tensor:
    """The original program's AdamW, a formula a line, by element; a None gradient is a step without this parameter."""
    m, v, step = torch.zeros_like(p), torch.zeros_like(p), 0
    for g in grads:
        if g is None:
            continue
        step += 1
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g * g
        first, second = (1 - 0.9**step, 1 - 0.999**step) if correct else (1.0, 1.0)
        p = p - lr * (m / first) / ((v / second).sqrt() + eps)
        p = p - lr * decay * p
    return p


@pytest.mark.parametrize("correct", [False, True])
@pytest.mark.parametrize("decay", [0.0, 0.01, 0.5])
def test_is_the_formula(decay: float, correct: bool) -> None:
    start = torch.randn(7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    grads = gradients(9, (7, 5))
    parameter = nn.Parameter(start.clone())
    optimizer = AdamW([{"params": [parameter], "lr": 0.03, "weight_decay": decay}], bias_correction=correct)
    for grad in grads:
        parameter.grad = grad.clone()
        optimizer.step()
    expected = written_out(start, list(grads), lr=0.03, decay=decay, correct=correct)
    torch.testing.assert_close(parameter.detach(), expected, rtol=1e-12, atol=1e-12)
    assert optimizer.param_groups[0]["lr"] == 0.03
    assert optimizer.param_groups[0]["weight_decay"] == decay


def test_without_correction_differs_from_plain_adamw() -> None:
    ours, theirs = (nn.Parameter(torch.ones(3, dtype=torch.float64)) for _ in range(2))
    for parameter in (ours, theirs):
        parameter.grad = torch.full((3,), 0.5, dtype=torch.float64)
    AdamW([{"params": [ours]}], lr=0.1).step()
    torch.optim.AdamW([theirs], lr=0.1, eps=1e-6).step()
    assert (ours - theirs).abs().max() > 0.1  # 0.1 / sqrt(0.001) = 3.2 times as far


def test_float32_stays_near_float64() -> None:
    start = torch.randn(50, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    grads = gradients(30, (50,))
    parameter = nn.Parameter(start.float())
    optimizer = AdamW([{"params": [parameter], "lr": 1e-3}])
    for grad in grads:
        parameter.grad = grad.float()
        optimizer.step()
    expected = written_out(start, list(grads), lr=1e-3, decay=0.01)
    torch.testing.assert_close(parameter.detach().double(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("fill", [True, False])
def test_idle_parameters(fill: bool) -> None:
    """With zeros a head moves on its momentum; without it stays; what never had a gradient stays in both cases."""
    start = torch.ones(4, dtype=torch.float64)
    head, never = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    optimizer = AdamW([{"params": [head, never], "lr": 0.01, "weight_decay": 0.1}])
    first = gradients(1, (4,))[0]
    head.grad = first.clone()
    for _ in range(3):
        optimizer.step()
        optimizer.zero_grad(fill=fill)
    idle = torch.zeros(4, dtype=torch.float64) if fill else None
    torch.testing.assert_close(head.detach(), written_out(start, [first, idle, idle], lr=0.01, decay=0.1))
    assert torch.equal(never, start)
    assert never.grad is None


def test_a_gradient_is_taken_over_and_never_shared() -> None:
    """No gradient is kept between steps, and the one array that stands in for missing ones reaches no backward pass."""
    wide, narrow = nn.Parameter(torch.ones(6)), nn.Parameter(torch.ones(4))
    optimizer = AdamW([{"params": [wide, narrow], "lr": 0.1}])
    for used in ((wide, narrow), (), (narrow,), (wide,)):
        sum((parameter.square().sum() for parameter in used), torch.zeros(()).requires_grad_()).backward()
        given = {id(parameter): parameter.grad for parameter in used}
        optimizer.step()
        for parameter in (wide, narrow):
            assert parameter.grad is given.get(id(parameter))
            assert parameter.grad is None or torch.equal(parameter.grad, torch.full_like(parameter, parameter.grad[0]))
        optimizer.zero_grad(fill=True)
        assert wide.grad is None and narrow.grad is None


@pytest.mark.parametrize("fill", [True, False])
def test_resume_is_exact(fill: bool) -> None:
    """State through plain values and tensors; idle parameters go on moving after it."""

    def make() -> tuple[nn.Linear, AdamW]:
        torch.manual_seed(0)
        model = nn.Linear(3, 2)
        return model, AdamW([{"params": list(model.named_parameters()), "lr": 0.01}])

    def step(model: nn.Linear, optimizer: AdamW, names: tuple[str, ...], k: int) -> None:
        for name in names:
            grad = getattr(model, name).grad
            new = gradients(4, tuple(getattr(model, name).shape), torch.float32)[k]
            getattr(model, name).grad = new if grad is None else grad + new
        optimizer.step()
        optimizer.zero_grad(fill=fill)

    straight, optimizer = make()
    for k, names in enumerate((("weight", "bias"), ("weight",), ("weight",))):
        if k == 1:
            saved = io.BytesIO()
            torch.save({"model": straight.state_dict(), "optimizer": optimizer.state_dict()}, saved)
        step(straight, optimizer, names, k)
    resumed, optimizer = make()
    saved.seek(0)
    state = torch.load(saved, weights_only=True)
    resumed.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    for k in (1, 2):
        step(resumed, optimizer, ("weight",), k)
    assert torch.equal(straight.weight, resumed.weight)
    assert torch.equal(straight.bias, resumed.bias)


def test_state_of_other_parameters_is_refused() -> None:
    def optimizer(*names: str) -> AdamW:
        return AdamW([{"params": [(name, nn.Parameter(torch.ones(2))) for name in names]}])

    with pytest.raises(CheckpointError, match="among those that differ: c"):
        optimizer("a", "b").load_state_dict(optimizer("a", "b", "c").state_dict())
    with pytest.raises(CheckpointError, match="another order"):
        optimizer("a", "b").load_state_dict(optimizer("b", "a").state_dict())


class Small(nn.Module):
    """A module whose parameters carry the names that the rules speak of."""

    def __init__(self) -> None:
        super().__init__()
        self.text = nn.ModuleDict({"dense": nn.Linear(2, 2), "norm": nn.LayerNorm(2)})
        self.image = nn.Linear(2, 2)
        self.head = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))
        self.frozen = nn.Linear(2, 2).requires_grad_(False)


RELEASED = {
    "text.dense.weight": "bert.encoder.layer.0.dense.weight",
    "text.dense.bias": "bert.encoder.layer.0.dense.bias",
    "text.norm.weight": "bert.encoder.layer.0.LayerNorm.weight",
    "text.norm.bias": "bert.encoder.layer.0.LayerNorm.bias",
    "image.weight": "bert.encoder.c_layer.0.biOutput.LayerNorm1.weight",
    "image.bias": "vision_logit.bias",
    "head.0.weight": "vil_prediction.logit_fc.0.weight",
    "head.0.bias": "vil_prediction.logit_fc.0.bias",
    "head.1.weight": "vil_prediction.logit_fc.2.weight",
    "head.1.bias": "vil_prediction.logit_fc.2.bias",
}


def grouped(**options: object) -> dict[str, tuple[float, float]]:
    groups = parameter_groups(
        Small(),
        base_lr=1.0,
        head_lr=5.0,
        released_name=RELEASED.__getitem__,
        **options,  # type: ignore[arg-type]
    )
    return {name: (g["lr"], g["weight_decay"]) for g in groups for name, _ in g["params"]}


def test_groups_follow_released_names() -> None:
    assert grouped() == {
        "text.dense.weight": (1.0, 0.01),
        "text.dense.bias": (1.0, 0.0),
        "text.norm.weight": (1.0, 0.0),
        "text.norm.bias": (1.0, 0.0),
        "image.weight": (1.0, 0.01),  # LayerNorm1.weight is not "LayerNorm.weight"
        "image.bias": (1.0, 0.0),  # vision_logit is not "vil_"
        "head.0.weight": (5.0, 0.01),
        "head.0.bias": (5.0, 0.0),
        "head.1.weight": (5.0, 0.01),  # a head's LayerNorm is called 2.weight
        "head.1.bias": (5.0, 0.0),
    }


def test_factors_by_longest_prefix() -> None:
    rates = grouped(factors={"text": 0.5, "text.norm": 0.1, "head.0": 2.0})
    assert rates["text.dense.weight"][0] == 0.5
    assert rates["text.norm.weight"][0] == 0.1
    assert rates["head.0.bias"][0] == 10.0
    assert rates["image.weight"][0] == 1.0
    with pytest.raises(ConfigError, match='did you mean "image"'):
        grouped(factors={"imag": 0.5})


def test_groups_make_an_optimizer() -> None:
    groups = parameter_groups(Small(), base_lr=1e-3, head_lr=1e-2, released_name=RELEASED.__getitem__)
    names = [name for group in AdamW(groups).state_dict()["param_groups"] for name in group["param_names"]]
    assert sorted(names) == sorted(RELEASED)


def test_linear_schedule() -> None:
    assert [linear_schedule(k, 2.5, 5) for k in range(6)] == pytest.approx([0, 0.4, 0.8, 0.8, 0.4, 0])
    assert linear_schedule(0, 0, 10) == 1.0
    assert linear_schedule(12, 1, 10) == 0.0
    assert linear_schedule(0, 0.5, 10) == 0.0


def test_without_decay_the_rate_stays_after_the_warm_up() -> None:
    optimizer = AdamW([{"params": [nn.Parameter(torch.ones(1))], "lr": 2.0}])
    rate = LearningRate.over(optimizer, iterations=10, warmup=0.3, falls=False)
    values = []
    for iteration in range(10):
        rate.start_iteration(iteration)
        values.append(rate.value)
        rate.after_step()
    assert values == pytest.approx([0, 2 / 3, 4 / 3, *[2.0] * 7])


def test_the_configuration_says_whether_the_rate_falls(tmp_path: Path) -> None:
    tiny_model.make(tmp_path)
    model, tasks = Twelve.from_pretrained(tmp_path), {"vqa": SimpleNamespace(learning_rate=1e-3)}
    for decay, last in (("linear", 0.0), ("none", 1.0)):
        settings = {"run": "r", "data": "d", "tasks": {"vqa": {}}, "optimizer": {"decay": decay}}
        _, rate = optimizer_of(RunConfig.model_validate(settings), model, cast("Any", tasks), 10)
        rate.count = 10
        assert rate.factor == last


def test_recorded_learning_rates(goldens: Path) -> None:
    """Which task is forwarded, which steps, and at what rates: three recorded runs, one with accumulation."""
    from twelve.training.schedules.stop_and_go import Controller, StopAndGo

    for case in json.loads((goldens / "model/lr_schedule.json").read_text())["cases"]:
        optimizer = AdamW(
            [{"params": [nn.Parameter(torch.ones(1))], "lr": case[key]} for key in ("base_lr", "head_lr")]
        )
        accumulate = case["gradient_accumulation_steps"]
        rate = LearningRate.over(optimizer, iterations=case["n_iterations"], accumulate=accumulate)
        assert (rate.total, rate.warmup) == (case["t_total"], pytest.approx(case["warmup_steps"]))
        schedule = StopAndGo(tasks=case["tasks"], sizes=dict.fromkeys(case["tasks"], 1), seed=0)
        rows = []
        for k in range(case["n_iterations"]):
            schedule.controllers = {task: Controller(stopped=case["in_stop"][task][k]) for task in case["tasks"]}
            rate.start_iteration(k)
            going = schedule.tasks_at(k)
            for task in case["tasks"]:
                steps = task in going and rate.due(k)
                rates = pytest.approx([g["lr"] for g in optimizer.param_groups], rel=1e-12) if steps else None
                rows.append([k, task, task in going, steps, rates])
                if steps:
                    rate.after_step()
        assert rows == case["rows"]
        assert rate.count == case["final_global_step"]
        assert loss_scales(dict(zip(case["tasks"], case["task_lr"], strict=True))) == case["loss_scale"]


def test_learning_rate_resumes() -> None:
    def make() -> LearningRate:
        return LearningRate(AdamW([{"params": [nn.Parameter(torch.ones(1))], "lr": 2.0}]), total=10, warmup=1)

    rate = make()
    rate.start_iteration(0)
    rate.after_step()
    rate.after_step()
    resumed = make()
    resumed.load_state_dict(json.loads(json.dumps(rate.state_dict())))
    resumed.start_iteration(1)
    assert resumed.value == rate.value == 2.0
    with pytest.raises(CheckpointError, match="resume both"):
        resumed.start_iteration(0)
