"""What a night leaves for its reader: one page that opens without a network and without a script.

`view.gather` joins the night's row, the figures that `store.reports` keeps, and the names and
questions of files that are still there. `pages.draw` makes the page of it. `shelf` knows where
pages lie, and takes those away that name a forgotten file. Light: the template engine is loaded
when a page is drawn.
"""
