"""Make the starter: `python packaging/starter --profile cpu --run DIR --minutes 90` (README.md)."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

if __name__ == "__main__":
    # `starter.notes` is ours and `notes` the reader's: this folder itself must not be searched.
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != HERE]
    sys.path += [str(HERE.parent), str(HERE.parents[1] / "src")]
    from nightschool.errors import NightschoolError
    from starter.recipe import main

    try:
        main()
    except NightschoolError as error:
        sys.exit(str(error))
