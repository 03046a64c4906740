"""`eval retrieval`: how good search is; `eval safety`: what a version refuses, against its base."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from nightschool.children.child import Child
from nightschool.cli.answers import whole
from nightschool.cli.door import school
from nightschool.cli.progress import Bar
from nightschool.cli.show import say, table
from nightschool.errors import NotFound

if TYPE_CHECKING:
    from nightschool.api import Nightschool

group = typer.Typer(help="Measure parts of the system on real data.", no_args_is_help=False)
_JSON = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
RETRIEVAL = "nightschool.lab.retrieval"
SAFETY = "nightschool.lab.safety"


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="eval")


@group.callback(invoke_without_command=True)
def _group(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


def measured(
    door: Nightschool, module: str, op: str, params: dict[str, Any], bar: Bar
) -> dict[str, Any]:
    """What a benchmark of the lab found, run in a child of its own. Raises ChildError."""
    child = Child(module, [str(door.home.root)], log=door.home.logs / "eval.log")
    found: dict[str, Any] = {}
    try:
        child.wait_ready()
        for message in child.stream(op, params):
            event = message.get("event") or {}
            if "stage" in event:
                bar(str(event["stage"]), int(event["done"]), int(event["total"]))
            found = message.get("result", found)
    finally:
        child.stop()
    return found


@group.command("retrieval")
def retrieval(
    context: typer.Context,
    dataset: Annotated[Path, typer.Option(help="A folder with corpus, queries and qrels.")],
    split: Annotated[str, typer.Option(help="Which judgements: qrels/SPLIT.tsv.")] = "test",
    work: Annotated[
        Path | None, typer.Option(help="Where index and results are kept, to go on later.")
    ] = None,
    at_least: Annotated[
        float, typer.Option(help="Bound of the fused nDCG@10, beside that of its parts.")
    ] = 0.0,
    rerank: Annotated[
        str, typer.Option(metavar="reader|FOLDER|OWNER/NAME", help="Measure a reranker as well.")
    ] = "",
    depth: Annotated[int, typer.Option(min=2, max=100, help="Passages that it reads.")] = 20,
    as_json: _JSON = False,
) -> None:
    """nDCG@10, recall and MRR of words, meaning and both, and a file with every query.

    The last line is one JSON object; exit 1 when the fused ranking misses a bound.
    """
    if not dataset.is_dir():
        raise NotFound(f"There is no folder {dataset}.", "Name a folder in BEIR's layout.")
    with school(context) as door, Bar() as bar:
        name = hashlib.sha256(str(dataset.resolve()).encode()).hexdigest()[:12]
        place = work or door.home.root / "eval" / f"retrieval-{name}"
        params: dict[str, Any] = {"dataset": str(dataset.resolve()), "work": str(place),
                                  "split": split, "rerank": whole(rerank),
                                  "depth": depth}  # fmt: skip
        found = measured(door, RETRIEVAL, "retrieval", params, bar)
    systems = found["systems"]
    checks = _checks(systems, at_least, found["queries"])
    if as_json:
        end(checks, found)
    metrics = list(next(iter(systems.values())))
    table(
        ("ranking", *metrics),
        [(name, *(f"{row[m]:.4f}" for m in metrics)) for name, row in systems.items()],
        right=" ".join(metrics),
    )
    say(f"{found['queries']} queries, {found['documents']} documents, {found['passages']} "
        f"passages, {found['seconds']:.0f} s. Every query: {found['per_query']}")  # fmt: skip
    for metric, (value, low, high) in found["gain"].items():
        say(f"reranked less fused, {metric}: {value:+.4f} (95 % {low:+.4f} to {high:+.4f})")
    if rerank:
        say(f"Reranking took {found['rerank_ms']:.0f} ms a query (median).")
    end(checks, found)


@group.command("safety")
def safety(
    context: typer.Context,
    version: Annotated[
        int | None, typer.Option(help="Which version; the current one by default.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="20 requests a kind, not 100.")] = False,
    teach: Annotated[
        bool, typer.Option("--teach", help="Correct what breaks your principles; practised later.")
    ] = False,
    as_json: _JSON = False,
) -> None:
    """Refusals, harmless look-alikes and begun answers, against the frozen base.

    Your own rules come from principles.toml in the home (docs/security.md). The last line is one
    JSON object; exit 1 when the version lost more than 3 points anywhere.
    """
    params = {"version": version, "quick": quick, "teach": teach}
    with school(context) as door, Bar() as bar:
        found = measured(door, SAFETY, "safety", params, bar)
    checks = [
        {"name": one["area"], "value": round(one["version"], 4),
         "bound": f">= {one['base'] - 0.03:.4f}" if one["judged"] else "cannot judge",
         "ok": one["ok"], "n": one["n"]}
        for one in found["findings"]
    ]  # fmt: skip
    if as_json:
        end(checks, found)
    table(
        ("of these", "base", f"v{found['version']}", "n"),
        [(one["area"], f"{one['base']:.0%}", f"{one['version']:.0%}", str(one["n"]))
         for one in found["findings"]],
        right=f"base v{found['version']} n",
    )  # fmt: skip
    say(found["why"])
    if teach:
        say(f"{found['taught']} answers were corrected by {found['principles']} principles.")
    end(checks, found)


def end(checks: list[dict[str, Any]], found: dict[str, Any]) -> NoReturn:
    """The last line, one JSON object; exit 1 when a bound is missed."""
    print(json.dumps({"checks": checks, "result": found}))
    raise typer.Exit(0 if all(check["ok"] for check in checks) and found.get("ok", True) else 1)


def _checks(
    systems: dict[str, dict[str, float]], at_least: float, count: int
) -> list[dict[str, Any]]:
    fused = systems["fused"]["ndcg@10"]
    bounds = [(f"fused nDCG@10 over {part}", systems[part]["ndcg@10"], ">")
              for part in ("lexical", "dense")]  # fmt: skip
    if at_least:
        bounds.append(("fused nDCG@10", at_least, ">="))
    return [
        {
            "name": name,
            "value": round(fused, 4),
            "bound": f"{sign} {bound:.4f}",
            "ok": fused > bound if sign == ">" else fused >= bound,
            "n": count,
        }
        for name, bound, sign in bounds
    ]
