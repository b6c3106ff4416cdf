"""Processes that tests end: forked from a warm one, since importing everything anew for each costs seconds."""

import multiprocessing

PROCESSES = multiprocessing.get_context("forkserver")
# there is one server in a process of tests, and what is preloaded when it starts is preloaded for all
PROCESSES.set_forkserver_preload(["pytest", "pipelines.scheduled", "ibis.backends.duckdb", "sklearn.linear_model",
                                  "skops.io", "matplotlib.pyplot", "apprise", "sqlalchemy"])  # fmt: skip
