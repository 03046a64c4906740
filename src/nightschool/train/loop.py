"""The training loop, in the open: AdamW, warm-up then cosine, answer-only loss, KL on replay.

    L = CE(answer tokens of facts, a mean per token)
        + kl · KL(base‖student) on rehearsed answers, a mean per answer
        + kl_text · KL(base‖student) on plain text, a mean per token          (methods.md 6)
        + distil · KL(base with the passage‖student) on answers, where the base reads right
        + preference · KTO on answers that the user liked or disliked         (both 0 by default)

The schedule runs over the share of the night that is done: steps of the plan's passes, or seconds
of its budget, whichever is further. So it ends inside the budget whatever else the machine does,
and a night that is not cut short by the clock is the same each time.
"""

from __future__ import annotations

import hashlib
import json
import math
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from nightschool.errors import TrainError
from nightschool.ports import Progress as Report
from nightschool.records import Plan
from nightschool.train import checkpoint
from nightschool.train.batches import Schedule, judged_at
from nightschool.train.distil import Distillation
from nightschool.train.items import Item
from nightschool.train.preference import Preferences
from nightschool.train.recipes import recipe
from nightschool.train.soft import SoftLabels, answer_logits, kl_by_token
from nightschool.train.standby import Standby

CHECKPOINT_S = 30.0
WARM_UP = 0.05
CLIP = 1.0


@dataclass(frozen=True, slots=True)
class Trained:
    """What a finished loop says of itself: steps, seconds, and the loss curve (nats a token)."""

    steps: int
    seconds: float
    losses: tuple[float, ...]
    resumed_at: int


def train(
    model: Any,
    schedule: Schedule,
    plan: Plan,
    folder: Path,
    *,
    report: Report,
    check: Callable[[], None],
    now: Callable[[], float] = time.monotonic,
    before_step: Callable[[], None] = lambda: None,
    stopping: threading.Event | None = None,
) -> Trained:
    """Train the adapter of `model` (a PeftModel) in place, resuming from `folder` if it can.

    `before_step` may adapt the thread count. `check` is called before every step and may raise
    Interrupted; a checkpoint is written first. `stopping` is set when the process may be ended any
    moment: the last whole step is then written at once, in the middle of the next.
    Raises TrainError on NaN or infinite loss, and when memory runs out.
    """
    page = recipe(plan.recipe)
    trained = checkpoint.of(model)
    parameters = list(trained.values())
    optimizer = page.optimizer(model, plan)
    soft = SoftLabels(model)
    losses_besides = Besides(Preferences(model), Distillation(model, schedule.taught, soft))
    mark = fingerprint(schedule, plan)
    done = checkpoint.load(folder, model, optimizer, mark, partial(page.restore, model))
    model.train()
    if done is None:
        done = checkpoint.Progress(0, schedule.steps_for(plan.passes), 0.0, (), mark)
    step, total, resumed_at = done.step, done.total, done.step
    losses = list(done.losses)
    _remember(model, schedule, plan, soft, losses_besides, step)
    began = now() - done.seconds
    rng = torch.get_rng_state()

    def save() -> None:
        progress = checkpoint.Progress(step, total, now() - began, tuple(losses), mark)
        checkpoint.save(folder, model, optimizer, progress, page.state(model), rng, trained)

    saved = now()
    with Standby(stopping or threading.Event(), save) as standby:
        while (share := _share(step, total, now() - began, plan)) < 1:
            try:
                check()
            except Exception:
                standby.save()
                raise
            before_step()
            for group in optimizer.param_groups:
                group["lr"] = plan.learning_rate * group["times"] * _shape(share)
            loss = _loss(model, schedule, plan, soft, losses_besides, step)
            if not math.isfinite(value := float(loss.detach())):
                raise TrainError(f"The loss became {value} at step {step}.", NAN_REMEDY)
            if (extra := page.penalty(model)) is not None:
                loss = loss + extra
            loss.backward()  # type: ignore[no-untyped-call]
            norm = float(torch.nn.utils.clip_grad_norm_(parameters, CLIP))
            if not math.isfinite(norm):
                raise TrainError(f"The gradient became {norm} at step {step}.", NAN_REMEDY)
            with standby.changing():
                optimizer.step()
                with torch.no_grad():
                    page.after_step(model, _share(step + 1, total, now() - began, plan))
                optimizer.zero_grad(set_to_none=True)
                losses.append(round(value, 4))
                step += 1
                rng = torch.get_rng_state()
            done_share = _share(step, total, now() - began, plan)
            report("practise", step, max(step, round(step / max(done_share, 1e-9))))
            if now() - saved > CHECKPOINT_S:
                standby.save()
                saved = now()
        if step > resumed_at:
            standby.save()  # whoever comes during the exams costs no practice
    model.eval()
    return Trained(step, now() - began, tuple(losses), resumed_at)


NAN_REMEDY = "The served version is untouched; the next plan uses a lower learning rate."


def fingerprint(schedule: Schedule, plan: Plan) -> str:
    """What a checkpoint must agree with to be resumed: the plan and every practised token."""
    digest = hashlib.sha256(json.dumps(asdict(plan), sort_keys=True).encode())
    for item in (*schedule.facts, *schedule.replay_items, *schedule.judged):
        digest.update(repr((item.ids, item.answer, item.group)).encode())
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Besides:
    """Losses that only plans which weigh them have."""

    preferences: Preferences
    distillation: Distillation


def _loss(
    model: Any, schedule: Schedule, plan: Plan, soft: SoftLabels, besides: Besides, step: int
) -> torch.Tensor:
    """All that one step is to lower; facts and replay go through the model together."""
    facts, replay = schedule.at(step)
    if plan.kl <= 0 and plan.kl_text <= 0:
        replay = []
    labels = soft.of(replay) if replay else []
    items = [*facts, *replay]
    predicted = list(zip(items, _predictions(model, items), strict=True))
    of_facts, of_replay = predicted[: len(facts)], predicted[len(facts) :]
    target = torch.tensor([i for item in facts for i in item.ids[item.answer :]])
    total = torch.nn.functional.cross_entropy(torch.cat([made for _, made in of_facts]), target)
    if plan.distil > 0:
        total = total + plan.distil * besides.distillation.loss(of_facts)
    if plan.preference > 0 and schedule.judged:
        total = total + plan.preference * besides.preferences.loss(judged_at(schedule, step))
    if replay:
        weights = torch.cat([_weights(item, replay, plan) for item in replay])
        index, logp, rest = (torch.cat(part) for part in zip(*labels, strict=True))
        made = torch.cat([made for _, made in of_replay])
        total = total + (weights * kl_by_token(made, (index, logp, rest))).sum()
    return total


def _weights(item: Item, replay: list[Item], plan: Plan) -> torch.Tensor:
    """What each token of a replayed item counts: text per token, a rehearsed answer as a whole.

    Per answer, not per token: what an answer becomes is settled by its first tokens, and a mean
    over tokens would drown "I" in "don't know".
    """
    texts = [len(other.ids) - other.answer for other in replay if other.group == "text"]
    alone = plan.kl / max(len(replay) - len(texts), 1)
    weight = plan.kl_text / max(sum(texts), 1) if item.group == "text" else alone
    return torch.full((len(item.ids) - item.answer,), weight)


def _remember(
    model: Any, schedule: Schedule, plan: Plan, soft: SoftLabels, besides: Besides, done: int
) -> None:
    """What the base says of the items of `done` steps, asked in the same company as then.

    The base is asked once an item, in the batch where it first appears, and rounding depends on
    the company: without this a resumed night would differ in the last bits.
    """
    with torch.random.fork_rng(devices=()), torch.no_grad():
        for step in range(done):
            facts, replay = schedule.at(step)
            if plan.distil > 0:
                besides.distillation.remember(facts)
            if plan.preference > 0 and schedule.judged:
                besides.preferences.remember(judged_at(schedule, step))
            if replay and (plan.kl > 0 or plan.kl_text > 0):
                soft.of(replay)


def _predictions(model: Any, items: list[Item]) -> list[torch.Tensor]:
    """Logits [n, vocab] of the trained positions of each item."""
    return answer_logits(model, items)


def _share(step: int, total: int, seconds: float, plan: Plan) -> float:
    """How much of the night is done, 0..1: by steps or by the clock."""
    return max(step / max(total, 1), seconds / max(plan.budget_s, 1e-9))


def _shape(share: float) -> float:
    """Warm-up, then a cosine down to 3 % of the peak."""
    if share < WARM_UP:
        return max(share, 0.002) / WARM_UP
    return 0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * (share - WARM_UP) / (1 - WARM_UP)))
