"""Nightschool on a stick: made by `create`, looked over by `check`, used through `session`."""
