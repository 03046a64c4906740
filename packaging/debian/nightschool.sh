#!/bin/sh
# The command of the package: its own libraries only (-I), whatever PYTHONPATH says.
exec /usr/lib/nightschool/bin/python3 -I -m nightschool "$@"
