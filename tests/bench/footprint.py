"""What the resident process costs a personal device: the figures of `service-footprint`.

    make bench NAME=footprint [ARGS=--quick]

Memory after an hour of traffic, processor time and wake-ups over ten idle minutes, seconds until it
answers, and that no heavy library is mapped. Quick: one minute each.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent)]

from service_footprint import main  # noqa: E402

if __name__ == "__main__":
    main()
