import json
import os
import subprocess
import sys
from uuid import uuid4

import pytest

from pipelines import logs

SAYS = """
from datetime import date
with logs.about(line="tiny", business_date=date(2026, 3, 3)):
    logging.getLogger("pipelines.nightly").info("once")
    logging.getLogger("a_library").info("chatter")
"""


def said(script, **variables):
    """What a process says on standard error that imports Prefect, as every flow does, and then logs a message."""
    usual = {name: value for name, value in os.environ.items() if name not in (logs.VARIABLE, logs.RUN)}
    words = [
        sys.executable,
        "-c",
        f"import logging\n{script}\nimport pipelines.steps\nfrom pipelines import logs\n{SAYS}",
    ]
    return subprocess.run(words, capture_output=True, text=True, check=True, env=usual | variables).stderr.splitlines()


@pytest.mark.parametrize("script", ["", "from pipelines import logs; logs.set_up_as_asked()"], ids=["run", "command"])
def test_a_process_that_prefect_starts_for_a_run_logs_as_asked_and_each_message_once(script):
    (line,) = said(script, **{logs.RUN: str(uuid4()), logs.VARIABLE: "json"})
    entry = json.loads(line)
    assert (entry["message"], entry["line"], entry["business_date"]) == ("once", "tiny", "2026-03-03")


def test_a_program_that_only_imports_flows_keeps_its_own_log():
    lines = said("logging.basicConfig(level='INFO', format='own: %(message)s')")
    assert lines == ["own: once", "own: chatter"]
