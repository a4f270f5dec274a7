"""``twelve reproduce``: from nothing to the paper's table.

run.py goes through the stages: fetch the official and the released files (:mod:`twelve.downloads`), convert the
released model, import the released region features (or extract regions from images), evaluate under the published
protocols, and put every number beside the paper's. Each has a file here: needs.py says which files are fetched, plan.py
and estimate.py what all of it will take, conversion.py converts, features.py makes the regions, measures.py and
published.py say what is measured, table.py writes the table. ledger.py remembers what is finished, so that the command
can be killed and started again at any time.
"""
