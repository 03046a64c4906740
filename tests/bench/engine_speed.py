"""The engine against a bare llama-cpp-python loop and its own server, alternating; caches, lookups.

python tests/bench/engine_speed.py [--quick] [--model FILE.gguf]

Some four minutes on two cores that do nothing else; --quick takes a model of 4 layers and a small
vocabulary in place of the 0.6B shape, --model measures a model of yours and nothing else. Both
sides open a model in the same way: where the processor has AMX, llama.cpp's defaults crash on
quantised weights (ggml-org/llama.cpp#20824), so there both leave its extra buffers out.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests"), str(ROOT / "tests" / "bench")]

from bench_report import Report, arguments  # noqa: E402
from llama_server import completion, llama_server  # noqa: E402
from nightschool.children.child import Child  # noqa: E402
from nightschool.engine.context import extra_buffers  # noqa: E402
from nightschool.engine.library import library  # noqa: E402
from nightschool.engine.llama import Llama  # noqa: E402
from nightschool.engine.sampling import Sampling  # noqa: E402
from nightschool.models import catalogue  # noqa: E402
from nightschool.models.catalogue import BOX  # noqa: E402
from nightschool.models.header import read_header  # noqa: E402
from nightschool.paths import Home  # noqa: E402
from nightschool.store.db import open_store  # noqa: E402
from random_gguf import write_06b  # noqa: E402
from service_harness import service  # noqa: E402

STARTER = BOX / "starter.gguf"
NOTE = "The boiler in the cellar was serviced by Anna Brandt on 3 May 2024. "
FERRY = "The ferry Marigold leaves the western pier at a quarter past seven. "


class Bare:
    """The package's low-level calls in the shortest loop: one context, greedy, as its `Llama` class
    sets it up."""

    def __init__(self, path: Path, threads: int) -> None:
        lib = self.lib = library()
        loading = lib.llama_model_default_params()
        loading.use_extra_bufts = extra_buffers(lib, read_header(path))
        self.model = lib.llama_model_load_from_file(str(path).encode(), loading)
        settings = lib.llama_context_default_params()
        settings.n_ctx, settings.n_batch, settings.n_ubatch = 1024, 512, 512
        settings.n_threads = settings.n_threads_batch = threads
        settings.flash_attn_type = 0
        self.context = lib.llama_init_from_model(self.model, settings)
        self.memory = lib.llama_get_memory(self.context)
        self.sampler = lib.llama_sampler_init_greedy()

    def eval(self, ids: list[int]) -> None:
        array = (self.lib.llama_token * len(ids))(*ids)
        assert self.lib.llama_decode(
            self.context, self.lib.llama_batch_get_one(array, len(ids))
        ) == 0  # fmt: skip

    def run(self, ids: list[int], count: int) -> tuple[float, float]:
        """Seconds of prefill and of `count` further greedy tokens."""
        self.lib.llama_memory_clear(self.memory, True)
        began = time.perf_counter()
        self.eval(ids)
        read = time.perf_counter() - began
        began = time.perf_counter()
        for _ in range(count):
            self.eval([int(self.lib.llama_sampler_sample(self.sampler, self.context, -1))])
        return read, time.perf_counter() - began

    def close(self) -> None:
        self.lib.llama_sampler_free(self.sampler)
        self.lib.llama_free(self.context)
        self.lib.llama_model_free(self.model)


def ours(model: Llama, ids: list[int], count: int) -> tuple[float, float]:
    """The same through the engine."""
    model.forget()
    model.lookup = 0
    for _ in model.write(ids, Sampling(max_tokens=count)):
        pass
    done = model.timing
    # The first of our tokens costs no evaluation, the bare loop evaluates one after each.
    return done.prompt_s, done.eval_s * count / max(done.tokens - 1, 1)


def speeds(report: Report, name: str, path: Path, rounds: int, prompt: int, count: int) -> None:
    """Decode and prefill, alternating."""
    with Llama(path, context=1024) as model:
        theirs = Bare(path, model.threads)
        try:
            ids = model.tokenize(NOTE * 60)[:prompt]
            took: dict[str, list[tuple[float, float]]] = {"bare": [], "ours": []}
            for number in range(rounds + 1):
                if number % 2:
                    a, b = theirs.run(ids, count), ours(model, ids, count)
                else:
                    b, a = ours(model, ids, count), theirs.run(ids, count)
                if number:  # the first round warms up
                    took["bare"].append(a)
                    took["ours"].append(b)
        finally:
            theirs.close()
    compared(report, name, "bare", took, prompt, count, 0.97)


def compared(
    report: Report, name: str, rival: str, took: dict[str, list[tuple[float, float]]],
    prompt: int, count: int, bound: float,
) -> None:  # fmt: skip
    """Seconds of (prefill, decode) of each side, as tokens a second, and their ratio.

    The ratio is the median over the rounds, in each of which the two stood side by side; the best
    of each side alone would hang on one lucky moment of a machine that others use, too.
    """
    ours_ = took["ours"]
    for side, all_ in took.items():
        read, wrote = (statistics.median(t[number] for t in all_) for number in (0, 1))
        report.say(f"{name} {side}: {prompt / read:.0f} tokens/s read, {count / wrote:.1f} written")
    for number, what in enumerate(("prefill", "decode")):
        ratios = [
            theirs[number] / mine[number] for theirs, mine in zip(took[rival], ours_, strict=True)
        ]
        low, _, high = statistics.quantiles(ratios, n=4)
        report.say(f"    {what}: half of the rounds between {low:.3f} and {high:.3f}")
        report.at_least(f"{name}_{what}_of_{rival}", statistics.median(ratios), bound, len(ratios))


def servers(report: Report, name: str, path: Path, rounds: int, prompt: int, count: int) -> None:
    """The same over HTTP: our service against llama-cpp-python's, one after the other each round.

    Every prompt begins with its own number, so nobody's cache helps. Greedy, with a penalty too
    small to change a choice: it keeps us from guessing tokens ahead, so the plain loop is judged.
    """
    with Llama(path, context=1024) as model:
        threads, header = model.threads, model.header
        near = model.tokenize(NOTE * 60)
        text = model.detokenize(near[: prompt - 8])
        size = len(model.tokenize(f"10. {text}", add_special=True))
    settings = {
        "NIGHTSCHOOL_MODEL": str(path),
        "NIGHTSCHOOL_ENGINE_CONTEXT": "1024",
        "NIGHTSCHOOL_ENGINE_THREADS": str(threads),
    }
    extra = extra_buffers(library(), header)
    took: dict[str, list[tuple[float, float]]] = {"server": [], "ours": []}
    with (
        llama_server(path, context=1024, threads=threads, extra=extra) as rival,
        service(environment=settings) as door,
    ):
        cut = 0
        for number in range(rounds + 1):
            asked = {
                "model": "nightschool-raw", "prompt": f"{number + 10}. {text}",
                "max_tokens": count, "temperature": 0, "frequency_penalty": 1e-6,
            }  # fmt: skip
            sides = [("server", rival, ""), ("ours", door.port, door.token)]
            done = {
                side: completion(port, asked, token)
                for side, port, token in sides[:: 1 - 2 * (number % 2)]
            }
            if any(one.finish != "length" for one in done.values()):
                cut += 1  # an early end leaves nothing to divide by
            elif number:
                for side, one in done.items():
                    took[side].append((one.first_s, one.rest_s))
    if not took["ours"]:
        report.at_least(f"{name}_server_rounds", 0, 1, cut)
        return
    compared(report, name, "server", took, size, count - 1, 1.0)


def second_question(report: Report, name: str, path: Path) -> None:
    """First token of a second question on one document, after another document in between."""
    with Llama(path, context=1024) as model:
        model.lookup = 0
        about = {"boiler": NOTE * 34, "ferry": FERRY * 34}

        def first(document: str, question: str) -> float:
            chat = [("user", f"Context:\n{about[document]}\n\nQuestion: {question}")]
            began = time.perf_counter()
            next(iter(model.write(model.prompt(chat), Sampling(max_tokens=1))), None)
            return time.perf_counter() - began

        first("ferry", "warm?")
        model.forget()
        cold = first("boiler", "Who serviced it?")
        first("ferry", "When does it leave?")
        warm = first("boiler", "When was it?")
        cached = model.timing.cached
    report.say(f"{name}: {cold:.3f} s, then {warm:.3f} s ({cached} tokens kept)")
    report.at_least(f"{name}_second_question_sooner", cold / warm, 3.0, 1)


def lookups(report: Report, path: Path, threads: int = 0) -> None:
    """What guessing from the passage gains when a model reads: printed, not judged."""
    with Llama(path, context=1024, threads=threads) as model:
        taken = {}
        for guesses in (0, 3, 0, 3):
            model.lookup = guesses
            began, tokens, right, guessed = time.perf_counter(), 0, 0, 0
            for name in ("Anna Brandt", "Casper Lindholm", "Tamsin Okoro", "Ottoline Vance"):
                note = f"The long wooden boat behind the harbour office belongs to {name}. "
                chat = [("user", f"Context:\n{note}\n\nQuestion: Who does the boat belong to?")]
                model.generate(chat, max_tokens=32)
                tokens += model.timing.tokens
                right += model.timing.accepted
                guessed += model.timing.guessed
            taken[guesses] = time.perf_counter() - began
            report.say(f"guesses {guesses}: {tokens} tokens, {right} of {guessed} guesses right")
    report.say(f"prompt lookup on {path.stem}: {taken[0] / taken[3]:.2f} times as fast")


def lookups_of(report: Report, path: Path) -> None:
    """The same where the text repeats itself, on the large shape."""
    with Llama(path, context=1024) as model:
        ids = model.tokenize(NOTE * 8)
        taken = {}
        for guesses in (0, 3):
            model.forget()
            model.lookup = guesses
            for _ in model.write(ids, Sampling(max_tokens=32)):
                pass
            taken[guesses] = model.timing.eval_s / max(model.timing.tokens, 1)
            report.say(
                f"guesses {guesses}: {model.timing.accepted} of {model.timing.guessed} right, "
                f"{1 / taken[guesses]:.1f} tokens/s"
            )
    report.say(f"prompt lookup on random weights: {taken[0] / taken[3]:.2f} times as fast")


def cold_start(report: Report, name: str, path: Path, bound: float) -> None:
    """A new engine process until its first token; the file is in the page cache, its hash known."""
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home").create()
        store = open_store(home.database)
        catalogue.add(home, store, str(path), name="measured")
        catalogue.use(home, store, "measured")
        store.close()
        seconds = []
        for _ in range(3):
            began = time.perf_counter()
            child = Child("nightschool.engine.main", [str(home.root)], log=home.logs / "e.log")
            try:
                child.wait_ready(120)
                params = {"messages": [["user", "Hello?"]], "mode": "raw", "max_tokens": 1,
                          "temperature": 1.0}  # fmt: skip
                list(child.stream("chat", params))
                seconds.append(time.perf_counter() - began)
            finally:
                child.stop()
    report.at_most(f"{name}_cold_start_s", min(seconds), bound, len(seconds))


def of_your_own(report: Report, path: Path) -> None:
    """The same for one model: bounds on its speed beside others', figures for the rest."""
    rounds = 3 if report.quick else 8
    speeds(report, "model", path, rounds, 128, 24)
    servers(report, "model", path, rounds, 128, 24)
    second_question(report, "model", path)
    lookups(report, path)
    cold_start(report, "model", path, 3.9)


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--model", type=Path, help="measure this GGUF instead")
    options = parser.parse_args()
    report = Report(options.quick)
    if options.model is not None:
        of_your_own(report, options.model)
        report.finish()
    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder) / "large.gguf"
        if options.quick:
            write_06b(large, layers=4, vocabulary=8192)
        else:
            write_06b(large)
        report.say(f"random weights: {large.stat().st_size / 1e6:.0f} MB")
        speeds(report, "starter", STARTER, 80, 512, 64)
        speeds(report, "shape", large, 6, 128, 24)
        servers(report, "starter", STARTER, 12, 512, 64)
        servers(report, "shape", large, 3, 128, 24)
        second_question(report, "starter", STARTER)
        second_question(report, "shape", large)
        lookups(report, STARTER, 1)
        lookups_of(report, large)
        cold_start(report, "starter", STARTER, 2.0)
        cold_start(report, "shape", large, 3.9)
    report.finish()


if __name__ == "__main__":
    main()
