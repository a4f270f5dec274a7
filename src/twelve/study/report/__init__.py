"""``twelve study report``: several studies on one page, with plots that a paper could print."""
