"""The native routes that look after the service: settings, models, practice, copies, jobs.

What takes long, or needs heavy parts, is a job: the command itself in a process of its own. It is
started by a 202 with a number, and `/ns/job` says how far it is and what came of it. Which verb of
the command is which route is in `serve.verbs`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from nightschool.serve.fields import Field
from nightschool.serve.operation import Operation, named
from nightschool.serve.problems import Invalid
from nightschool.serve.service import Json, Service

_STATUSES = ("waiting", "auto", "agreed", "approved", "rejected")
_LIMIT = Field("limit", "integer", "At most this many.", default=100, low=1, high=1000)
_KEY = Field("key", "string", "For example learn.window.", required=True)
_MODEL = Field("name", "string", "A model's name; empty is the one in use.", default="")
_JOB = Field("number", "integer", "Its number.", required=True, low=1, high=10**9)
_FLAG = Field("force", "boolean", "Replace a file that exists.", default=False)
_MOST_IDS = 10_000


def _ids(given: Any) -> list[int]:
    if (
        not isinstance(given, list)
        or not 0 < len(given) <= _MOST_IDS
        or any(isinstance(item, bool) or not isinstance(item, int) for item in given)
        or any(not 0 < item < 2**53 for item in given)
    ):
        raise Invalid(f"'ids' is a list of 1 to {_MOST_IDS} numbers of pairs.", "ids")
    return given


def _absolute(given: str, name: str) -> str:
    if not PurePath(given).is_absolute():
        raise Invalid(f"{name!r} must be an absolute path of the service's machine.", name)
    return given


def _options(values: Mapping[str, Any], **names: str) -> list[str]:
    """`--name=value` of what was given. One word each, so that no value is taken for an option."""
    found = []
    for name, option in names.items():
        value = values[name]
        if value is True:
            found.append(option)
        elif value not in (None, False, ""):
            found.append(f"{option}={value}")
    return found


async def _start(
    service: Service,
    verb: str,
    words: Sequence[str],
    secrets: Mapping[str, str] | None = None,
) -> Json:
    return await service.desk.start(verb, [*verb.split(), *words], secrets or {})


async def _doctor(service: Service, values: Json) -> Json:
    return await _start(service, "doctor", [] if values["engine"] else ["--quick"])


async def _retrieval(service: Service, values: Json) -> Json:
    values = values | {"dataset": _absolute(values["dataset"], "dataset")}
    words = _options(values, dataset="--dataset", split="--split", at_least="--at-least")
    return await _start(service, "eval retrieval", words)


async def _safety(service: Service, values: Json) -> Json:
    words = _options(values, version="--version", quick="--quick", teach="--teach")
    return await _start(service, "eval safety", words)


async def _add_model(service: Service, values: Json) -> Json:
    words = _options(values, name="--name", copy="--copy")
    words += [] if values["exam"] else ["--no-exam"]
    return await _start(service, "model add", [*words, "--", values["source"]])


async def _bench(service: Service, values: Json) -> Json:
    return await _start(service, "model bench", ["--", values["name"]])


async def _exam(service: Service, values: Json) -> Json:
    return await _start(service, "model exam", ["--", values["name"]])


async def _quantize(service: Service, values: Json) -> Json:
    words = _options(values, to="--as", again="--again")
    return await _start(service, "model quantize", [*words, "--", values["kind"], values["name"]])


async def _export(service: Service, values: Json) -> Json:
    file = _absolute(values["file"], "file")
    words = _options(values, force="--force")
    secrets = {}
    if values["passphrase"]:
        words.append("--encrypt")
        secrets = {"NIGHTSCHOOL_PASSPHRASE": values["passphrase"]}
    return await _start(service, "export", [*words, "--", file], secrets)


OPERATIONS: tuple[Operation, ...] = (
    Operation("GET", "/ns/config", "config", "The settings: values, origins, mistakes.",
              lambda s, v: s.desk.settings(everything=v["all"] == "yes"),
              (Field("all", "string", "yes: defaults too.", default="no",
                     choices=("yes", "no")),),
              "`file`, `settings`, `problems`, `service`"),
    Operation("GET", "/ns/config/explain", "config_explain",
              "What a setting means, may be and is.", lambda s, v: s.desk.explain(v["key"]),
              (_KEY,), "The setting"),
    Operation("POST", "/ns/config", "config_set",
              "Write one setting; the service takes it in at once. Not those of the door itself.",
              lambda s, v: s.desk.put(v["key"], v["value"]),
              (_KEY, Field("value", "string", "As it is written after `config set`.",
                           required=True)), "The setting, and what waits for a restart"),
    Operation("POST", "/ns/config/unset", "config_unset", "Let a setting's default hold again.",
              lambda s, v: s.desk.unset(v["key"]), (_KEY,), "As for setting it"),
    Operation("GET", "/ns/models", "models", "The base models, and what each can do here.",
              lambda s, v: s.desk.models(), returns="`models`, `used`"),
    Operation("GET", "/ns/models/card", "model_card", "What one model is and takes.",
              lambda s, v: s.desk.card(v["name"]), (_MODEL,), "The model"),
    Operation("POST", "/ns/models/use", "model_use",
              "Choose the base that answers and learns; says what becomes of the versions.",
              lambda s, v: s.desk.use_model(v["name"], dry_run=v["dry_run"], exam=v["exam"]),
              (Field("name", "string", "A model's name.", required=True),
               Field("dry_run", "boolean", "Only say what would happen.", default=False),
               Field("exam", "boolean", "Examine one that was not yet, as a job.", default=True)),
              "`model`, `changes`, `done`, `examined`, `job` (its exam, or null)"),
    Operation("POST", "/ns/models/add", "model_add", "Make a model known.", _add_model,
              (Field("source", "string", "A .gguf file, ollama:, lmstudio: or hf: name.",
                     required=True),
               Field("name", "string", "What to call it.", default=""),
               Field("copy", "boolean", "Copy the file into the home.", default=False),
               Field("exam", "boolean", "Examine it, too.", default=True)),
              "The job", 202),
    Operation("POST", "/ns/models/bench", "model_bench",
              "Measure a model on this machine.", _bench, (_MODEL,), "The job", 202),
    Operation("POST", "/ns/models/exam", "model_exam",
              "Examine a model: does it read, abstain and chat?", _exam, (_MODEL,), "The job", 202),
    Operation("POST", "/ns/models/quantize", "model_quantize",
              "Make a smaller file of a model and measure both.", _quantize,
              (Field("kind", "string", "For example Q4_K_M.", required=True), _MODEL,
               Field("to", "string", "What to call the new model.", default=""),
               Field("again", "boolean", "Also from a quantised file.", default=False)),
              "The job", 202),
    Operation("GET", "/ns/pairs", "pairs", "The facts to practise, those that wait first.",
              lambda s, v: named("pairs", s.desk.facts(v["status"] or "", v["limit"])),
              (Field("status", "string", "Only these.", choices=_STATUSES), _LIMIT), "`pairs`"),
    Operation("GET", "/ns/pairs/export", "pairs_export", "Every practice pair that is in use.",
              lambda s, v: named("pairs", s.desk.practice()), returns="`pairs`"),
    Operation("POST", "/ns/pairs/decide", "pairs_decide", "Approve or reject facts.",
              lambda s, v: named("pairs", s.desk.decide(_ids(v["ids"]), v["status"])),
              (Field("ids", "array", "Numbers of pairs; each stands for its fact.", required=True),
               Field("status", "string", "What they become.", required=True,
                     choices=("approved", "rejected"))), "`pairs`"),
    Operation("POST", "/ns/pairs/edit", "pairs_edit", "Reword a question, or mend an answer.",
              lambda s, v: s.desk.edit(v["number"], v["question"], v["answer"]),
              (Field("number", "integer", "The pair.", required=True, low=1, high=2**53),
               Field("question", "string", "Its new wording.", default=""),
               Field("answer", "string", "The fact's answer, in the passage's words.",
                     default="")), "The fact"),
    Operation("GET", "/ns/feedback", "judgements", "What was said of answers, newest first.",
              lambda s, v: named("feedback", s.desk.judged()), returns="`feedback`"),
    Operation("GET", "/ns/backups", "backups", "The copies of the database.",
              lambda s, v: named("backups", s.desk.backups()), returns="`backups`"),
    Operation("POST", "/ns/backups", "backup", "Copy the database now.",
              lambda s, v: named("backups", s.desk.back_up()), returns="`backups`"),
    Operation("GET", "/ns/servers", "servers", "The MCP servers whose tools the model may call.",
              lambda s, v: named("servers", s.desk.servers()), returns="`servers`"),
    Operation("POST", "/ns/servers/remove", "server_remove", "Take one of them out.",
              lambda s, v: named("servers", s.desk.remove_server(v["name"])),
              (Field("name", "string", "Its name.", required=True),), "`servers`"),
    Operation("POST", "/ns/doctor", "doctor", "Look at everything that is needed.", _doctor,
              (Field("engine", "boolean", "Start the engine too.", default=False),),
              "The job", 202),
    Operation("POST", "/ns/eval/retrieval", "eval_retrieval", "Measure search on a data set.",
              _retrieval,
              (Field("dataset", "string", "Absolute path of a folder in BEIR's layout.",
                     required=True),
               Field("split", "string", "Which judgements.", default="test"),
               Field("at_least", "number", "Bound of the fused nDCG@10.", default=0.0, low=0,
                     high=1)), "The job", 202),
    Operation("POST", "/ns/eval/safety", "eval_safety", "Refusals against the frozen base.",
              _safety,
              (Field("version", "integer", "Which version.", low=0, high=10**9),
               Field("quick", "boolean", "20 requests a kind.", default=False),
               Field("teach", "boolean", "Correct what breaks your principles.", default=False)),
              "The job", 202),
    Operation("POST", "/ns/export", "export", "Write all of it into one file.", _export,
              (Field("file", "string", "Absolute path of the file to write.", required=True),
               Field("passphrase", "string", "Seal it with this.", default=""), _FLAG),
              "The job", 202),
    Operation("GET", "/ns/jobs", "jobs", "The newest jobs first.",
              lambda s, v: named("jobs", s.desk.jobs()), returns="`jobs`"),
    Operation("GET", "/ns/job", "job", "How far a job is, and what came of it.",
              lambda s, v: s.desk.job(v["number"]), (_JOB,), "The job"),
    Operation("POST", "/ns/job/cancel", "job_cancel", "End a job.",
              lambda s, v: s.desk.cancel(v["number"]), (_JOB,), "The job"),
)  # fmt: skip
