"""Words with a British and an American spelling, of which a model may know only one."""

from __future__ import annotations

_PAIRS = (
    *("aeroplane airplane", "centre center", "centres centers", "colour color", "colours colors", "coloured colored"),
    *("doughnut donut", "doughnuts donuts", "favourite favorite", "fibre fiber", "grey gray", "harbour harbor"),
    *("jewellery jewelry", "litre liter", "metre meter", "metres meters", "moustache mustache", "neighbour neighbor"),
    *("plough plow", "pyjamas pajamas", "theatre theater", "travelling traveling", "tyre tire"),
    *("tyres tires", "yoghurt yogurt"),
)
OTHER_SPELLINGS = {one: other for pair in map(str.split, _PAIRS) for one, other in (pair, pair[::-1])}
"""Word -> its other spelling, in both directions."""
