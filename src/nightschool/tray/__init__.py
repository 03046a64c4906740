"""The icon beside the clock: a process of its own, and a client of the service like any other.

`place` finds out whether an icon can be shown here, `view` says what there is to show, `face` draws
it, `menu` offers what can be done, `app` keeps them in step with the service.
"""
