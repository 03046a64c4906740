"""The stages in order: tokenizer, pretrain, instruct, export. Each resumes from its checkpoint."""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import torch

from nightschool.errors import UsageError
from starter import checkpoint, evaluate, model, pieces, tokens
from starter.chats import Reading
from starter.checkpoint import Standing
from starter.data import Source, stream
from starter.notes import NoteWriter
from starter.train import Settings, Trainer, until

DATA = Path(__file__).resolve().parents[3] / "shared/data"


@dataclass(frozen=True, slots=True)
class Profile:
    """Sizes of one kind of machine. `pretrain` is the share of the time before `instruct`."""

    vocabulary: int
    hidden: int
    layers: int
    heads: int
    shared: int
    inner: int
    batch: int
    rate: float
    device: str
    half: bool
    fuse: bool
    pretrain: float
    workers: int
    examine_minutes: float
    examine_items: int
    last_items: int
    """Items of each kind in the exams on the way, and in the last one."""


PROFILES = {
    # 5.5M parameters; small batches, because a night has few tokens
    "cpu": Profile(4096, 256, 6, 4, 2, 704, 2048, 2e-3, "cpu", True, True, 0.1, 0, 20.0, 40, 300),
    # 22M parameters, 44 MB in float16: a checkpoint without moments fits into 50 MB
    "gpu": Profile(8192, 384, 12, 6, 2, 1024, 65_536, 1.5e-3, "cuda", True, True, 0.3, 12, 4.0,
                   100, 300),
    # what the tests run: the same code in seconds
    "dry": Profile(512, 128, 2, 2, 1, 192, 512, 2e-3, "cpu", False, False, 0.3, 0, 60.0, 2, 2),
}  # fmt: skip


def make_tokens(path: Path, size: int, folder: Path | None, gguf: Path | None) -> tokens.Tokens:
    """The tokenizer of this run, made once: from the GGUF one continues, else trained."""
    if not path.exists():
        if gguf is not None:
            made = tokens.from_gguf(gguf)
        else:
            writer = NoteWriter(Random("tokenizer"), "train")
            texts = [writer.note().text for _ in range(20_000 if size > 1000 else 500)]
            made = tokens.train(texts + Reading(folder).texts[:3000], size)
        temporary = path.with_suffix(".tmp")
        made.save(temporary)
        temporary.replace(path)
    return tokens.load(path)


def fingerprint(shape: model.Shape, batch: int, seed: int, start: Path | None) -> str:
    """Names what a run's steps depend on, besides its checkpoint."""
    origin = hashlib.sha256(start.read_bytes()).hexdigest() if start else "fresh"
    facts = json.dumps([shape.facts(), batch, seed, origin], sort_keys=True)
    return hashlib.sha256(facts.encode()).hexdigest()[:16]


def able(settings: Settings, say: Callable[[str], None]) -> Settings:
    """Without what this machine cannot do, and says so: bfloat16 that is slow, no C++ compiler."""
    if settings.half and not half_pays(settings.device):
        say("bfloat16 is no faster than float32 here: training in float32")
        settings = replace(settings, half=False)
    if settings.fuse and not compiler(settings.device):
        say("no compiler: training without torch.compile")
        settings = replace(settings, fuse=False)
    return settings


def compiler(device: str) -> bool:
    """Whether torch.compile can work: it builds C++ for a processor; for a GPU Triton builds C."""
    if device == "cpu":
        return shutil.which("g++") is not None
    found = any(shutil.which(name) for name in ("cc", "gcc", "clang"))
    return found and find_spec("triton") is not None


def half_pays(device: str) -> bool:
    """Whether a bfloat16 product takes under 0.8 of the time; always said to on a GPU."""
    if device != "cpu":
        return True
    seconds = []
    for kind in (torch.float32, torch.bfloat16):
        a, b = torch.ones(2048, 256, dtype=kind), torch.ones(256, 704, dtype=kind)
        times = []
        for _ in range(7):
            began = time.perf_counter()
            a @ b
            times.append(time.perf_counter() - began)
        seconds.append(min(times))
    return seconds[1] < 0.8 * seconds[0]


def run(args: argparse.Namespace, say: Callable[[str], None]) -> Path:
    """Every stage from where it stands; the exported GGUF."""
    from starter.export import export

    profile = PROFILES[args.profile]
    args.run.mkdir(parents=True, exist_ok=True)
    if args.join and not (args.run / "tokens.json").exists():
        shutil.copyfile(args.join / "tokens.json", args.run / "tokens.json")
    made = make_tokens(args.run / "tokens.json", profile.vocabulary, args.data, args.start)
    if args.start:
        network = model.from_gguf(args.start)
    else:
        shape = model.Shape(made.size, profile.hidden, profile.layers, profile.heads,
                            profile.shared, profile.inner)  # fmt: skip
        network = model.fresh(shape, args.seed, wired=not args.plain)
    shape = model.shape_of(network.config)
    batch = args.batch or profile.batch
    steps = round(args.tokens * 1e6 / batch) if args.tokens else args.steps
    mark = fingerprint(shape, batch, args.seed, args.start)
    path = args.run / "checkpoint.safetensors"
    stages = ["instruct"] if args.start else ["pretrain", "instruct"]
    settings = Settings(
        args.rate or profile.rate, minutes=args.minutes, steps=steps,
        until=until(args.until) if args.until else None, device=args.device or profile.device,
        threads=args.threads, half=profile.half, fuse=profile.fuse, decay=args.decay,
        muon=args.muon,
    )  # fmt: skip
    settings = able(settings, say) if not args.full else replace(settings, half=False, fuse=False)
    trainer = Trainer(network, settings)
    standing = Standing(stages[0], 0, 0, 0.0, {}, mark)
    if args.join and not path.exists():
        weights, standing = pieces.join(args.join)
        checkpoint.check(standing, mark, args.join)
        checkpoint.restore({f"weight.{n}": t for n, t in weights.items()}, trainer.model)
        trainer.warm_from = standing.step
        say(f"joined {standing.stage} at step {standing.step}")
    if path.exists():
        tensors, standing = checkpoint.load(path, mark)
        checkpoint.restore(tensors, trainer.model, trainer.optimizer)
        say(f"resumed {standing.stage} at step {standing.step}")
    say(f"{args.profile}: {model.count(network) / 1e6:.2f}M parameters, {made.size} tokens")
    source = Source(args.run / "tokens.json", args.data, args.seed)

    def examine(network: Any, standing: Standing, items: int = profile.examine_items) -> None:
        began = time.monotonic()
        found = evaluate.examine(evaluate.in_torch(network, made), items)
        say(f"exam at {standing.tokens / 1e6:.2f}M tokens ({time.monotonic() - began:.0f} s): "
            f"{evaluate.line(found)}")  # fmt: skip
        facts = {name: asdict(score) for name, score in found.items()}
        with (args.run / "exams.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"tokens": standing.tokens, "seconds": standing.seconds,
                                   "scores": facts}) + "\n")  # fmt: skip

    began = time.monotonic()
    over = lambda: bool(args.slice) and time.monotonic() - began > 60 * args.slice  # noqa: E731
    for stage in stages[stages.index(standing.stage) :]:
        share = 1.0 if len(stages) == 1 else profile.pretrain
        share = share if stage == stages[0] else 1 - profile.pretrain
        trainer.settings = replace(
            settings, minutes=args.minutes * share, steps=round(steps * share),
            decay=args.decay if stage == stages[-1] else 0.01,
        )  # fmt: skip
        if settings.until and stage != stages[-1]:
            left = settings.until - datetime.now()
            trainer.settings = replace(trainer.settings, until=datetime.now() + share * left)
        if standing.stage != stage:
            standing = checkpoint.started(standing, stage)
        workers = profile.workers if args.workers < 0 else args.workers
        batches = stream(source, batch, stage, standing.step, workers)
        standing = trainer.run(batches, standing, path, say, examine,
                               60 * profile.examine_minutes, over)  # fmt: skip
        batches.close()
        if over():
            say("the slice is over; the same command goes on from here")
            break
    if args.split:
        written = pieces.split(dict(trainer.model.named_parameters()), standing, args.split)
        shutil.copyfile(args.run / "tokens.json", args.split / "tokens.json")
        say(f"wrote {len(written)} pieces to {args.split}")
    examine(trainer.model, standing, profile.examine_items if over() else profile.last_items)
    (args.run / "samples.md").write_text(
        evaluate.samples(evaluate.in_torch(trainer.model, made)), encoding="utf-8"
    )
    out = Path(args.run / "starter.gguf")
    export(trainer.model, made, out, args.kind)
    say(f"wrote {out}, {out.stat().st_size / 1e6:.1f} MB, sha256 "
        f"{hashlib.sha256(out.read_bytes()).hexdigest()}")  # fmt: skip
    return out


def main() -> None:
    ask = argparse.ArgumentParser(prog="packaging/starter", description=__doc__)
    ask.add_argument("--profile", choices=sorted(PROFILES), default="cpu")
    ask.add_argument("--run", type=Path, help="folder of checkpoints and results")
    ask.add_argument("--minutes", type=float, default=0.0, help="work in all, over restarts")
    ask.add_argument("--until", default="", help="end at HH:MM instead, fully decayed")
    ask.add_argument("--steps", type=int, default=0, help="updates in all, instead of a time")
    ask.add_argument("--tokens", type=float, default=0.0, help="millions of tokens in all")
    ask.add_argument("--slice", type=float, default=0.0, help="stop this call after minutes")
    ask.add_argument("--split", type=Path, help="write weights in pieces to carry to this folder")
    ask.add_argument("--join", type=Path, help="go on from pieces when there is no checkpoint")
    ask.add_argument("--gather", type=Path, help="only write a small folder of real text here")
    ask.add_argument("--device", default="", help="cpu or cuda instead of the profile's")
    ask.add_argument("--workers", type=int, default=-1, help="processes that make batches")
    ask.add_argument("--from", dest="start", type=Path, help="continue from this starter GGUF")
    ask.add_argument("--data", type=Path, default=DATA if DATA.is_dir() else None,
                     help="folder with qa/ and corpus/; without it generated text")  # fmt: skip
    ask.add_argument("--kind", choices=["f16", "q8_0", "f32"], default="f16")
    ask.add_argument("--rate", type=float, default=0.0)
    ask.add_argument("--decay", type=float, default=0.25)
    ask.add_argument("--batch", type=int, default=0, help="tokens a step")
    ask.add_argument("--threads", type=int, default=0, help="0: as many as are free")
    ask.add_argument("--seed", type=int, default=1)
    ask.add_argument("--plain", action="store_true", help="no wired initialisation")
    ask.add_argument("--muon", action="store_true", help="Muon instead of AdamW for matrices")
    ask.add_argument("--full", action="store_true", help="float32, no torch.compile")
    args = ask.parse_args()
    if args.gather:
        if args.data is None:
            raise UsageError("There is no folder of real text to gather from.", "Give --data.")
        print(f"{args.gather}: {pieces.gather(args.data, args.gather, 5.0) / 1e6:.1f} MB")
        return
    if args.run is None:
        raise UsageError("Say where the run is kept.", "Give --run DIR.")
    if sum(bool(x) for x in (args.minutes, args.until, args.steps, args.tokens)) != 1:
        raise UsageError(
            "Say how long to train.", "Give one of --minutes, --until, --steps or --tokens."
        )
    began = time.monotonic()
    run(args, lambda text: print(f"[{time.monotonic() - began:7.0f} s] {text}", flush=True))
