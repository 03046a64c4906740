"""The recipe of the shipped model: tests never train, a stop loses nothing, files are checked."""

from __future__ import annotations

import argparse
import re
import struct
from dataclasses import replace
from itertools import chain, pairwise
from pathlib import Path
from random import Random

import pytest
import torch
from safetensors.torch import save_file

from nightschool.engine.llama import Llama
from nightschool.errors import ModelError
from nightschool.models.base import load_torch
from nightschool.models.catalogue import BOX
from starter import (
    _facts,
    _values,
    _wordings,
    attributes,
    checkpoint,
    evaluate,
    events,
    frames,
    lexicon,
    overlap,
    pieces,
    tokens,
)  # fmt: skip
from starter.chats import ChatWriter, Reading
from starter.checkpoint import Standing
from starter.data import Mixture, Source
from starter.export import export
from starter.model import Shape, fresh, from_gguf
from starter.notes import LISTS, UNKNOWN, NoteWriter
from starter.pack import chat_piece, rows
from starter.recipe import fingerprint, run
from starter.train import Clock, Settings, Trainer, visible

SHAPE = Shape(400, 128, 2, 2, 1, 192)
HERE = Settings(rate=2e-3, steps=8, threads=1)


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small tokenizer, trained on generated notes."""
    path = tmp_path_factory.mktemp("tokens") / "tokens.json"
    writer = NoteWriter(Random(1), "train")
    tokens.train([writer.note().text for _ in range(200)], SHAPE.vocabulary).save(path)
    return path


def trained(
    words: Path, folder: Path, steps: int, stop_at: int = 0, muon: bool = False
) -> dict[str, torch.Tensor]:
    """Weights after `steps` updates, resuming what stands in `folder`."""
    folder.mkdir(exist_ok=True)
    torch.set_num_threads(1)  # the wired start is a QR decomposition, whose last bits depend on it
    trainer = Trainer(fresh(SHAPE, 3, wired=True), replace(HERE, steps=steps, muon=muon))
    path = folder / "checkpoint.safetensors"
    standing = Standing("instruct", 0, 0, 0.0, {}, "mark")
    if path.exists():
        kept, standing = checkpoint.load(path, "mark")
        checkpoint.restore(kept, trainer.model, trainer.optimizer)
    mixture = Mixture(Source(words, None), 512)
    numbers = iter(range(standing.step, steps))
    trainer.run(
        (mixture.batch("instruct", n) for n in numbers), standing, path, lambda _: None,
        lambda *_: None, 1e9, stop=lambda: bool(stop_at) and next_of(path, trainer) >= stop_at,
    )  # fmt: skip
    return {n: p.detach().clone() for n, p in trainer.model.named_parameters()}


def next_of(path: Path, trainer: Trainer) -> int:
    """How many updates the optimiser has made."""
    state = trainer.optimizer.state_dict()["state"]
    return int(state[max(state)]["step"]) if state else 0


@pytest.mark.parametrize("muon", [False, True])
def test_a_run_that_was_stopped_takes_the_same_next_steps(
    words: Path, tmp_path: Path, muon: bool
) -> None:
    whole = trained(words, tmp_path / "whole", 8, muon=muon)
    part = trained(words, tmp_path / "cut", 8, stop_at=3, muon=muon)
    assert any(not torch.equal(whole[name], part[name]) for name in whole)
    resumed = trained(words, tmp_path / "cut", 8, muon=muon)
    for name, tensor in whole.items():
        assert torch.equal(tensor, resumed[name]), name


def test_the_rate_falls_to_almost_nothing_at_the_end() -> None:
    clock = Clock(replace(HERE, steps=100, warm=10, decay=0.25))
    rates = [clock.rate(n, clock.progress(n, 0.0)) for n in range(100)]
    assert rates[0] < rates[9] == rates[70] == 2e-3
    assert rates[99] < 0.05 * 2e-3
    assert all(a >= b for a, b in pairwise(rates[75:]))


def saved(path: Path) -> Path:
    trainer = Trainer(fresh(SHAPE, 3, wired=False), HERE)
    checkpoint.save(
        path, trainer.model, trainer.optimizer, Standing("instruct", 4, 9, 1.0, {}, "a")
    )
    return path


def test_a_damaged_checkpoint_is_refused_with_the_reason(tmp_path: Path) -> None:
    path = saved(tmp_path / "checkpoint.safetensors")
    assert checkpoint.load(path, "a")[1].step == 4
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match=r"damaged.*digest"):
        checkpoint.load(path, "a")
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match="damaged"):
        checkpoint.load(path, "a")


def test_a_foreign_a_newer_and_another_runs_checkpoint_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "checkpoint.safetensors")
    with pytest.raises(ModelError, match="another run"):
        checkpoint.load(path, "b")
    save_file({"x": torch.zeros(2)}, path, metadata={"format": "else"})
    with pytest.raises(ModelError, match="no checkpoint of this recipe"):
        checkpoint.load(path)
    facts = {"format": checkpoint.FORMAT, "version": "99"}
    save_file({"x": torch.zeros(2)}, path, metadata=facts)
    with pytest.raises(ModelError, match="newer"):
        checkpoint.load(path)


def test_a_run_belongs_to_its_shape_batch_seed_and_start(tmp_path: Path) -> None:
    start = tmp_path / "start.gguf"
    start.write_bytes(b"one")
    marks = {
        fingerprint(SHAPE, 512, 1, None), fingerprint(replace(SHAPE, layers=3), 512, 1, None),
        fingerprint(SHAPE, 256, 1, None), fingerprint(SHAPE, 512, 2, None),
        fingerprint(SHAPE, 512, 1, start),
    }  # fmt: skip
    start.write_bytes(b"two")
    assert len(marks | {fingerprint(SHAPE, 512, 1, start)}) == 6


def test_only_a_starter_can_be_continued(tmp_path: Path) -> None:
    path = tmp_path / "other.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 0))
    with pytest.raises(ModelError, match="no starter"):
        from_gguf(path)


def test_pieces_join_again_and_a_damaged_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "PIECE", 100_000)
    model = fresh(SHAPE, 3, wired=False)
    weights = dict(model.named_parameters())
    standing = Standing("pretrain", 7, 70, 2.0, {"pretrain": 2.0}, "mark")
    paths = pieces.split(weights, standing, tmp_path)
    assert len(paths) > 3 and max(p.stat().st_size for p in paths) <= 100_000
    joined, found = pieces.join(tmp_path)
    assert found == standing
    for name, parameter in weights.items():
        assert torch.equal(joined[name], parameter.detach().half().float()), name
    paths[1].write_bytes(paths[1].read_bytes()[:-1] + b"?")
    with pytest.raises(ModelError, match="Piece 1"):
        pieces.join(tmp_path)
    paths[1].unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        pieces.join(tmp_path)


def test_tests_use_no_word_and_no_wording_of_the_training() -> None:
    for name in lexicon.lists():
        train, test = set(lexicon.words(name, False)), set(lexicon.words(name, True))
        assert test and not train & test, name
    assert not set(attributes.STATEMENTS) & set(attributes.HELD_STATEMENTS)
    assert not set(attributes.QUESTIONS) & set(attributes.HELD_QUESTIONS)
    assert LISTS[-1] not in LISTS[:-1]


def wording(template: str) -> str:
    """Words and blanks alone."""
    return " ".join(re.findall(r"\w+", re.sub(r"\{\w+\}", "_", template).lower()))


def test_no_wording_of_a_test_or_an_exam_is_among_those_of_the_training() -> None:
    tests = [*attributes.HELD_STATEMENTS, *attributes.HELD_QUESTIONS, *LISTS[-1]]
    for relation in chain.from_iterable(_facts.relations().values()):
        tests += [relation.statements[-1], relation.questions[-1]]
    for exam in _wordings.read_relations():
        tests += [*exam.wording["P"].statements, *exam.wording["P"].questions]
    trained = [t for name in lexicon.wording_names() for t in lexicon.wordings(name)]
    for frame in chain.from_iterable(frames.frames().values()):
        trained += [*frame.statements, *frame.questions, *frame.reversed]
    assert len(trained) > 2000
    assert not {wording(t) for t in tests} & {wording(t) for t in trained}
    leads = tuple(wording(lead) + " " for _, lead in events.LEADS.values())
    assert not [t for t in trained if wording(t).startswith(leads)]


def test_no_word_of_a_test_is_among_the_further_words_of_the_training() -> None:
    """Of the reader's lists every fifth, sixth or third entry is for tests."""
    every = {"cause": (3, 2), "attribute": (6, 5), "thing": (6, 5)}
    tests: set[str] = set()
    for name, entries in _values.VALUES.items():
        step, first = every.get(name, (5, 4))
        tests |= set(entries[first::step])
    for name, entries in lexicon.wider().items():
        assert not tests & set(entries), name
        assert not [e for e in entries if lexicon.held_out(e.split()[0] if "/" in e else e)], name


def test_no_generated_test_item_is_ever_trained_on() -> None:
    trained_on = overlap.Trained(None, 3000)
    for found in overlap.report(
        trained_on,
        [("notes", evaluate.notes(150)), ("unanswerable", evaluate.unanswerable(150)),
         ("reading", evaluate.probe("reading")), ("abstain", evaluate.probe("abstain"))],
    ):  # fmt: skip
        assert found.items == 0, str(found)
        assert found.questions <= 0.05 * found.n, str(found)  # e.g. "What was the total?"


def test_the_overlap_check_finds_what_was_trained_on() -> None:
    trained_on = overlap.Trained(None, 300)
    writer = ChatWriter(Random("overlap/1"), "train", Reading(None))
    chats = [writer.chat(long=n % 4 == 3) for n in range(300)]
    asked = (c for c in chats if c.head.endswith("Question:") and len(c.head) > 90)
    chosen = next(c for c in asked if c.head.startswith("Context:\n"))
    context = chosen.head.removeprefix("Context:\n").removesuffix("\n\nQuestion:")
    item = evaluate.Item(context, chosen.branches[0].tail.strip(), "")
    found = trained_on.against("planted", [item])
    assert (found.items, found.questions, found.runs) == (1, 1, 1)


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_answer_stands_in_its_note_and_a_question_has_one_answer(split: str) -> None:
    writer = NoteWriter(Random(4), split)
    for _ in range(400):
        note = writer.note()
        asked = [ask.question for ask in note.asks]
        assert len(asked) == len(set(asked))
        for ask in note.asks:
            assert ask.answer in note.text, (note.text, ask)
            assert ask.answer != UNKNOWN
        assert not set(note.missing) & set(asked)


def test_a_batch_depends_on_its_number_alone(words: Path) -> None:
    one, two = (Mixture(Source(words, None), 512) for _ in range(2))
    two.batch("instruct", 0)
    left, right = one.batch("instruct", 5), two.batch("instruct", 5)
    assert (left.ids == right.ids).all() and (left.weight == right.weight).all()
    assert (one.batch("instruct", 4).ids != one.batch("instruct", 6).ids).any()


def test_a_question_of_several_is_read_as_if_it_were_alone(words: Path) -> None:
    made = tokens.load(words)
    writer = ChatWriter(Random(2), "train", Reading(None))
    chats = [c for c in (writer.read() for _ in range(30)) if len(c.branches) > 2]
    pieces_ = [p for c in chats[:3] if (p := chat_piece(c, made, 400)) is not None]
    batch = rows(pieces_, 1, 1024)
    model = fresh(SHAPE, 3, wired=True).eval()
    ids, group, branch, position = (
        torch.from_numpy(x) for x in (batch.ids, batch.group, batch.branch, batch.position)
    )
    with torch.no_grad():
        together = model(
            input_ids=ids, position_ids=position,
            attention_mask=visible(group, branch, torch.float32),
        ).logits[0]  # fmt: skip
        for number in range(1, 3):
            chosen = (group[0] == 1) & ((branch[0] == 0) | (branch[0] == number))
            alone = model(input_ids=ids[:, chosen]).logits[0]
            assert torch.allclose(together[chosen], alone, atol=1e-4)


def test_the_wired_start_copies_and_the_plain_one_does_not() -> None:
    shape = Shape(4096, 256, 2, 4, 2, 64)
    ids = torch.randint(260, 4096, (4, 40), generator=torch.Generator().manual_seed(1))
    ids = torch.cat([ids, ids], 1)
    right = []
    for wired in (True, False):
        with torch.no_grad():
            logits = fresh(shape, 1, wired=wired).eval()(input_ids=ids).logits
        right.append(float((logits[:, 40:-1].argmax(-1) == ids[:, 41:]).float().mean()))
    assert right[0] > 0.5 > 0.05 > right[1]


def test_both_programmes_load_the_export_with_the_same_tokens(words: Path, tmp_path: Path) -> None:
    made = tokens.load(words)
    path = tmp_path / "starter.gguf"
    network = fresh(replace(SHAPE, vocabulary=made.size), 3, wired=True)
    export(network, made, path, "f16")
    base, llama = load_torch(path), Llama(path, context=1024, threads=1)
    for item in evaluate.notes(12):
        ids = [made["user"], *made.encode(item.prompt), made["end"], made["assistant"]]
        assert llama.prompt([("user", item.prompt)]) == ids
        assert base.encode(base.prompt(item.prompt)) == ids
        with torch.no_grad():
            theirs = base.model(input_ids=torch.tensor([ids])).logits[0, -1]
        ours = torch.from_numpy(llama.logprobs(ids)[-1])
        assert torch.allclose(theirs.log_softmax(-1), ours, atol=0.05)
    mine = dict(network.named_parameters())
    for name, parameter in base.model.named_parameters():
        assert torch.allclose(parameter, mine[name], atol=2e-3), name


def test_the_shipped_model_survives_import_and_export(tmp_path: Path) -> None:
    shipped = BOX / "starter.gguf"
    made, network = tokens.from_gguf(shipped), from_gguf(shipped)
    item = evaluate.notes(1)[0]
    ids = [made["user"], *made.encode(item.prompt), made["end"], made["assistant"]]
    base = load_torch(shipped)
    assert base.encode(base.prompt(item.prompt)) == ids
    answers = []
    for kind in ("f16", "q8_0"):
        path = tmp_path / f"{kind}.gguf"
        export(network, made, path, kind)
        again = from_gguf(path)
        closest = 0.0 if kind == "f16" else 0.02
        for (name, old), new in zip(network.named_parameters(), again.parameters(), strict=True):
            assert torch.allclose(old, new, atol=closest), name
        llama = Llama(path, context=1024, threads=1)
        answers.append(llama.generate([("user", item.prompt)], max_tokens=16))
    old = Llama(shipped, context=1024, threads=1)
    assert answers[0] == old.generate([("user", item.prompt)], max_tokens=16)


def test_one_command_makes_a_model_and_runs_again_without_training_twice(tmp_path: Path) -> None:
    said: list[str] = []
    args = argparse.Namespace(
        profile="dry", run=tmp_path / "run", minutes=0.0, until="", steps=6, tokens=0.0, slice=0.0,
        split=None, join=None, device="", workers=0, start=None, data=None, kind="f16", rate=0.0,
        decay=0.25, batch=0, threads=1, seed=1, plain=False, full=False, muon=True,
    )  # fmt: skip
    first = run(args, said.append).read_bytes()
    assert run(args, said.append).read_bytes() == first
    assert any("resumed instruct at step 4" in line for line in said)
