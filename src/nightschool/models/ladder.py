"""llama.cpp's ladder of quantisations, as far as it needs no importance matrix. Light."""

from __future__ import annotations

from dataclasses import dataclass

SMALL = 1_000_000_000
"""Parameters below which a coarse kind costs more than a smaller model of the same size would."""


@dataclass(frozen=True, slots=True)
class Rung:
    """One kind: llama.cpp's number (`llama_ftype`), bits a weight as its authors give them, and
    what to expect."""

    number: int
    bits: float
    about: str


LADDER = {
    "F16": Rung(1, 16.0, "lossless for most models"),
    "BF16": Rung(32, 16.0, "lossless for models trained in it"),
    "Q8_0": Rung(7, 8.5, "no loss that is seen"),
    "Q6_K": Rung(18, 6.6, "hardly any loss"),
    "Q5_K_M": Rung(17, 5.7, "small loss"),
    "Q4_K_M": Rung(15, 4.8, "the usual choice from 3 billion parameters on"),
    "IQ4_XS": Rung(30, 4.3, "a little smaller and slower than Q4_K_M"),
    "Q3_K_M": Rung(12, 3.9, "clear loss"),
    "Q2_K": Rung(10, 3.0, "large loss: for very large models only"),
    "TQ2_0": Rung(37, 2.06, "for models trained in three values only (BitNet)"),
    "TQ1_0": Rung(36, 1.69, "for models trained in three values only (BitNet)"),
}


def advice(parameters: int, kind: str) -> str:
    """The rule of thumb for a model of this size; empty when the kind suits it."""
    if kind.startswith("TQ"):
        return "Three values a weight destroy a model that was not trained so (BitNet)."
    if parameters < SMALL and LADDER[kind].bits < 6:
        return (
            f"A model of {parameters / 1e6:.0f} million parameters loses much below 6 bits: take "
            "Q8_0, or Q6_K at least. Small models have no weights to spare."
        )
    if LADDER[kind].bits < 4:
        return "Below 4 bits, a smaller model of the same file size usually answers better."
    return ""
