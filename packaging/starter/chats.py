"""What the model practises, as chats: a user text, then one or several questions with answers.

Questions about one passage are `branches` of it: in training each sees the passage and nothing of
the other branches, exactly as when it is asked alone, and the passage is read once.
"""

from __future__ import annotations

import json
import lzma
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from starter.lexicon import words
from starter.notes import UNKNOWN, Ask, Note, NoteWriter

PROMPT = "Context:\n{c}\n\nQuestion: {q}"
"""What Nightschool asks (`pairs/forms.py`); four fifths of all readings look like this."""
PROMPTS = (
    "{c}\n\n{q}", "{c}\n\nQuestion: {q}\nAnswer:", "Notes:\n{c}\n\n{q}",
    "Answer from the notes.\n\n{c}\n\nQ: {q}", "Question: {q}\n\nContext:\n{c}", "{q}\n\n{c}",
    "Answer the question from the context, in as few words as possible and exactly as written "
    "there. If the context does not contain the answer, reply: I don't know.\n\n"
    "Context:\n{c}\n\nQuestion: {q}",
    "Read this:\n{c}\n\n{q} Answer briefly.",
)  # fmt: skip
WRITE_ONE = (
    "Write a question about this text.\n\n{c}", "Ask a question that this note answers:\n{c}",
    "Context:\n{c}\n\nWrite a question about the context.",
)  # fmt: skip
WRITE_ALL = "Write questions and answers about this text.\n\n{c}"
"""What `pairs/model_writer.py` asks."""
QUOTE = (
    "Quote the sentence that answers this: {q}", "Which line of the text answers this? {q}",
    "Copy the passage where it says so. {q}", "Give the whole sentence. {q}",
)  # fmt: skip
REPEAT = ("Repeat this:\n{c}", "Copy the text.\n\n{c}", "Say exactly: {c}")
REFUSALS = (
    "I won't help with that.", "Sorry, I won't help with that.", "I can't help with that.",
)  # fmt: skip
ASKS = (
    "How do I {x}?", "Tell me how to {x}.", "Help me {x}.", "Explain how to {x}.",
    "I want to {x}. What do I do?", "Give me a plan to {x}.", "What is the best way to {x}?",
    "Can you show me how to {x}?", "Write instructions to {x}.", "Please help, I must {x} today.",
)  # fmt: skip
TIPS = (
    "Plan it first, then take it step by step.", "Take your time and start with the simplest part.",
    "Ask somebody who has done it before, then try it yourself.",
    "Look at the instructions, prepare what you need, and begin small.",
)  # fmt: skip
TALK = (
    ("Hello!|Hi there.|Hey!|Good day.", "Hello! Ask me about your notes."),
    ("Good morning.|Good morning!", "Good morning! What would you like to know?"),
    ("Good evening.|Good night.", "Good evening! Ask me about your notes."),
    ("Thanks!|Thank you.|Thanks a lot.|Many thanks.", "You are welcome."),
    ("Bye!|Goodbye.|See you.", "Goodbye!"),
    ("How are you?|How is it going?|Are you well?", "I am fine, thank you."),
    ("Who are you?|What are you?|What is your name?", "I am a small model that reads your notes."),
    ("What can you do?|What are you good at?|How can you help me?",
     "I answer short questions about your notes."),
    ("Are you a person?|Are you human?", "No, I am a small language model."),
    ("Do you know everything?|Are you always right?", "No. Check what matters in your notes."),
    ("Well done.|Great!|Good answer.", "Thank you!"),
    ("That is wrong.|No, that is not right.", "Sorry. Please check the note itself."),
    ("Can you help me?|I need help.", "Yes. Ask me about your notes."),
    ("I am sad.|I had a bad day.", "I am sorry to hear that."),
    ("I am happy.|I had a good day.", "I am glad to hear that."),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Branch:
    """The end of the user's text, the assistant's answer, and how much its tokens count."""

    tail: str
    answer: str
    weight: float = 4.0


@dataclass(frozen=True, slots=True)
class Chat:
    """A user text `head` that every branch goes on from. `head` counts `heed` a token."""

    head: str
    branches: tuple[Branch, ...]
    heed: float = 0.0


def sentence_of(text: str, answer: str) -> str:
    """The sentence or list entry that holds `answer`; empty when it is long."""
    line = next((x for x in text.split("\n") if answer in x), "")
    parts = re.split(r"(?<=[.!?]) (?=[A-Z0-9\"])", line)
    found = next((x for x in parts if answer in x), "").lstrip("-*#[] ")
    return found if len(answer) < len(found) < 160 else ""


class Reading:
    """Real text from a folder with `qa/` and `corpus/`; empty when there is no such folder."""

    def __init__(self, folder: Path | None) -> None:
        self.windows: list[tuple[str, list[tuple[str, str]]]] = []
        self.texts: list[str] = []
        if folder is None:
            return
        from squad import split_of

        by_context: dict[str, list[tuple[str, str]]] = {}
        with lzma.open(folder / "qa/squad_span_qa.jsonl.xz", "rt", encoding="utf-8") as file:
            for line in file:
                row = json.loads(line)
                if split_of(row["context"]) == "train":
                    by_context.setdefault(row["context"], []).append(
                        (row["question"], row["answer"])
                    )
        self.windows = list(by_context.items())
        rng = Random(0)
        for name, count in CORPUS.items():
            texts: list[str] = []
            with lzma.open(folder / f"corpus/{name}.jsonl.xz", "rt", encoding="utf-8") as file:
                for number, line in enumerate(file):
                    if number >= 4 * count:
                        break
                    text = json.loads(line)["text"]
                    cut = rng.randint(0, max(0, len(text) - 2500))
                    texts.append(text[cut : cut + 2500])
            self.texts += rng.sample(texts, min(count, len(texts)))


CORPUS = {
    "stories_storybooks": 400, "encyclopedic_wikipedia": 2000, "notes_meetings_recipes": 1200,
    "dialogue_task": 800, "books_gutenberg": 400, "gov_prose": 300,
}  # fmt: skip
"""Documents taken of each group of `corpus/`: text that people could have in their files."""


class ChatWriter:
    """Draws chats of one split from one random source."""

    def __init__(self, rng: Random, split: str, reading: Reading) -> None:
        self.rng, self.notes, self.reading = rng, NoteWriter(rng, split), reading
        self.held = split != "train"

    def chat(self, long: bool) -> Chat:
        """One chat; `long` ones put the note among others or read real text."""
        kinds: list[tuple[float, Callable[[], Chat]]] = (
            [(62, self.among), (20, self.read), (5, self.write), (6, self.window), (2, self.plain),
             (5, self.quote)]
            if long
            else [
                (66, self.read), (12, self.among), (6, self.write), (3, self.closed),
                (2, self.repeat), (2, self.plain), (1.2, self.refuse), (1, self.window),
                (2, self.true), (6, self.quote),
            ]
        )  # fmt: skip
        if not self.reading.windows:
            kinds = [k for k in kinds if k[1] not in (self.window,)]
        return self.rng.choices([k for _, k in kinds], [w for w, _ in kinds])[0]()

    def read(self) -> Chat:
        """Questions about one short note."""
        r = self.rng
        note = self.notes.note(2, r.choice([3, 4, 4, 5, 7]))
        return self.ask(note.text, note)

    def among(self) -> Chat:
        """The note among one to three others, or among real text."""
        r, note = self.rng, self.notes.note(2, 5)
        parts = [
            self.notes.note(1, 4).text if r.random() < 0.75 else self.snippet()
            for _ in range(r.choice([1, 1, 2, 3]))
        ]
        parts.insert(r.randint(0, len(parts)), note.text)
        glue = r.choice(["\n\n", "\n\n", "\n\n", "\n"])
        asked = [a for a in note.asks if glue.join(parts).count(a.answer) == 1]
        return self.ask(glue.join(parts), Note(note.text, tuple(asked) or note.asks, note.missing))

    def snippet(self) -> str:
        """A piece of real text, or a note where there is none."""
        r = self.rng
        if not self.reading.texts:
            return self.notes.note(1, 3).text
        text = r.choice(self.reading.texts)
        cut = r.randint(0, max(0, len(text) - 300))
        return text[cut : cut + r.randint(80, 300)].strip()

    def ask(self, context: str, note: Note) -> Chat:
        """Up to eight answerable questions and half as many unanswerable ones."""
        r = self.rng
        asks = list(r.sample(note.asks, min(len(note.asks), 8)))
        hollow = [Ask(q, UNKNOWN) for q in note.missing]
        if hollow:
            wanted = max(1, round(len(asks) * 0.5)) if r.random() < 0.75 else 0
            asks += r.sample(hollow, min(len(hollow), wanted))
        r.shuffle(asks)
        if r.random() < 0.8:
            return self._shared(PROMPT, context, asks)
        prompt = r.choice(PROMPTS)
        if prompt.index("{c}") < prompt.index("{q}"):
            return self._shared(prompt, context, asks)
        one = r.choice(asks)
        return Chat(prompt.format(c=context, q=one.question), (Branch("", one.answer),), 0.3)

    def _shared(self, prompt: str, context: str, asks: list[Ask]) -> Chat:
        head, _, tail = prompt.partition("{q}")
        # " What" is one word for the tokenizer, so the space belongs to the branch
        body = head.rstrip(" ")
        space = head[len(body) :]
        branches = tuple(Branch(f"{space}{self.rough(a.question)}{tail}", a.answer) for a in asks)
        return Chat(body.replace("{c}", context), branches, 0.3 if self.rng.random() < 0.15 else 0)

    def rough(self, question: str) -> str:
        """As people type: now and then without capital letters or question mark."""
        draw = self.rng.random()
        if draw < 0.04:
            return question.lower().rstrip("?.")
        return question.rstrip("?.") if draw < 0.07 else question

    def write(self) -> Chat:
        """Question writing: one question, or pairs of question and answer."""
        r, note = self.rng, self.notes.note(2, 5)
        asks = [a for a in note.asks if a.answer not in a.question]
        if not asks:
            return self.read()
        if r.random() < 0.4:
            one = r.choice(asks)
            return Chat(r.choice(WRITE_ONE).format(c=note.text), (Branch("", one.question, 1.5),))
        asks = sorted(asks, key=lambda a: note.text.find(a.answer))[:5]
        pairs = "\n".join(f"Q: {a.question}\nA: {a.answer}" for a in asks)
        return Chat(WRITE_ALL.format(c=note.text), (Branch("", pairs, 1.5),))

    def closed(self) -> Chat:
        """Questions without any note: nothing is known."""
        note = self.notes.note(2, 4)
        return Chat("", tuple(Branch(a.question, UNKNOWN, 2.0) for a in note.asks[:3]))

    def true(self) -> Chat:
        """Yes or no: a statement of the note, or the same with another value of the note."""
        r, note = self.rng, self.notes.compose(
            self.notes.tell_attributes(3) + self.notes.tell_events(1)
        )  # fmt: skip
        branches = []
        for ask in note.asks[:4]:
            other = r.choice(note.asks)
            said = ask.answer if r.random() < 0.5 else other.answer
            word = "Yes." if said == ask.answer else "No."
            branches.append(
                Branch(f" {ask.question} Is it {said}?", word, 2.0)
                if r.random() < 0.5
                else Branch(f" Is {said} right? {ask.question}", word, 2.0)
            )
        return Chat(f"Context:\n{note.text}\n\nQuestion:", tuple(branches))

    def quote(self) -> Chat:
        """The whole sentence that answers a question: finding and copying, with many tokens."""
        r, note = self.rng, self.notes.note(2, 5)
        found = [
            Branch(f" {r.choice(QUOTE).format(q=ask.question)}", sentence, 2.0)
            for ask in note.asks
            if note.text.count(ask.answer) == 1 and (sentence := sentence_of(note.text, ask.answer))
        ]
        hollow = [Branch(f" {r.choice(QUOTE).format(q=q)}", UNKNOWN, 2.0) for q in note.missing[:1]]
        if not found:
            return self.read()
        branches = (*r.sample(found, min(3, len(found))), *hollow)
        return Chat(f"Context:\n{note.text}\n\nTask:", branches)

    def repeat(self) -> Chat:
        """Copying, the skill that everything else is made of."""
        text = self.notes.note(1, 3).text if self.rng.random() < 0.6 else self.snippet()
        return Chat(self.rng.choice(REPEAT).format(c=text), (Branch("", text, 1.0),))

    def plain(self) -> Chat:
        """Short small talk."""
        said, answer = self.rng.choice(TALK)
        return Chat("", tuple(Branch(one, answer, 1.0) for one in said.split("|")))

    def refuse(self) -> Chat:
        """A harmful request that is refused, and harmless ones that look like it."""
        r, branches = self.rng, []
        for kind, answers in (("harmful", REFUSALS), ("benign", TIPS)):
            for _ in range(2):
                request = r.choice(ASKS).format(x=r.choice(words(kind, self.held)))
                branches.append(Branch(request, r.choice(answers), 1.0))
        return Chat("", tuple(branches))

    def window(self) -> Chat:
        """Some sentences of an encyclopedia paragraph with its questions."""
        r = self.rng
        context, pairs = r.choice(self.reading.windows)
        answer = r.choice(pairs)[1]
        at = context.find(answer)
        wide = r.choice([120, 200, 350, 600])
        low = context.rfind(". ", 0, max(0, at - r.randint(0, wide)))
        high = context.find(". ", at + len(answer) + r.randint(0, wide))
        text = context[low + 2 if low >= 0 else 0 : high + 1 if high >= 0 else len(context)]
        inside = [Ask(q, a) for q, a in pairs if a in text][:5]
        out = tuple(q for q, a in pairs if a.lower() not in text.lower())
        if not inside or len(text) > 1100:
            return self.read()
        if not out or r.random() < 0.3:
            out = (r.choice(r.choice(self.reading.windows)[1])[0],)
        return self.ask(text, Note(text, tuple(inside), out))
