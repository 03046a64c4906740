"""From bytes to redacted passages with locators, and what is refused with which reason."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightschool.errors import ParseError
from nightschool.ingest.chunk import MAX_TOKENS, tokens
from nightschool.ingest.reading import Reading, read
from nightschool.ingest.redact import Redactor, find
from nightschool.ingest.sandbox import Sandbox
from nightschool.models.minilm import package_dir
from nightschool.models.wordpiece import WordPiece

VAULT = Path(__file__).parent.parent / "src" / "nightschool" / "examples" / "vault"


def texts(data: str | bytes, path: str = "note.md") -> list[str]:
    return [item.text for item in read(_bytes(data), path).chunks]


def _bytes(data: str | bytes) -> bytes:
    return data.encode() if isinstance(data, str) else data


def pdf(*pages: list[str], extra: str = "") -> bytes:
    """A small PDF with one line of text under the other."""
    objects = ["<</Type/Catalog/Pages 2 0 R>>", ""]
    kids = []
    for lines in pages:
        shown = " ".join(f"({line}) Tj 0 -16 Td" for line in lines)
        stream = f"BT /F1 12 Tf 50 780 Td {shown} ET"
        objects.append(f"<</Length {len(stream)}>>stream\n{stream}\nendstream")
        kids.append(len(objects) + 1)
        objects.append(
            "<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Resources<</Font<</F1<</Type/Font"
            f"/Subtype/Type1/BaseFont/Helvetica>>>>>>/Contents {len(objects)} 0 R>>"
        )
    objects[1] = f"<</Type/Pages/Count {len(kids)}/Kids[{' '.join(f'{kid} 0 R' for kid in kids)}]>>"
    out = b"%PDF-1.4\n"
    places = []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode("latin-1")
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    return out + (
        f"xref\n0 {len(places) + 1}\n0000000000 65535 f \n{table}"
        f"trailer\n<</Size {len(places) + 1}/Root 1 0 R{extra}>>\nstartxref\n{len(out)}\n%%EOF"
    ).encode("latin-1")


# -- reading formats -----------------------------------------------------------------------------


def test_a_short_note_is_one_passage_with_its_lines() -> None:
    reading = read(b"# Boiler\n\nServiced in May.\n\n- red tap\n- blue tap\n", "House/Boiler.md")
    (only,) = reading.chunks
    assert reading.title == "Boiler"
    assert only.text == "Boiler\n\nServiced in May.\n\n- red tap\n- blue tap"
    assert str(only.locator) == "House/Boiler.md:1-6 › Boiler"


def test_a_note_without_a_heading_is_called_by_its_file_name() -> None:
    assert read(b"Only text.", "Diary/2025-01-25.md").title == "2025-01-25"


def test_front_matter_stays_as_key_and_value() -> None:
    reading = read(
        b'---\ntitle: "A trip"\ntags:\n  - sea\n  - train\nempty:\nlist: []\n---\nWe went.\n',
        "t.md",
    )
    assert reading.title == "A trip"
    assert reading.chunks[0].text == "title: A trip\ntags: sea, train\n\nWe went."
    assert reading.chunks[0].locator.lines == (2, 9)


def test_marks_of_markdown_go_and_words_stay() -> None:
    note = (
        "See [[People/Bram Orrel|Bram]] and [[Wren]], ![[photo.png]] **bold** _thin_ ==marked== "
        "snake_case_name `code_with_*stars*` [site](https://example.org/x) [other](note.md) ^block1"
    )
    assert texts(note) == [
        "See Bram and Wren,  bold thin marked snake_case_name code_with_*stars* "
        "site (https://example.org/x) other"
    ]


def test_comments_are_not_read() -> None:
    note = "One.\n\n<!-- hidden\nlines -->\n\nTwo %%aside%% three.\n\n%%\nblock\n%%\n\nFour.\n"
    (only,) = read(note.encode(), "n.md").chunks
    assert only.text == "One.\n\nTwo  three.\n\nFour."
    assert only.locator.lines == (1, 12)


def test_code_stays_whole_and_is_not_taken_for_markdown() -> None:
    assert texts("Text.\n\n```sh\n# not a heading\n\n| no | table |\n```\n") == [
        "Text.\n\n# not a heading\n\n| no | table |"
    ]


def test_long_tables_are_cut_by_rows_and_repeat_their_head() -> None:
    rows = [f"| part {n} | supplier number {n} of the town | {n} pounds |" for n in range(60)]
    note = "# Parts\n\n| Part | Supplier | Price |\n|:--|:-:|--:|\n" + "\n".join(rows)
    chunks = read(note.encode(), "parts.md").chunks
    assert len(chunks) > 4
    seen: list[str] = []
    for item in chunks:
        assert "| Part | Supplier | Price |\n|---|---|---|\n" in item.text
        own = [line for line in item.text.split("\n") if line.startswith("| part")]
        assert item.locator.lines is not None
        # The first row of the table stands on line 5 of the file.
        assert own[-1] == rows[item.locator.lines[1] - 5]
        seen += own
    assert seen == rows


def test_passages_keep_to_their_top_heading() -> None:
    long = "The river rises in the hills and passes three mills before it meets the sea. " * 6
    note = f"# River\n\n{long}\n\n## Mills\n\n{long}\n\n### Upper mill\n\nIt is closed.\n\n"
    note += "## Sea\n\nEnd."
    chunks = read(note.encode(), "river.md").chunks
    assert [item.locator.headings for item in chunks] == [
        ("River",),
        ("River", "Mills"),
        ("River", "Sea"),
    ]
    assert chunks[1].text.endswith("Upper mill\n\nIt is closed.")
    assert [item.locator.lines for item in chunks] == [(1, 3), (5, 11), (13, 15)]


def test_long_paragraphs_are_cut_between_sentences() -> None:
    sentences = [f"On day {n} Mr. Orrel wrote {n * 7} words about the weather." for n in range(80)]
    chunks = read(" ".join(sentences).encode(), "diary.txt").chunks
    assert len(chunks) > 3
    assert all(tokens(item.text) <= MAX_TOKENS for item in chunks)
    assert " ".join(item.text for item in chunks) == " ".join(sentences)
    assert all(item.text.startswith("On day") and item.text.endswith(".") for item in chunks)
    assert {item.locator.lines for item in chunks} == {(1, 1)}


def test_lines_broken_by_an_editor_are_joined_and_others_stay() -> None:
    note = (
        "Price: 82 pounds, paid in cash on the day of the visit itself\nTuner: Leo\n\n"
        "The piano was a quarter-tone flat in the top octave, and two\nhammers were felted again.\n"
    )
    (text,) = texts(note, "receipt.txt")
    assert text.split("\n\n") == [
        "Price: 82 pounds, paid in cash on the day of the visit itself\nTuner: Leo",
        "The piano was a quarter-tone flat in the top octave, and two hammers were felted again.",
    ]


def test_locators_name_the_lines_where_the_text_stands() -> None:
    """For every file of the vault with lines: each word of a passage stands on its lines."""
    checked = 0
    for file in sorted(VAULT.rglob("*")):
        if file.suffix not in (".md", ".txt"):
            continue
        lines = file.read_text(encoding="utf-8").split("\n")
        for item in read(file.read_bytes(), file.name).chunks:
            assert item.locator.lines is not None
            first, last = item.locator.lines
            there = "\n".join(lines[first - 1 : last])
            for word in item.text.split():
                stripped = word.strip("|*_,.")
                assert stripped.strip("-") == "" or stripped in there, (file.name, word)
            checked += 1
    assert checked > 60


def test_no_passage_is_cut_by_the_encoder_and_no_word_of_the_vault_is_lost() -> None:
    vocabulary = (package_dir() / "vocab.txt").read_text(encoding="utf-8").splitlines()
    encoder = WordPiece(vocabulary)
    for file in sorted(VAULT.rglob("*.md")):
        chunks = read(file.read_bytes(), file.name).chunks
        for item in chunks:
            # 256 with [CLS], [SEP] and a title of a few words on top
            assert len(encoder.encode(item.text)) <= 230, (file.name, item.locator)
        found = set(re.findall(r"\w+", " ".join(item.text for item in chunks)))
        source = re.sub(r"\[\[[^\]|]*\|", "[[", file.read_text(encoding="utf-8"))
        assert set(re.findall(r"\w+", source)) <= found, file.name


def test_html_gives_what_a_reader_sees() -> None:
    page = """<html><head><title>Shop - Line 14</title><script>var x = "evil"</script></head><body>
      <nav><a>Start</a></nav><div class="cookie-banner">We use cookies</div>
      <h1>Line 14</h1><p>The winter   timetable<br>is valid.</p>
      <p style="display: none">hidden words</p>
      <ul><li>one<ul><li>deep</li></ul></li><li>two</li></ul>
      <table><tr><th>Stop</th><th>Bus</th></tr><tr><td>Ford Lane</td><td>05:50</td></tr></table>
      <dl><dt>Fare</dt><dd>2.40</dd></dl><pre>a
  b</pre><footer>Imprint</footer></body></html>"""
    reading = read(page.encode(), "line.html")
    assert reading.title == "Line 14"
    (only,) = reading.chunks
    assert only.text == (
        "Line 14\n\nThe winter timetable\nis valid.\n\n- one\n  - deep\n- two\n\n"
        "| Stop | Bus |\n|---|---|\n| Ford Lane | 05:50 |\n\nFare: 2.40\n\na\n  b"
    )
    assert str(only.locator) == "line.html › Line 14"


def test_html_declares_its_encoding() -> None:
    page = '<meta charset="iso-8859-1"><p>Das Häuschen am See</p>'.encode("latin-1")
    assert texts(page, "see.html") == ["Das Häuschen am See"]


def test_pdf_text_has_its_page_and_loses_its_running_heads() -> None:
    pages = [
        ["Harrowmere Gazette", f"Chapter {n} tells of the number {n * 11}.", f"Page {n}"]
        for n in range(1, 5)
    ]
    chunks = read(pdf(*pages), "book.pdf").chunks
    assert [(item.locator.page, item.text) for item in chunks] == [
        (n, f"Chapter {n} tells of the number {n * 11}.") for n in range(1, 5)
    ]
    assert str(chunks[2].locator) == "book.pdf p. 3"


# -- encodings and refusals ----------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_marked_and_utf8_text_is_read_without_a_note(encoding: str) -> None:
    reading = read("Grüße aus Łódź, € 5".encode(encoding), "n.txt")
    assert (reading.chunks[0].text, reading.note) == ("Grüße aus Łódź, € 5", "")


def test_a_guessed_encoding_is_noted() -> None:
    text = "Das Café in der Straße ist schön, und die Bäume blühen früh. " * 3
    reading = read(text.encode("cp1252"), "n.txt")
    assert reading.note.startswith("read as ")
    assert "schön" in reading.chunks[0].text


def test_terminal_codes_and_invisible_characters_do_not_survive() -> None:
    assert texts("pla\u200bin \x1b[31mred\x1b[0m \x07text\r\nnext", "n.txt") == [
        "plain red text\nnext"
    ]


@pytest.mark.parametrize(
    ("data", "path", "reason"),
    [
        (b"", "n.md", "empty file"),
        (b"   \n\n", "n.md", "no text"),
        (b"\x7fELF\x02\x01", "n.txt", "not text"),
        (bytes(range(256)) * 40, "n.txt", "not text"),
        (b"PK\x03\x04 a zip", "n.md", "not text"),
        (b"x", "n.docm.bak", "type .bak is not read"),
        (b"x", "LICENSE", "without a type"),
        (b"%PDF-1.4 cut", "n.pdf", "damaged or cut off"),
        (pdf(["Enough text to be worth reading."])[:300], "n.pdf", "damaged or cut off"),
        (pdf([""]), "n.pdf", "needs OCR"),
        (
            pdf(
                ["Secret text of a contract."],
                extra="/ID[<00><00>]/Encrypt<</Filter/Standard/V 1/R 2/P -4"
                f"/O<{'41' * 32}>/U<{'42' * 32}>>>",
            ),
            "n.pdf",
            "encrypted",
        ),
        (b"<html><script>only()</script></html>", "n.html", "no text"),
        (b"<b>" * 5000 + b"x", "n.html", "nested too deeply"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_read_says_why(data: bytes, path: str, reason: str) -> None:
    with pytest.raises(ParseError, match=reason):
        read(data, path)


LONG = "Another sentence, longer than the others. And one more. " * 8
LINES = st.sampled_from(
    ["# Title", "## Part", "### Sub", "", "", "Some words here.", "- item one", "  - deeper",
     "1. first", "| a | b |", "|---|---|", "| 1 | 2 |", "```", "> quoted", "---", "key: value",
     "***", "===", LONG, "[[link|name]]", "%%", "<!--"]
)  # fmt: skip


@given(st.lists(LINES, max_size=40))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_any_markdown_gives_ordered_passages_in_its_lines(lines: list[str]) -> None:
    note = "\n".join(lines)
    try:
        chunks = read(note.encode() or b" ", "n.md").chunks
    except ParseError as error:
        assert error.message == "no text in it"
        return
    assert [item.ordinal for item in chunks] == list(range(len(chunks)))
    for item in chunks:
        assert item.text.strip()
        assert item.locator.lines is not None
        first, last = item.locator.lines
        assert 1 <= first <= last <= len(note.split("\n"))
    words = re.findall(r"sentence|item one|deeper|first|quoted|Some words", note)
    if "<!--" not in note and "%%" not in note and "---" not in lines[:1]:
        found = "\n".join(item.text for item in chunks)
        assert re.findall(r"sentence|item one|deeper|first|quoted|Some words", found) == words


@given(st.binary(max_size=400), st.sampled_from(["a.md", "a.txt", "a.html"]))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_any_bytes_are_read_or_refused_with_a_reason(data: bytes, path: str) -> None:
    try:
        assert all(item.text for item in read(data, path).chunks)
    except ParseError as error:
        assert error.message


# -- secrets -------------------------------------------------------------------------------------

SECRETS = [
    ("password", "Wifi password: teapot-Gannet-5519", "teapot-Gannet-5519"),
    ("password", "The password for the router is Orchid!77.", "Orchid!77"),
    ("password", "passphrase = correct horse battery staple", "correct horse battery staple"),
    ("password", "Password:\n    on-the-next-line", "on-the-next-line"),
    ("password", '"password": "j5on-Value"', "j5on-Value"),
    ("password", "| Site | Password |\n|---|---|\n| bank | fish77sky |", "fish77sky"),
    ("code", "PIN: 4821", "4821"),
    ("code", "the alarm code is 99 17 23", "99 17 23"),
    ("code", "Door code for the cellar: 5519", "5519"),
    ("token", "key AKIAIOSFODNN7EXAMPLE used", "AKIAIOSFODNN7EXAMPLE"),
    ("token", "used ghp_abcdefghijklmnopqrstuvwxyz0123456789 once", "ghp_abcdefghijklmnopqrs"),
    ("token", "api key: 9f8e7d6c5b4a39281706f5e4", "9f8e7d6c5b4a39281706f5e4"),
    ("token", "https://me:hunter2@example.org/", "hunter2"),
    ("token", "sk-proj-Abcdefghijklmnop1234567890", "sk-proj-Abcdefghijklmnop1234567890"),
    ("card number", "Visa 4111 1111 1111 1111 until 08/27", "4111 1111 1111 1111"),
    ("IBAN", "to DE89 3704 0044 0532 0130 00 please", "DE89 3704 0044 0532 0130 00"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "text", "secret"), SECRETS)
def test_secrets_are_redacted_by_kind(kind: str, text: str, secret: str) -> None:
    reading = read(f"A note.\n\n{text}\n\nThe end of it.".encode(), "n.md")
    safe = "\n".join(item.safe for item in reading.chunks)
    assert secret in "\n".join(item.text for item in reading.chunks)
    assert secret not in safe
    assert f"[redacted: {kind}]" in safe
    assert reading.redactions[kind] >= 1
    assert "A note." in safe and "The end of it." in safe


def test_a_private_key_is_redacted_even_where_a_passage_cuts_it() -> None:
    draw = random.Random(7)
    body = [
        "".join(draw.choices(string.ascii_letters + string.digits + "+/", k=64)) for _ in range(40)
    ]
    note = "-----BEGIN RSA PRIVATE KEY-----\n" + "\n".join(body) + "\n-----END RSA PRIVATE KEY-----"
    reading = read(f"# Keys\n\n```\n{note}\n```\n\nKeep it.".encode(), "keys.md")
    assert len(reading.chunks) > 1
    safe = "\n".join(item.safe for item in reading.chunks)
    assert not any(line in safe for line in body)


def test_a_secret_named_once_is_taken_out_everywhere() -> None:
    text = "Password: wren-Otter-31\n\n" + "Filler sentence about the garden. " * 60
    reading = read(f"{text}\n\nI typed wren-Otter-31 twice.".encode(), "n.txt")
    assert len(reading.chunks) > 1
    assert all("wren-Otter-31" not in item.safe for item in reading.chunks)


def test_secrets_do_not_stay_in_titles_and_headings() -> None:
    reading = read(b"# PIN: 4821\n\n## Password: fish-77-sky\n\nText.", "n.md")
    assert "4821" not in reading.title
    assert not any("fish-77" in part for item in reading.chunks for part in item.locator.headings)


@pytest.mark.parametrize(
    "text",
    [
        "The card was 4111 1111 1111 1112.",  # wrong check digit
        "ISBN 978-3-16-148410-0 and phone 0161 496 0123",
        "IBAN DE89 3704 0044 0532 0130 01 is mistyped",
        "The pin that holds the hinge is bent, and the key hangs on a nail.",
        "The commit 3f786850e387550fdab836ed7e6dc881de23001b was good.",
        "We paid 1,480.00 for model WF9-77104-K on 2 April 2024.",
        "The code of conduct is short. The token ring was slow.",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert find(text) == []


def test_redacting_twice_changes_nothing() -> None:
    whole = "\n".join(text for _, text, _ in SECRETS)
    once = Redactor([whole]).safe(whole)
    assert Redactor([once]).safe(once) == once


# -- the sandbox ---------------------------------------------------------------------------------


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    with Sandbox(tmp_path / "sandbox.log", timeout_s=5.0) as made:
        yield made


def test_one_child_reads_many_files(sandbox: Sandbox, tmp_path: Path) -> None:
    readings: list[Reading] = []
    for number in range(50):
        file = tmp_path / f"{number}.md"
        file.write_text(f"Note {number} says {number * 3}. Password: otter{number}x")
        readings.append(sandbox.read(file, file.name))
    assert sandbox.started == 1
    assert readings[7] == readings[7].__class__(
        "7", "markdown", readings[7].chunks, {"password": 1}, "", readings[7].sha256
    )
    assert readings[7].chunks[0].safe == "Note 7 says 21. Password: [redacted: password]"
    assert readings[7].chunks == read((tmp_path / "7.md").read_bytes(), "7.md").chunks


def test_a_file_that_takes_too_long_is_given_up_and_the_next_is_read(tmp_path: Path) -> None:
    (tmp_path / "slow.html").write_bytes(b"<div>" * 150_000 + b"x")
    (tmp_path / "next.md").write_text("fine")
    with Sandbox(tmp_path / "log", timeout_s=2.0) as sandbox:
        with pytest.raises(ParseError, match="longer than 2 s"):
            sandbox.read(tmp_path / "slow.html", "slow.html")
        assert sandbox.read(tmp_path / "next.md", "next.md").chunks[0].text == "fine"
        assert sandbox.started == 2


def test_a_file_that_needs_too_much_memory_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "wide.txt").write_text("\U0001f600 word " * 8_000_000, encoding="utf-8")
    (tmp_path / "next.md").write_text("fine")
    with Sandbox(tmp_path / "log", timeout_s=60.0, max_bytes=200_000_000) as sandbox:
        with pytest.raises(ParseError, match="memory"):
            sandbox.read(tmp_path / "wide.txt", "wide.txt")
        assert sandbox.read(tmp_path / "next.md", "next.md").chunks[0].text == "fine"


def test_damaged_pdfs_are_read_or_refused(sandbox: Sandbox, tmp_path: Path) -> None:
    draw = random.Random(11)
    whole = pdf(["The first line of this page.", "The second line of it."], ["Another page."])
    outcomes: set[str] = set()
    for number in range(60):
        data = bytearray(whole)
        for _ in range(draw.randint(1, 12)):
            data[draw.randrange(len(data))] = draw.randrange(256)
        file = tmp_path / f"{number}.pdf"
        file.write_bytes(data[: draw.randint(len(data) // 3, len(data))])
        try:
            outcomes.add("read" if sandbox.read(file, file.name).chunks else "empty")
        except ParseError as error:
            outcomes.add(error.message)
    assert "read" in outcomes and "the PDF is damaged or cut off" in outcomes


def test_the_child_refuses_links_and_pipes(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("text")
    (tmp_path / "link.md").symlink_to(tmp_path / "a.md")
    with pytest.raises(ParseError, match="unreadable"):
        sandbox.read(tmp_path / "link.md", "link.md")
    with pytest.raises(ParseError, match="unreadable: no such file"):
        sandbox.read(tmp_path / "gone.md", "gone.md")
