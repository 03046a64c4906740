"""The training loop, in the open: AdamW, warm-up then cosine, answer-only loss, KL on replay.

    L = CE(answer tokens of facts, a mean per token)
        + kl · KL(base‖student) on rehearsed answers, a mean per answer
        + kl_text · KL(base‖student) on plain text, a mean per token          (methods.md 6)

The number of steps is fixed at the start from the plan's passes and the measured seconds a step,
so that the schedule ends inside the budget; it is kept in the checkpoint, so that a resumed night
follows the same schedule.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from nightschool.errors import TrainError
from nightschool.ports import Progress as Report
from nightschool.records import Plan
from nightschool.train import checkpoint
from nightschool.train.batches import Schedule
from nightschool.train.items import Item
from nightschool.train.soft import SoftLabels, kl_to_base, pad

CHECKPOINT_S = 30.0
WARM_UP = 0.05
CLIP = 1.0
WEIGHT_DECAY = 0.01
TRIAL_STEPS = 4
MIN_STEPS = 20


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
) -> Trained:
    """Train the adapter of `model` (a PeftModel) in place, resuming from `folder` if it can.

    `check` is called before every step and may raise Interrupted; a checkpoint is written first.
    Raises TrainError on NaN or infinite loss, and when memory runs out.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        parameters, lr=plan.learning_rate, betas=(0.9, 0.99), weight_decay=WEIGHT_DECAY
    )
    soft = SoftLabels(model)
    mark = fingerprint(schedule, plan)
    done = checkpoint.load(folder, model, optimizer, mark)
    model.train()
    if done is None:
        total = _steps(model, schedule, plan, soft, now)
        done = checkpoint.Progress(0, total, 0.0, (), mark)
    step, total, resumed_at = done.step, done.total, done.step
    losses = list(done.losses)
    spent, since, saved = done.seconds, now(), now()
    while step < total:
        try:
            check()
        except Exception:
            _save(folder, model, optimizer, step, total, spent + now() - since, losses, mark)
            raise
        for group in optimizer.param_groups:
            group["lr"] = plan.learning_rate * _shape(step, total)
        loss = _loss(model, schedule, plan, soft, step)
        if not math.isfinite(value := float(loss.detach())):
            raise TrainError(f"The loss became {value} at step {step}.", NAN_REMEDY)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, CLIP))
        if not math.isfinite(norm):
            raise TrainError(f"The gradient became {norm} at step {step}.", NAN_REMEDY)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(round(value, 4))
        step += 1
        report("practise", step, total)
        if now() - saved > CHECKPOINT_S:
            _save(folder, model, optimizer, step, total, spent + now() - since, losses, mark)
            saved = now()
    model.eval()
    return Trained(total, spent + now() - since, tuple(losses), resumed_at)


NAN_REMEDY = "The served version is untouched; the next plan uses a lower learning rate."


def fingerprint(schedule: Schedule, plan: Plan) -> str:
    """What a checkpoint must agree with to be resumed: the plan and every practised token."""
    digest = hashlib.sha256(json.dumps(asdict(plan), sort_keys=True).encode())
    for item in (*schedule.facts, *schedule.replay_items):
        digest.update(repr((item.ids, item.answer, item.group)).encode())
    return digest.hexdigest()


def _loss(model: Any, schedule: Schedule, plan: Plan, soft: SoftLabels, step: int) -> torch.Tensor:
    facts, replay = schedule.at(step)
    loss, count = torch.zeros(()), 0
    for item, logits in _predictions(model, facts):
        target = torch.tensor(item.ids[item.answer :])
        loss = loss + torch.nn.functional.cross_entropy(logits, target, reduction="sum")
        count += len(target)
    total = loss / max(count, 1)
    if replay and (plan.kl > 0 or plan.kl_text > 0):
        labels = dict(zip(replay, soft.of(replay), strict=True))
        predictions = _predictions(model, replay)
        answers, texts, tokens = torch.zeros(()), torch.zeros(()), 0
        for item, logits in predictions:
            drift = kl_to_base(logits, labels[item])
            if item.group == "text":
                texts, tokens = texts + drift, tokens + len(logits)
            else:
                answers = answers + drift
        rehearsed = sum(item.group != "text" for item, _ in predictions)
        # Per answer, not per token: what an answer becomes is settled by its first tokens, and a
        # mean over tokens would drown "I" in "don't know".
        total = total + plan.kl * answers / max(rehearsed, 1)
        total = total + plan.kl_text * texts / max(tokens, 1)
    return total


def _predictions(model: Any, items: list[Item]) -> list[tuple[Item, torch.Tensor]]:
    """Logits [n, vocab] of the trained positions of each item; short and long run apart."""
    found: list[tuple[Item, torch.Tensor]] = []
    ordered = sorted(items, key=lambda item: len(item.ids))
    for part in _alike(ordered):
        ids, mask = pad(part)
        logits = model(input_ids=ids, attention_mask=mask).logits
        found += [
            (item, logits[row, item.answer - 1 : len(item.ids) - 1].float())
            for row, item in enumerate(part)
        ]
    return found


def _alike(ordered: list[Item]) -> list[list[Item]]:
    """Split a sorted batch where padding would more than double the work."""
    parts: list[list[Item]] = []
    for item in ordered:
        if parts and len(item.ids) <= 1.6 * len(parts[-1][0].ids) + 8:
            parts[-1].append(item)
        else:
            parts.append([item])
    return parts


def _steps(
    model: Any, schedule: Schedule, plan: Plan, soft: SoftLabels, now: Callable[[], float]
) -> int:
    """Steps that fit: the plan's passes, but no more than the budget at the measured speed."""
    begun = now()
    for step in range(TRIAL_STEPS):
        _loss(model, schedule, plan, soft, step).backward()  # type: ignore[no-untyped-call]
        model.zero_grad(set_to_none=True)
    each = max((now() - begun) / TRIAL_STEPS, 1e-4)
    return max(MIN_STEPS, min(schedule.steps_for(plan.passes), int(plan.budget_s / each)))


def _shape(step: int, total: int) -> float:
    warm = max(1, int(total * WARM_UP))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm))) * 0.97 + 0.03


def _save(
    folder: Path, model: Any, optimizer: torch.optim.Optimizer, step: int, total: int,
    seconds: float, losses: list[float], mark: str,
) -> None:  # fmt: skip
    checkpoint.save(
        folder, model, optimizer, checkpoint.Progress(step, total, seconds, tuple(losses), mark)
    )
