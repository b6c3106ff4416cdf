"""Predict quality defects before they happen, from what was known at the time.

The packages follow the journey of the data; each may import only from those before it:
`data` (what the plant recorded), `features` (what was known at the cutoff), `learn` (what can be
predicted), `publish` (what leaves the lab), `review` (what became of it).
"""
