"""CSV and its relatives: the separator is found, the first row names the columns."""

from __future__ import annotations

import csv
import io

from nightschool.errors import ParseError
from nightschool.ingest.blocks import Block
from nightschool.ingest.encoding import decode
from nightschool.ingest.parse.tables import table

SEPARATORS = ",;\t|"
MAX_ROWS = 100_000
_SAMPLE = 20_000


def parse(data: bytes, path: str) -> tuple[list[Block], str, str]:
    """One table with the file's line numbers; a note on the encoding or on rows left out."""
    text, note = decode(data)
    separator = "\t" if path.lower().endswith(".tsv") else _separator(text[:_SAMPLE])
    rows: list[tuple[int, list[str]]] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        begun = 1
        for row in reader:
            rows.append((begun, row))
            begun = reader.line_num + 1
            if len(rows) >= MAX_ROWS:
                note = f"only the first {MAX_ROWS} rows were read"
                break
    except csv.Error as error:
        raise ParseError(f"line {reader.line_num} is not a row of a table ({error})") from error
    made = table(rows)
    return [made] if made is not None else [], "", note


def _separator(sample: str) -> str:
    """The one that cuts the first lines into the same number of cells, the most of them."""
    # The last line may be cut; a lone carriage return ends a line, too.
    lines = [line for line in sample.splitlines()[:-1] if line.strip()][:20]
    lines = lines or sample.splitlines() or [""]
    scores: list[tuple[bool, int, str]] = []
    for one in SEPARATORS:
        widths = [len(row) for row in csv.reader(lines, delimiter=one)]
        usual = max(set(widths), key=widths.count)
        scores.append((usual > 1, widths.count(usual) * 10 + min(usual, 9), one))
    return max(scores)[2] if any(score[0] for score in scores) else ","
