"""Every format gives passages with a place that a person can find again, or says why not."""

from __future__ import annotations

import io
import random
import shutil
import zipfile
from pathlib import Path

import pytest

from format_samples import MESSAGE, SAMPLES, chatgpt, claude, docx, epub, xlsx, zipped
from nightschool.errors import ParseError
from nightschool.ingest.language import detect
from nightschool.ingest.parse import FORMATS, archive, format_of
from nightschool.ingest.reading import Reading, read
from nightschool.ingest.sandbox import Sandbox


def of(suffix: str) -> Reading:
    return read(SAMPLES[suffix](), f"Mill.{suffix}")


def places(reading: Reading) -> list[str]:
    return [str(chunk.locator) for chunk in reading.chunks]


def text(reading: Reading) -> str:
    return "\n\n".join(chunk.text for chunk in reading.chunks)


# -- what is read, and where it stands -----------------------------------------------------------


def test_every_format_has_a_sample_and_is_read_in_the_limited_child(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    # Those that go by a file's whole name are tried in test_kinds.
    assert {format_of(f"a.{suffix}") for suffix in SAMPLES} == {f for f in FORMATS if f.suffixes}
    for suffix, make in SAMPLES.items():
        file = tmp_path / f"a.{suffix}"
        file.write_bytes(make())
        assert sandbox.read(file, file.name).chunks, suffix
    assert sandbox.started == 1


def test_a_word_document_keeps_its_order_lists_and_tables() -> None:
    reading = of("docx")
    assert reading.title == "Boiler manual"
    assert text(reading) == (
        "Pressure\n\nKeep it at 1.4 bar.\n\n- red tap\n- blue tap\n\n"
        "| Part | Price |\n|---|---|\n| Valve | 12 |"
    )


def test_slides_are_located_by_their_number_and_keep_their_notes() -> None:
    reading = of("pptx")
    assert places(reading) == [
        "Mill.pptx slide 1 › Plan of the mill",
        "Mill.pptx slide 2 › Costs",
    ]
    assert "- Mend the wheel\n- Paint the door" in reading.chunks[0].text
    assert "Notes: Ask Bram." in reading.chunks[0].text
    assert "| Cog | 12 |" in reading.chunks[1].text


def test_a_sheet_is_a_table_located_by_its_cells() -> None:
    reading = of("xlsx")
    assert places(reading) == ["Mill.xlsx Costs!A1:C4 › Costs"]
    assert "| Part | Price | Bought |\n|---|---|---|\n| Cog | 12.5 | 2024-05-01 |" in text(reading)


def test_a_long_sheet_names_the_rows_of_each_passage() -> None:
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "Log"
    sheet.append(["Day", "Rain"])
    for day in range(2, 152):
        sheet.append([f"day number {day}", f"{day} millimetres of rain"])
    stream = io.BytesIO()
    book.save(stream)
    chunks = read(stream.getvalue(), "rain.xlsx").chunks
    assert len(chunks) > 5
    for chunk in chunks:
        first, last = (int(part[1:]) for part in chunk.locator.place.split("!")[1].split(":"))
        assert chunk.text.startswith("| Day | Rain |\n|---|---|")
        assert f"day number {last} |" in chunk.text
        assert first == 1 or f"day number {first} |" in chunk.text


def test_a_csv_finds_its_separator_and_counts_the_files_lines() -> None:
    reading = of("csv")
    assert text(reading) == "| Part | Price |\n|---|---|\n| Cog | 12,50 |\n| Long belt | 3 |"
    assert places(reading) == ["Mill.csv:1-3"]


def test_a_book_is_read_in_the_order_of_its_spine() -> None:
    reading = of("epub")
    assert reading.title == "The Mill"
    assert places(reading) == ["Mill.epub chapter 1 › Summer", "Mill.epub chapter 2 › Autumn"]


def test_rich_text_is_its_words() -> None:
    assert (of("rtf").title, text(of("rtf"))) == ("The mill", "The wheel\nturns über.")


def test_a_mail_stands_under_its_message_id_with_its_attachments() -> None:
    reading = of("eml")
    assert reading.title == "The Mühle"
    assert reading.chunks[0].text.startswith("From: Bram Orrel <bram@example.org>\nTo: Wren\n")
    assert "The wheel of the mill turns." in reading.chunks[0].text
    assert places(reading)[:2] == [
        "Mill.eml message <mill-1@example.org> › The Mühle",
        "Mill.eml message <mill-1@example.org>, attachment parts.csv › The Mühle",
    ]
    assert "| Cog | 12 |" in reading.chunks[1].text
    assert "photos.zip: not read out of a message" in text(reading)


def test_a_mailbox_is_cut_into_its_messages() -> None:
    reading = of("mbox")
    assert "Mill.mbox message <mill-1@example.org> › The Mühle" in places(reading)
    assert places(reading)[-1] == "Mill.mbox message 2 › Again"
    assert reading.chunks[-1].text == "Subject: Again\n\nFrom here on it is quiet."


def test_files_of_a_maildir_are_mail_without_a_type() -> None:
    found = format_of("Mail/cur/1700000000.M1P2.host:2,S")
    assert found is not None and found.name == "mail"
    assert read(MESSAGE, "Mail/new/1700000000.M1P2.host").title == "The Mühle"
    assert format_of("Notes/1700000000.M1P2.host") is None


def test_an_event_says_what_when_where_and_with_whom() -> None:
    reading = of("ics")
    assert reading.title == "Mill"
    assert places(reading) == ["Mill.ics event Tuesday 2024-03-05 14:00 › Wheel inspection"]
    assert text(reading) == (
        "Wheel inspection\nWhen: Tuesday 2024-03-05 14:00 to 15:00\nRepeats: every year\n"
        "Where: Mill Lane 3\nWith: Bram"
    )


def test_each_contact_is_a_passage_of_its_own() -> None:
    reading = of("vcf")
    assert places(reading) == ["Mill.vcf:1 › Bram Orrel", "Mill.vcf:8 › Wren"]
    assert "Phone (cell): 0161 496 0123" in text(reading)
    assert "Note: mills für immer" in text(reading)
    assert "E-mail (work): wren@example.org" in text(reading)


def test_a_notebook_is_located_by_cell_and_keeps_what_was_printed() -> None:
    reading = of("ipynb")
    assert (reading.title, [chunk.locator.place for chunk in reading.chunks]) == (
        "The mill",
        ["cell 1", "cell 2"],
    )
    assert reading.chunks[1].text == "print(speed * 2)\n\n24"


def test_json_becomes_lines_and_tables_with_their_place_in_the_tree() -> None:
    reading = of("json")
    assert reading.chunks[0].text == "name: Mill\nopen: yes"
    assert reading.chunks[1].locator.place == "$.parts"
    assert "| Cog | 12 |" in reading.chunks[1].text


def test_lines_that_are_not_json_are_counted() -> None:
    reading = of("jsonl")
    assert reading.note == "1 of 3 lines are not JSON"
    assert "part.name: Belt" in text(reading)


def test_code_is_cut_by_definition() -> None:
    chunks = of("py").chunks
    assert [chunk.locator.headings for chunk in chunks] == [
        (), ("turn",), ("Wheel",), ("Wheel", "speed"),
    ]  # fmt: skip
    assert chunks[1].text == "# Turns it.\ndef turn(wheel):\n    return wheel"
    assert chunks[1].locator.lines == (6, 8)
    assert chunks[3].text == "    @property\n    def speed(self):\n        return 9"


@pytest.mark.parametrize(
    ("path", "source", "names"),
    [
        ("a.js", "export function go(a) {\n}\nconst stop = (a) => {\n}\nclass Mill {\n}\n",
         ["go", "stop", "Mill"]),
        ("a.rs", "pub fn go() {}\nimpl Mill {\n    fn stop(&self) {}\n}\n", ["go", "Mill", "stop"]),
        ("a.go", "func (m *Mill) Go() {\n}\ntype Wheel struct {\n}\n", ["Go", "Wheel"]),
        ("a.c", "int go(int a) {\n  if (a) {\n    stop();\n  }\n}\nvoid stop(void)\n{\n}\n",
         ["go", "stop"]),
        ("A.java", "public class Mill {\n  private int go(String a) {\n    return 1;\n  }\n}\n",
         ["Mill", "go"]),
        ("a.sh", "go() {\n  ls\n}\nfunction stop {\n  ls\n}\n", ["go", "stop"]),
        ("a.sql", "CREATE TABLE mill (id int);\ncreate view wheel as select 1;\n",
         ["mill", "wheel"]),
        ("a.toml", "[tool.mill]\nspeed = 9\n[wheel]\nspokes = 8\n", ["tool.mill", "wheel"]),
        ("a.yml", "mill:\n  speed: 9\nwheel:\n  spokes: 8\n", ["mill", "wheel"]),
    ],
)  # fmt: skip
def test_definitions_are_found_in_many_languages(path: str, source: str, names: list[str]) -> None:
    chunks = read(source.encode(), path).chunks
    assert [chunk.locator.headings[-1] for chunk in chunks] == names


def test_code_without_definitions_is_read_whole() -> None:
    assert text(read(b"# only a remark\nsome words\n", "a.yaml")) == "# only a remark\nsome words"


def test_rst_reads_roles_tables_and_code_and_includes_nothing() -> None:
    reading = of("rst")
    assert reading.title == "The mill"
    assert text(reading) == (
        "The mill\n\nSee the wheel and cog.\n\nMind the belt.\n\nturn wheel\n\nParts\n\n"
        "| Part | Price |\n| Cog | 12 |"
    )


def test_org_reads_headlines_tags_properties_tables_and_blocks() -> None:
    reading = of("org")
    assert reading.title == "The mill"
    assert text(reading) == (
        "TODO Mend the wheel (https://example.org/w) (house)\n\ncost: 12\n\nSome bold words.\n\n"
        "| Part | Price |\n|---|---|\n| Cog | 12 |\n\nturn wheel"
    )


def test_chats_keep_who_said_what_and_only_the_branch_that_was_kept() -> None:
    reading = read(chatgpt(), "export/conversations.json")
    assert text(reading) == (
        "The wheel (2023-11-14)\n\nMe: How fast is the wheel?\n\n"
        "Assistant: It turns nine times a minute."
    )
    assert places(reading) == ["export/conversations.json conversation 1 of 2023-11-14 › The wheel"]
    other = read(claude(), "export/conversations.json")
    assert "Me: Who owns the mill?\n\nAssistant: Bram does." in text(other)


# -- what is refused -----------------------------------------------------------------------------

LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    "<x>&b;</x>"
)


def changed(data: bytes, name: str, part: str | bytes) -> bytes:
    """A zip with one part replaced or added."""
    with zipfile.ZipFile(io.BytesIO(data)) as old:
        parts: dict[str, str | bytes] = {item: old.read(item) for item in old.namelist()}
    return zipped(parts | {name: part})


@pytest.mark.parametrize(
    ("data", "path", "reason"),
    [
        (b"x", "n.docx", "the Word document is damaged or cut off"),
        (docx()[:2000], "n.docx", "the Word document is damaged or cut off"),
        (zipped({"a.txt": "x"}), "n.docx", "damaged or of another kind"),
        (zipped({"a.txt": "x"}), "n.xlsx", "damaged or of another kind"),
        (zipped({"a.txt": "x"}), "n.pptx", "damaged or of another kind"),
        (zipped({"a.txt": "x"}), "n.epub", "container.xml is missing"),
        (b"\xd0\xcf\x11\xe0" + b"x" * 99, "n.docx", "encrypted or of an older kind"),
        (changed(docx(), "word/bomb.xml", b"0" * 30_000_000), "n.docx", "beyond measure"),
        (changed(xlsx(), "xl/bomb.bin", b"\0" * 70_000_000), "n.xlsx", "beyond measure"),
        (zipped({f"{n}.x": "" for n in range(10_001)}), "n.pptx", "more than 10000 parts"),
        (changed(epub(), "O/c.opf", LAUGHS), "n.epub", "XML entities"),
        (changed(epub(), "META-INF/encryption.xml",
                 '<e><CipherReference URI="O/a.xhtml"/></e>'), "n.epub", "copy-protected"),
        (b"{}", "n.ipynb", "not a notebook"),
        (b'{"a": ', "n.json", "not JSON from line 1 on"),
        (b"[" * 100_000, "n.json", "nested too deeply"),
        (b"9" * 10_000, "n.json", "not JSON that can be read"),
        (b"no\nno\n", "n.jsonl", "none of its lines is JSON"),
        (b"plain words", "n.rtf", "not RTF"),
        (b"plain words", "n.eml", "not a mail message"),
        (b"plain words", "n.mbox", "not an mbox"),
        (b"plain words", "n.ics", "not a calendar"),
        (b"plain words", "n.vcf", "not an address book"),
        (b"var a=1;" * 9000, "n.js", "written by a program"),
        (b"x", "n.zip", "type .zip is not read"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_is_no_such_file_or_a_bomb_says_so(data: bytes, path: str, reason: str) -> None:
    with pytest.raises(ParseError, match=reason):
        read(data, path)


def test_overlapping_parts_of_a_zip_are_refused() -> None:
    data = bytearray(zipped({"a": random.Random(1).randbytes(9000), "b": "x"}))
    at = data.find(b"PK\x01\x02", data.find(b"PK\x01\x02") + 4)
    data[at + 20 : at + 24] = (9000).to_bytes(4, "little")  # the second part claims the first's
    with pytest.raises(ParseError, match="overlap"), archive.opened(bytes(data), "document"):
        pass


def test_messages_in_messages_end_somewhere() -> None:
    inner = b"Subject: deepest\n\nThe end.\n"
    for depth in range(40):
        inner = b"Subject: level %d\nContent-Type: message/rfc822\n\n" % depth + inner
    reading = read(inner, "n.eml")
    assert "nested too deeply" in text(reading)


def test_a_broken_attachment_does_not_cost_the_message() -> None:
    message = MESSAGE.replace(b"parts.csv", b"parts.docx")
    assert "Attachment parts.docx: the Word document is damaged" in text(read(message, "n.eml"))


# -- languages -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "sample"),
    [
        ("en", "The mill stood by the river, and it was not open in the winter for years."),
        ("de", "Die Mühle stand am Fluss, und sie war im Winter nicht für alle offen, sagt man."),
        ("fr", "Le moulin est au bord de la rivière et il ne tourne pas dans les mois de gel."),
        ("es", "El molino está junto al río y no se abre en los meses de frío, dicen las gentes."),
        ("ru", "Мельница стояла у реки."),
        ("el", "Ο μύλος είναι δίπλα στο ποτάμι."),
        ("ja", "水車は川のそばにあります。"),
        ("zh", "水磨坊在河边。"),
        ("", "Cog 12, belt 3, wheel 9"),
        ("", ""),
    ],
)
def test_languages_are_told_apart_or_left_open(code: str, sample: str) -> None:
    assert detect(sample) == code


def test_a_text_in_another_language_is_kept_and_marked() -> None:
    source = "Die Mühle stand am Fluss, und sie war im Winter nicht für alle offen, sagt man."
    reading = read(source.encode(), "n.md")
    assert (reading.language, text(reading)) == ("de", source)
    assert reading.note == "German: see learn.languages"


# -- scans ---------------------------------------------------------------------------------------


def scan(*lines: str, text_pages: int = 0) -> bytes:
    """A PDF whose last page is a picture of these lines."""
    import fpdf
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.new("L", (1200, 600), 255)
    for number, line in enumerate(lines):
        font = ImageFont.load_default(size=60)
        ImageDraw.Draw(picture).text((60, 60 + 110 * number), line, font=font, fill=0)
    made = fpdf.FPDF()
    made.set_font("Helvetica", size=12)
    for number in range(text_pages):
        made.add_page()
        made.multi_cell(0, 8, f"Page {number + 1} is written and tells of the mill.")
    made.add_page()
    made.image(picture, x=10, y=10, w=180)
    return bytes(made.output())


def test_scanned_pages_are_said_and_never_silently_empty() -> None:
    with pytest.raises(ParseError, match="needs OCR"):
        read(scan("THE OLD MILL"), "scan.pdf")
    reading = read(scan("THE OLD MILL", text_pages=2), "mixed.pdf")
    assert reading.note == "1 of 3 pages are scans: they need OCR"
    assert [chunk.locator.page for chunk in reading.chunks] == [1, 2]


@pytest.mark.skipif(shutil.which("tesseract") is None, reason="Tesseract is not installed")
def test_with_tesseract_scanned_pages_are_read(tmp_path: Path) -> None:
    (tmp_path / "scan.pdf").write_bytes(scan("THE OLD MILL", "STANDS HERE", text_pages=1))
    with Sandbox(tmp_path / "log", timeout_s=30.0, ocr="eng") as sandbox:
        reading = sandbox.read(tmp_path / "scan.pdf", "scan.pdf")
    assert "THE OLD MILL" in reading.chunks[-1].text
    assert (reading.chunks[-1].locator.page, reading.note) == (2, "")


def test_ocr_that_is_not_installed_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "scan.pdf").write_bytes(scan("THE OLD MILL", text_pages=1))
    with Sandbox(tmp_path / "log", timeout_s=30.0, ocr="eng") as sandbox:
        reading = sandbox.read(tmp_path / "scan.pdf", "scan.pdf")
    assert reading.note.endswith("files.ocr is set, but tesseract is not installed")
