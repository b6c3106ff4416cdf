"""What Prefect adds to a night run by hand: seconds of whole processes, each publishing another date.

    .venv/bin/python benchmarks/prefect_cost.py demo-home

takes the home of a finished `make demo`, forgets its newest lists in a copy, and publishes them again:
directly, with the server that Prefect starts by itself, and under a running server.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

DIRECTLY = "nightly_flow.fn"
AS_FLOW = "nightly_flow"


def main(home: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "home"
        shutil.copytree(home, copy, symlinks=True)
        dates = sorted(
            (path for path in (copy / "published" / "demo").iterdir() if not path.is_symlink()), reverse=True
        )
        environment = os.environ | {
            "QMA_DATA": str(home / "plant"),
            "PREFECT_HOME": f"{folder}/prefect",
            "DO_NOT_TRACK": "1",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_LOGGING_LEVEL": "ERROR",
        }
        environment.pop("PREFECT_API_URL", None)
        print(f"directly:                        {seconds(copy, dates[0], DIRECTLY, environment):6.1f} s")
        print(f"a server of its own, first time: {seconds(copy, dates[1], AS_FLOW, environment):6.1f} s")
        print(f"a server of its own, again:      {seconds(copy, dates[2], AS_FLOW, environment):6.1f} s")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        api = f"http://127.0.0.1:{port}/api"
        command = [Path(sys.executable).parent / "prefect", "server", "start", "--port", str(port)]
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
            try:
                wait_for(f"{api}/health")
                under = environment | {"PREFECT_API_URL": api}
                print(f"under a running server:          {seconds(copy, dates[3], AS_FLOW, under):6.1f} s")
            finally:
                server.send_signal(signal.SIGINT)


def seconds(home: Path, published: Path, call: str, environment: dict[str, str]) -> float:
    shutil.rmtree(published)
    day = f"datetime.date.fromisoformat({published.name!r})"
    script = f"import datetime; from pipelines.nightly import nightly_flow; {call}('demo', {str(home)!r}, {day})"
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, stdout=subprocess.DEVNULL)
    assert published.exists(), published
    return time.perf_counter() - started


def wait_for(url: str) -> None:
    for _ in range(120):
        try:
            with urlopen(url):
                return
        except (URLError, ConnectionError):
            time.sleep(0.5)
    raise TimeoutError(url)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
