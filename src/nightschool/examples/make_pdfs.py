"""Writes the three PDF notes of the example vault; needs the ``fpdf2`` package.

The PDFs are checked in, so nobody has to run this to use the vault. Run it after changing a text
below: ``python src/nightschool/examples/make_pdfs.py``. The creation date is fixed, so that the
same text gives the same file.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from fpdf import FPDF

VAULT = Path(__file__).resolve().parent / "vault"

# A path below the vault, a heading, then paragraphs and tables (lists of rows).
Block = str | list[tuple[str, str]]
DOCUMENTS: list[tuple[str, str, list[Block]]] = [
    (
        "Manuals/Halvex Combi 24 quick guide.pdf",
        "Halvex Combi 24: quick guide for users",
        [
            "The Halvex Combi 24 is a wall-mounted gas boiler for heating and hot water.",
            "Filling the system: open the blue tap under the boiler.",
            "Close the blue tap when the gauge shows 1.6 bar.",
            "The frost protection starts the pump when the water falls to 7 °C.",
            [
                ("Fault code", "What to do"),
                ("F11", "Gas supply interrupted: check the meter tap"),
                ("F28", "No ignition: press reset, wait two minutes"),
                ("F75", "Pressure sensor fault: call the engineer"),
            ],
            "Hold the reset button for five seconds. Do not reset more than three times.",
            "The condensate hose must be rinsed once a year.",
            "The battery of the room controller is a CR2450 cell.",
            "Noise level at full load: 46 dB",
            "Weight without water: 33 kg",
        ],
    ),
    (
        "Receipts/Bicycle invoice.pdf",
        "Spoke & Anchor Cycles, invoice SA-2291",
        [
            "Customer: Tamsin Orrel, 14 Pellow Lane, Harrowmere",
            "Invoice date: 2 April 2024",
            "One touring bicycle, model Wayfarer 9, colour bottle green, size 54 cm.",
            [
                ("Item", "Amount"),
                ("Wayfarer 9", "£1,480.00"),
                ("Hub dynamo and lamp", "£165.00"),
                ("Leather saddle, Tarrant", "£89.00"),
                ("Mudguards", "£42.00"),
                ("Total", "£1,776.00"),
            ],
            "Frame number: WF9-77104-K",
            "The first inspection is free of charge within 90 days of purchase.",
            "Tyre pressure: 4.0 bar at the front, 4.5 bar at the back.",
            "The bicycle was assembled by Edwina Stroud.",
            "The frame has a guarantee of 12 years, the hub dynamo of 5 years.",
        ],
    ),
    (
        "Garden/Allotment tenancy agreement.pdf",
        "Tenancy agreement for plot 27",
        [
            "Landlord: Harrowmere Allotment Association, founded in 1921.",
            "Tenants: Tamsin Orrel and Corin Maddowe. The tenancy began on 1 April 2018.",
            "The plot measures 180 square metres.",
            "The yearly rent is £68, payable by the last day of January.",
            "Notice has to be given in writing three months before the end of September.",
            "A greenhouse may not be higher than 2.2 metres.",
            "Keeping hens is allowed, up to four birds. Cockerels are forbidden.",
            "Each plot owes six hours of communal work a year.",
            "A missed hour of communal work is charged at £12.",
            "The deposit for the gate key is £20.",
            "Signed for the association by the treasurer, Quentin Maple.",
        ],
    ),
]


def write_pdf(path: Path, heading: str, blocks: list[Block]) -> None:
    """Writes one document: a heading, then each block as a paragraph or a two-column table."""
    pdf = FPDF(format="A4")
    pdf.set_creation_date(datetime(2025, 10, 12, tzinfo=UTC))
    pdf.set_title(heading)
    pdf.set_author("Nightschool example vault")
    pdf.add_page()
    pdf.set_font("Helvetica", "B", 16)
    pdf.multi_cell(0, 10, heading, new_x="LMARGIN", new_y="NEXT")
    pdf.set_font("Helvetica", "", 11)
    for block in blocks:
        pdf.ln(2)
        if isinstance(block, str):
            pdf.multi_cell(0, 6, block, new_x="LMARGIN", new_y="NEXT")
            continue
        with pdf.table(col_widths=(40, 60), width=140, align="LEFT") as table:
            for row in block:
                table.row(row)
    path.parent.mkdir(parents=True, exist_ok=True)
    pdf.output(str(path))


if __name__ == "__main__":
    for name, title, content in DOCUMENTS:
        write_pdf(VAULT / name, title, content)
        print(f"wrote {name}")
