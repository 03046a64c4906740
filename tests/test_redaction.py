"""What names a person, and what opens a door, does not reach practice; search still finds it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from flat_embedder import Flat
from nightschool.config import Config, Files, load
from nightschool.ingest.reading import read
from nightschool.ingest.redact import Redactor, find
from nightschool.intake import run_intake
from nightschool.pairs import synthesize
from nightschool.pairs.rules import RuleWriter
from nightschool.paths import Home
from nightschool.records import Document
from nightschool.store import documents, fulltext, pairs
from nightschool.store.db import Store

PERSONAL = [
    ("e-mail address", "Write to Bram.Orrel+mill@mail.example.org, please.", "Orrel+mill"),
    ("phone number", "Call Bram on 0161 496 0123.", "496 0123"),
    ("phone number", "+49 30 2345678 is the office", "2345678"),
    ("phone number", "The clerk: (202) 555-0143", "555-0143"),
    ("phone number", "06 12 34 56 78 after six", "12 34 56 78"),
    ("identity number", "SSN 123-45-6789", "123-45-6789"),
    ("identity number", "NI number AB 12 34 56 C", "12 34 56"),
    ("identity number", "El documento 12345678Z caduca", "12345678Z"),
    ("identity number", "My passport number is 533380006", "533380006"),
    ("identity number", "Steuer-ID: 86 095 742 719", "095 742"),
]
SECRETS = [
    ("password", "DB_PASSWORD=hunter2x", "hunter2x"),
    ("password", "dbPassword: 'x9y8z7'", "x9y8z7"),
    ("password", "mysql -u root --password=abc123x", "abc123x"),
    ("password", "curl -u bram:s3cretpw https://example.org", "s3cretpw"),
    ("password", "use Xy7!kkoo as the wifi password", "Xy7!kkoo"),
    ("token", "Authorization: Bearer abcdef0123456789abcdef", "abcdef0123456789"),
    ("token", "https://example.org/a?token=abcdef123456&x=1", "abcdef123456"),
    ("IBAN", "DE89370400440532013000 BIC MILLDEFF", "DE8937040044"),
    ("IBAN", "de89 3704 0044 0532 0130 00", "0532 0130"),
]
PLAIN = [
    "Call on 2024-05-01, or on 12.03.1984 at 05:30.",
    "08.09.1912: rain, 8 mm, wind from the west.",
    "The order 4820 1122 has 3 parts; ISBN 978-3-16-148410-0; 1,480.00; v2.31.7.",
    "The weir lies at 51.5074, -0.1278, and the train leaves at 10:45 from 3.",
    "Sin 4000 euros no se abre el molino.",
    "The mill @ the weir, and a.b@c",
]


def taken_in(home: Home, store: Store, folder: Path, config: Config) -> Document:
    documents.add_root(store, str(folder))
    run_intake(home, store, config, embedder=Flat())
    (item,) = documents.documents(store)
    return item


@pytest.mark.parametrize(("kind", "text", "secret"), PERSONAL + SECRETS)
def test_each_is_taken_out_and_named_by_its_kind(kind: str, text: str, secret: str) -> None:
    reading = read(f"A note.\n\n{text}\n\nThe end.".encode(), "n.txt")
    safe = "\n".join(chunk.safe for chunk in reading.chunks)
    assert secret in "\n".join(chunk.text for chunk in reading.chunks)
    assert secret not in safe and f"[redacted: {kind}]" in safe
    assert reading.redactions[kind] >= 1


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        (
            "The password for the shed is Kelvarin-77.",
            "The password for the shed is [redacted: password].",
        ),
        (
            "Wi-Fi password: Kelvarin77, as ever.\nThe password is Kelvarin77, of old.",
            "Wi-Fi password: [redacted: password].\nThe password is [redacted: password], of old.",
        ),
    ],
)
def test_a_mark_is_not_taken_for_a_label_with_its_secret(text: str, safe: str) -> None:
    once = Redactor([text]).safe(text)
    assert once == safe
    assert Redactor([once]).safe(once) == once


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("| Site | Password |\n|---|---|\n| shop | [redacted: Kelvarin77] |", "Kelvarin77"),
        ("Wi-Fi password: [redacted: Kelvarin77]", "Kelvarin77"),
        ("[redacted: AKIAQYLPMN5HFIKTNZ2A]", "AKIAQYLPMN5HFIKTNZ2A"),
    ],
)
def test_what_only_looks_like_a_mark_hides_no_secret(text: str, secret: str) -> None:
    assert secret not in Redactor([text]).safe(text)


@pytest.mark.parametrize("text", PLAIN)
def test_numbers_that_name_nobody_stay(text: str) -> None:
    assert find(text, people=True) == []


def test_people_are_named_when_the_user_says_so_and_secrets_never() -> None:
    text = b"Bram: 0161 496 0123, password: teapot-31"
    (chunk,) = read(text, "n.txt", people=False).chunks
    assert "0161 496 0123" in chunk.safe and "teapot-31" not in chunk.safe


def test_an_address_book_of_thousands_is_redacted_in_time() -> None:
    cards = "".join(
        f"BEGIN:VCARD\nFN:Person {n}\nTEL:+44 161 496 {n:04d}\nEMAIL:p{n}@example.org\nEND:VCARD\n"
        for n in range(800)
    )
    reading = read(cards.encode(), "all.vcf")
    assert reading.redactions == {"phone number": 800, "e-mail address": 800}
    assert not any("+44" in chunk.safe or "@" in chunk.safe for chunk in reading.chunks)


def test_the_rest_of_a_key_in_a_later_passage_goes_too() -> None:
    whole = Redactor(["-----BEGIN PRIVATE KEY-----\nQUJD\nRA==\n-----END PRIVATE KEY-----"])
    assert "RA==" not in whole.safe("RA==\n-----END PRIVATE KEY-----\nThe mill.")
    assert whole.safe("RA==\n-----END PRIVATE KEY-----\nThe mill.").endswith("The mill.")


def test_search_sees_the_original_unless_the_user_says_otherwise(
    home: Home, store: Store, tmp_path: Path
) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.md").write_text("The clerk Bram Orrel has the number 0161 496 0123.")
    item = taken_in(home, store, folder, Config())
    assert item.redactions == {"phone number": 1}
    assert fulltext.match(store, '"496"', 9)
    hidden = replace(Config(), files=Files(search="redacted"))
    item = taken_in(home, store, folder, hidden)
    assert not fulltext.match(store, '"496"', 9)
    assert "496" not in documents.chunks_of(store, item.id)[0].text
    assert taken_in(home, store, folder, Config()).chunks == 1
    assert fulltext.match(store, '"496"', 9)


def test_a_text_in_another_language_is_found_and_practised_only_where_it_is_named(
    home: Home, store: Store, tmp_path: Path
) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.md").write_text(
        "# Mühle\n\nDie Mühle wurde 1894 gebaut, und sie ist nicht für alle offen, sagt man."
    )
    item = taken_in(home, store, folder, Config())
    assert (item.language, item.reason) == ("de", "German: see learn.languages")
    assert fulltext.match(store, "gebaut", 9)
    assert synthesize.write_pairs(store, [RuleWriter()], None, None).documents == 0
    assert pairs.unpaired(store, ("en", "de")) == [item.id]


def test_what_is_written_for_machines_is_searched_and_not_practised(
    home: Home, store: Store, tmp_path: Path
) -> None:
    folder = tmp_path / "repo"
    folder.mkdir()
    (folder / "mill.py").write_text("class Mill:\n    wheel: str = 'oak'\n    speed: int = 9\n")
    item = taken_in(home, store, folder, Config())
    assert fulltext.match(store, "wheel", 9) and item.format == "code"
    assert synthesize.write_pairs(store, [RuleWriter()], None, None).documents == 0


def test_the_settings_are_read_from_the_environment() -> None:
    given = {"NIGHTSCHOOL_FILES_PERSONAL": "learn", "NIGHTSCHOOL_LEARN_LANGUAGES": "en,de"}
    config = load(None, given)
    assert (config.files.personal, config.learn.languages) == ("learn", "en,de")
