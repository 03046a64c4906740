"""The recipe of the model in the box. It shares the note generators of `reader` and `probes`."""

import sys
from pathlib import Path

_PACKAGING = Path(__file__).resolve().parents[1]
_SHARED = [str(_PACKAGING / name) for name in ("reader", "probes")]
# Those are folders of scripts, not packages: their modules import each other by plain names, which
# other folders on the path have too. So they come first while they are imported, and only then.
sys.path[:0] = [*_SHARED, str(_PACKAGING), str(_PACKAGING.parent / "src")]
try:
    import facts as _facts
    import notes as _notes
    import squad as _squad
    import values as _values
    import wordings as _wordings
finally:
    for _folder in _SHARED:
        sys.path.remove(_folder)
__all__ = ["_facts", "_notes", "_squad", "_values", "_wordings"]
