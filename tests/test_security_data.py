"""Security goals G12 and G14: no secret reaches practice, no file from outside runs or crashes."""

from __future__ import annotations

import pickle
import random
import shutil
import string
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from safetensors.numpy import save as save_tensors

from lora_files import write_lora
from nightschool.engine.adapter_file import check_adapter
from nightschool.engine.llama import Llama
from nightschool.engine.template import ChatTemplate
from nightschool.errors import ModelError, NightschoolError, Refused, UsageError
from nightschool.index.vectors import VectorIndex
from nightschool.ingest.redact import Redactor, find
from nightschool.models.catalogue import BOX
from nightschool.models.header import read_header
from nightschool.paths import Home
from nightschool.registry import versions as registry
from nightschool.store.db import open_store

STARTER = BOX / "starter.gguf"
LETTERS, HEX = string.ascii_letters + string.digits, "0123456789abcdef"

# -- G12: secrets --------------------------------------------------------------------------------


def _of(draw: random.Random, letters: str, count: int) -> str:
    text = "".join(draw.choice(letters) for _ in range(count - 2))
    return text[:1] + draw.choice("ABC") + text[1:] + draw.choice("123")


def _luhn(draw: random.Random) -> str:
    digits = [4, *(draw.randrange(10) for _ in range(14))]
    doubled = [d * 2 - 9 * (d > 4) for d in digits[::-1][::2]]
    check = -(sum(doubled) + sum(digits[::-1][1::2])) % 10
    text = "".join(map(str, [*digits, check]))
    return " ".join(text[i : i + 4] for i in range(0, 16, 4))


def _iban(draw: random.Random) -> str:
    account = "".join(draw.choice(string.digits) for _ in range(18))
    check = 98 - int(account + "131400") % 97
    return f"DE{check:02d}{account}"


KINDS: dict[str, Callable[[random.Random], str]] = {
    "aws": lambda d: "AKIA" + "".join(d.choice(string.ascii_uppercase) for _ in range(16)),
    "github": lambda d: "ghp_" + _of(d, LETTERS, 36),
    "github fine": lambda d: "github_pat_" + _of(d, LETTERS, 40),
    "gitlab": lambda d: "glpat-" + _of(d, LETTERS, 20),
    "slack": lambda d: "xoxb-" + _of(d, string.digits, 12) + "-" + _of(d, LETTERS, 24),
    "stripe": lambda d: "sk_live_" + _of(d, LETTERS, 24),
    "openai": lambda d: "sk-proj-" + _of(d, LETTERS, 40),
    "anthropic": lambda d: "sk-ant-" + _of(d, LETTERS, 40),
    "google": lambda d: "AIza" + _of(d, LETTERS, 35),
    "hub": lambda d: "hf_" + _of(d, LETTERS, 34),
    "npm": lambda d: "//registry.example/:_authToken=npm_" + _of(d, LETTERS, 36),
    "telegram": lambda d: f"{d.randrange(10**8, 10**9)}:" + _of(d, LETTERS, 35),
    "web token": lambda d: ".".join(
        ("eyJ" + _of(d, LETTERS, 20), "eyJ" + _of(d, LETTERS, 30), _of(d, LETTERS, 40))
    ),
    "sendgrid": lambda d: "SG." + _of(d, LETTERS, 22) + "." + _of(d, LETTERS, 43),
    "password": lambda d: "Password: " + _of(d, LETTERS, 12),
    "door code": lambda d: f"Door code: {d.randrange(1000, 999999)}",
    "PIN": lambda d: f"The PIN is {d.randrange(1000, 9999)}",
    "api key": lambda d: "api_key = " + _of(d, LETTERS, 32),
    "card": _luhn,
    "account": _iban,
}
PLACES = (
    "Remember this.\n\n{s}\n\nThe garden is fine.", "# Notes\n\n- boiler\n- {s}\n- tide",
    "| what | value |\n|---|---|\n| key | {s} |", "Dear Ada,\nhere it is: {s}\nYours, Bo",
    "export X='1'\n{s}\n", "> quoted\n> {s}",
)  # fmt: skip


def planted() -> Iterator[tuple[str, str, str]]:
    """Kind, the bare secret, and the text it stands in: 25 of each kind."""
    draw = random.Random(12)
    for kind, make in KINDS.items():
        for number in range(25):
            shown = make(draw)
            bare = shown.split("=")[-1].split(": ")[-1].split(" is ")[-1].strip()
            yield kind, bare, PLACES[number % len(PLACES)].format(s=shown)


def test_g12_five_hundred_planted_secrets_do_not_reach_what_is_practised() -> None:
    cases = list(planted())
    assert len(cases) == 500 and len(KINDS) == 20
    missed = [(kind, text) for kind, bare, text in cases if bare in Redactor([text]).safe(text)]
    keys = [kind for kind, _ in missed if kind not in ("card", "account")]
    assert len(keys) <= 0.01 * 450, missed  # 99 % of keys and labelled secrets
    assert len(missed) - len(keys) <= 0.05 * 50, missed  # 95 % of numbers that name a person


def test_g12_ordinary_numbers_are_left_alone() -> None:
    text = (
        "The boiler was serviced on 6 March 2025 for 184.50 euros. Flight KL 1234 leaves at 10:45, "
        "order 20250306, hull 4-711, phone list page 12. Version 1.2.3.4 was built in 2024."
    )
    assert find(text) == []


def test_g0_without_the_redactor_the_planted_secrets_are_seen() -> None:
    assert sum(bare in text for _, bare, text in planted()) == 500


# -- G14: hostile files --------------------------------------------------------------------------


def mutations(raw: bytes, count: int, seed: int, head: int) -> Iterator[bytes]:
    """Flips, cuts, zeroed stretches and lying numbers, most of them in the first `head` bytes."""
    draw = random.Random(seed)
    for number in range(count):
        data = bytearray(raw)
        place = draw.randrange(min(head, len(raw)) if number % 4 else len(raw))
        kind = number % 5
        if kind == 0:
            data = data[:place]
        elif kind == 1:
            data[place] ^= 1 << draw.randrange(8)
        elif kind == 2:
            data[place : place + 64] = bytes(64)
        elif kind == 3:
            data[place : place + 8] = struct.pack("<Q", draw.choice((2**63, 2**32, 2**64 - 1, 0)))
        else:
            data[place:place] = draw.randbytes(draw.randrange(1, 40))
        yield bytes(data)


def test_g14_two_hundred_mutated_models_are_refused_or_read_within_their_file(
    tmp_path: Path,
) -> None:
    raw = STARTER.read_bytes()
    path = tmp_path / "m.gguf"
    refused = 0
    for data in mutations(raw, 200, 14, 60_000):
        path.write_bytes(data)
        try:
            header = read_header(path)
        except NightschoolError as error:
            assert error.remedy
            refused += 1
            continue
        held = sum(tensor.bytes for tensor in header.tensors.values())
        assert held <= len(data)  # no tensor reaches beyond its file
        assert header.parameters < 10**12
    assert refused >= 60


def test_g14_two_hundred_mutated_adapters_never_load_unless_they_fit(tmp_path: Path) -> None:
    base = read_header(STARTER)
    raw = write_lora(tmp_path / "a.gguf", STARTER, seed=1).read_bytes()
    path = tmp_path / "m.gguf"
    passed = []
    for data in mutations(raw, 200, 41, 4000):
        path.write_bytes(data)
        try:
            header = check_adapter(path, base)
        except NightschoolError:
            continue
        passed.append(data)
        assert all(name.rpartition(".lora_")[0] in base.tensors for name in header.tensors)
    assert len(passed) < 150
    with Llama(STARTER, threads=1) as llama:  # what passes is loaded, and does no harm
        for data in passed[:40]:
            path.write_bytes(data)
            llama.activate(llama.adapter(path))
        llama.activate(None)
        assert llama.generate([("user", "Hi")], max_tokens=2) is not None


class _Canary:
    """Unpickling this would make a file."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.place,))


@pytest.mark.parametrize("name", ["adapter_model.bin", "adapter.gguf", "model.pt", "x.safetensors"])
def test_g14_a_pickle_is_never_opened_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    canary = tmp_path / "canary"
    path = tmp_path / name
    path.write_bytes(pickle.dumps(_Canary(canary)))
    with Llama(STARTER, threads=1) as llama, pytest.raises(ModelError):
        llama.adapter(path)
    with pytest.raises(NightschoolError):
        read_header(path)
    assert not canary.exists()
    pickle.loads(path.read_bytes())
    assert canary.exists()  # it would have worked


def test_g14_an_adapter_needs_its_manifest_its_hash_and_its_base(tmp_path: Path) -> None:
    folder = tmp_path / "v1"
    folder.mkdir()
    adapter = write_lora(folder / registry.ADAPTER, STARTER, seed=1)
    with pytest.raises(Refused, match="manifest"):
        registry.fits(folder, "base")
    sha = registry.sha256(adapter)
    manifest = folder / registry.MANIFEST
    manifest.write_text(f'{{"base_sha": "other", "adapter_sha": "{sha}"}}')
    with pytest.raises(Refused, match="another base"):
        registry.fits(folder, "base")
    manifest.write_text(f'{{"base_sha": "base", "adapter_sha": "{sha}"}}')
    registry.fits(folder, "base")
    adapter.write_bytes(adapter.read_bytes()[:-1] + b"x")
    with pytest.raises(Refused, match="changed"):
        registry.fits(folder, "base")


TEMPLATES = (
    "{{ ''.__class__.__base__.__subclasses__() }}", "{{ self._TemplateReference__context }}",
    "{{ lipsum.__globals__['os'].popen('true') }}", "{{ messages.__class__.__init__.__globals__ }}",
    "{{ cycler.__init__.__globals__ }}", "{% for x in ().__class__.__bases__ %}{{ x }}{% endfor %}",
    "{{ (messages|attr('__class__')) }}", "{{ 'a'.format.__globals__ }}",
    "{{ '{0.__class__.__init__.__globals__}'.format(messages) }}", "{{ range(10**12)|list }}",
    "{{ raise_exception.__globals__ }}", "{{ strftime_now.__globals__['datetime'] }}",
    "{% import 'os' as o %}{{ o }}", "{% include '/etc/passwd' %}", "{{ joiner.__init__ }}",
    "{% set ns = namespace() %}{{ ns.__init__.__globals__ }}", "{{ messages.pop() }}",
    "{{ messages.clear() }}", "{{ 'x' * 10 ** 30 }}", "{{ undefined_thing.a.b }}",
)  # fmt: skip


def test_g14_twenty_hostile_templates_reach_nothing() -> None:
    for source in TEMPLATES:
        try:
            text = ChatTemplate(source).render([("user", "x")])
        except (ModelError, UsageError, MemoryError, OverflowError):
            continue
        for word in ("module", "<function", "<class", "root:", "builtins"):
            assert word not in text, (source, text[:200])


def test_g14_a_search_cache_that_was_touched_is_built_anew(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").create()
    store = open_store(home.database)
    index = VectorIndex(store, home.index, "all-minilm-l6-v2", 384)
    index.refresh()
    files = sorted(path for path in home.index.rglob("*") if path.is_file())
    assert len(files) == 2
    kept = {path: path.read_bytes() for path in files}
    rebuilt = 0
    for number, data in enumerate(mutations(kept[files[0]], 200, 7, 10_000)):
        files[0].write_bytes(data)
        again = VectorIndex(store, home.index, "all-minilm-l6-v2", 384)
        again.refresh()
        assert len(again) == 0
        rebuilt += again.builds
        if number % 50 == 0:
            for path, content in kept.items():
                path.write_bytes(content)
    assert rebuilt >= 190
    store.close()


def test_g14_a_tensor_file_in_place_of_an_adapter_is_refused(tmp_path: Path) -> None:
    import numpy as np

    raw = save_tensors({"lora_a": np.zeros((4, 4), dtype=np.float32)})
    base = read_header(STARTER)
    path = tmp_path / "adapter.gguf"
    refused = 0
    for data in (raw, *mutations(raw, 199, 3, len(raw))):
        path.write_bytes(data)
        with pytest.raises(NightschoolError):
            check_adapter(path, base)
        refused += 1
    assert refused == 200
    shutil.rmtree(tmp_path)
