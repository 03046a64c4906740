"""The training loop: one stage, from its checkpoint or its beginning to the end of its time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from nightschool.train.threads import Threads
from starter import checkpoint
from starter.checkpoint import Standing
from starter.pack import PADDING, Batch

SAVE_EVERY_S = 60.0
LONGEST_STEP_S = 20.0
"""A step that took longer was paused from outside; the pause is not counted as work."""


@dataclass(frozen=True)
class Settings:
    """How to train. `minutes` of work, or `until` a moment, whichever is given; or `steps`."""

    rate: float
    minutes: float = 0.0
    until: datetime | None = None
    steps: int = 0
    warm: int = 50
    decay: float = 0.25
    """The last share of the time, in which the rate falls linearly to almost nothing."""
    device: str = "cpu"
    threads: int = 0
    """0: as many as are free."""
    half: bool = False
    """bfloat16 autocast."""
    fuse: bool = False
    """torch.compile."""
    muon: bool = False
    """Muon instead of AdamW for the matrices."""


class Clock:
    """Progress 0..1 of a stage from the seconds worked, so that a resumed run repeats its steps."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def progress(self, step: int, worked: float) -> float:
        s = self.settings
        if s.steps:
            return step / s.steps
        if s.until is not None:
            left = max(0.0, (s.until - datetime.now()).total_seconds())
            return worked / max(worked + left, 1e-9)
        return worked / max(60 * s.minutes, 1e-9)

    def rate(self, step: int, progress: float) -> float:
        """The rate of a step; `step` counts from the last time the moments were empty."""
        s = self.settings
        falling = min(1.0, (1 - progress) / s.decay)
        return s.rate * min(1.0, (step + 1) / max(1, s.warm)) * max(0.02, falling)


def until(text: str, now: datetime | None = None) -> datetime:
    """`05:50` as the next such moment."""
    now = now or datetime.now()
    hour, minute = (int(part) for part in text.split(":"))
    found = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return found if found > now else found + timedelta(days=1)


class Optimizers:
    """Several optimisers as one: what the checkpoint and the loop need of them."""

    def __init__(self, *parts: torch.optim.Optimizer) -> None:
        self.parts = parts

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return [group for part in self.parts for group in part.param_groups]

    def step(self) -> None:
        for part in self.parts:
            part.step()

    def zero_grad(self, set_to_none: bool) -> None:
        for part in self.parts:
            part.zero_grad(set_to_none=set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """States numbered through; `load_state_dict` takes the same apart again."""
        state: dict[int, Any] = {}
        first = 0
        for part in self.parts:
            own = part.state_dict()
            state |= {first + number: entry for number, entry in own["state"].items()}
            first += _count(own)
        return {"state": state, "param_groups": []}

    def load_state_dict(self, found: dict[str, Any]) -> None:
        first = 0
        for part in self.parts:
            own = part.state_dict()
            last = first + _count(own)
            state = {n - first: entry for n, entry in found["state"].items() if first <= n < last}
            part.load_state_dict({"state": state, "param_groups": own["param_groups"]})
            first = last


def _count(state: dict[str, Any]) -> int:
    return sum(len(group["params"]) for group in state["param_groups"])


def optimizer_of(model: Any, rate: float, *, muon: bool) -> Optimizers:
    """Muon or AdamW for matrices, which decay a little; AdamW for embeddings and norms.

    Muon (Jordan et al. 2024) makes each update of a matrix orthogonal; scaled as in 2502.16982, it
    takes AdamW's rates.
    """
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    plain = torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True)
    if muon:
        first: torch.optim.Optimizer = torch.optim.Muon(
            matrices, lr=rate, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"
        )
    else:
        first = torch.optim.AdamW(
            matrices, lr=rate, betas=(0.9, 0.95), weight_decay=0.05, fused=True
        )
    return Optimizers(first, plain)


@dataclass(frozen=True, slots=True)
class Step:
    """What one step found: mean losses in nats a token, and the share of answer tokens right."""

    loss: float
    answers: float
    right: float
    texts: float


class Trainer:
    """A network with its optimiser; `run` trains it on a stream of batches."""

    def __init__(self, model: Any, settings: Settings) -> None:
        self.settings = settings
        self.model = model.to(settings.device).train()
        self.optimizer = optimizer_of(self.model, settings.rate, muon=settings.muon)
        self.warm_from = 0
        """The step from which the rate warms up; later when only weights were carried over."""
        self.body = self.model.model
        if settings.fuse:
            torch._dynamo.config.automatic_dynamic_shapes = False
            torch._inductor.config.cpp.dynamic_threads = True
            self.body = torch.compile(self.model.model)

    def step(self, batch: Batch, rate: float) -> Step:
        """One update. Raises FloatingPointError when the loss is no number."""
        s = self.settings
        ids, group, branch, position, weight = (
            torch.from_numpy(part).to(s.device, non_blocking=True)
            for part in (batch.ids, batch.group, batch.branch, batch.position, batch.weight)
        )
        with torch.autocast(s.device, dtype=torch.bfloat16, enabled=s.half):
            hidden = self.body(
                input_ids=ids, position_ids=position,
                attention_mask=visible(group, branch, torch.bfloat16 if s.half else torch.float32),
                use_cache=False,
            ).last_hidden_state  # fmt: skip
            wanted = weight[:, 1:] > 0
            # a branch's first answer token is predicted by the token before it in the row
            logits = hidden[:, :-1][wanted] @ self.model.model.embed_tokens.weight.T
        target, counts = ids[:, 1:][wanted], weight[:, 1:][wanted]
        losses = F.cross_entropy(logits.float(), target, reduction="none")
        loss = (losses * counts).sum() / counts.sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for entry in self.optimizer.param_groups:
            entry["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise FloatingPointError(f"The loss became {value}; lower the rate.")
        with torch.no_grad():
            heavy, light = counts > 3.9, counts == 1
            right = (logits.argmax(-1) == target)[heavy].float()
            return Step(value, _mean(losses[heavy]), _mean(right), _mean(losses[light]))

    def run(
        self,
        batches: Iterator[Batch],
        standing: Standing,
        path: Path,
        say: Callable[[str], None],
        examine: Callable[[Any, Standing], None],
        examine_every_s: float,
        stop: Callable[[], bool] = lambda: False,
    ) -> Standing:
        """Train to the end of the stage; a checkpoint every minute and at the end."""
        s, clock = self.settings, Clock(self.settings)
        threads = Threads(s.threads) if s.device == "cpu" and s.threads == 0 else None
        if s.device == "cpu" and s.threads:
            torch.set_num_threads(s.threads)
        worked = standing.stages.get(standing.stage, 0.0)
        saved = examined = worked
        recent: list[Step] = []
        told = time.monotonic()
        while (progress := clock.progress(standing.step, worked)) < 1 and not stop():
            began = time.monotonic()
            if threads is not None:
                threads.adapt()
            batch = next(batches)
            rate = clock.rate(standing.step - self.warm_from, progress)
            recent.append(self.step(batch, rate))
            took = min(LONGEST_STEP_S, time.monotonic() - began)
            worked += took
            standing = replace(
                standing, step=standing.step + 1, tokens=standing.tokens + batch.ids.size,
                seconds=standing.seconds + took,
                stages={**standing.stages, standing.stage: worked},
            )  # fmt: skip
            if time.monotonic() - told > 15:
                told = time.monotonic()
                say(_line(standing, recent, rate, progress, worked))
                recent = []
            if worked - saved > SAVE_EVERY_S:
                checkpoint.save(path, self.model, self.optimizer, standing)
                saved = worked
            if worked - examined > examine_every_s:
                examined = worked
                examine(self.model, standing)
                self.model.train()
        checkpoint.save(path, self.model, self.optimizer, standing)
        return standing


def visible(group: torch.Tensor, branch: torch.Tensor, kind: torch.dtype) -> torch.Tensor:
    """[rows, 1, length, length]: 0 where a token may look, minus infinity where not."""
    length = group.shape[1]
    same = group[:, :, None] == group[:, None, :]
    open_ = (branch[:, None, :] == 0) | (branch[:, :, None] == branch[:, None, :])
    past = torch.ones(length, length, dtype=torch.bool, device=group.device).tril()
    allowed = same & open_ & past
    # padding looks at itself, so that no row of the softmax is empty
    mask = torch.zeros(allowed.shape, dtype=kind, device=group.device)
    return mask.masked_fill_(~allowed, float("-inf"))[:, None]


def _mean(values: torch.Tensor) -> float:
    return float(values.float().mean()) if values.numel() else float("nan")


def _line(
    standing: Standing, recent: list[Step], rate: float, progress: float, worked: float
) -> str:
    def mean(values: list[float]) -> float:
        known = [v for v in values if v == v]
        return sum(known) / len(known) if known else float("nan")

    left = worked / progress - worked if progress > 0 else float("nan")
    speed = len(recent) and standing.tokens / max(standing.seconds, 1e-9)
    return (
        f"{standing.stage} step {standing.step}, {standing.tokens / 1e6:.2f}M tokens, "
        f"answers {mean([x.answers for x in recent]):.3f} nats "
        f"({mean([x.right for x in recent]):.3f} right), "
        f"text {mean([x.texts for x in recent]):.3f}, rate {rate:.2e}, "
        f"{speed:.0f} tokens/s, {left / 60:.0f} min left"
    )


__all__ = ["PADDING", "Settings", "Trainer", "until", "visible"]
