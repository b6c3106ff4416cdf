"""At which blocks of time the backtests of a line looked: a file of the home to which looks are only added.

`<home>/models/<line>/looks.jsonl` has a look a row, from the moment at which its backtest is done: also of a training
whose model is not kept, as of the recipe that a challenger wins against. It stays when models are removed, and MLflow
is not asked.
"""

import json
from pathlib import Path
from typing import Any

from qma_predict.errors import ModelError
from qma_predict.home import Home
from qma_predict.learn import looks
from qma_predict.learn.dataset import Dataset
from qma_predict.learn.training import Training
from qma_predict.publish.lists.durable import flush_folder, remove_debris, write_whole
from qma_predict.publish.models.model import made_by

LOOKS = "looks.jsonl"


def note(home: Home, dataset: Dataset, training: Training) -> list[int]:
    """Note that a training looked at the blocks of its backtest, which is on the disk when this returns.

    The same training on the same data is noted once, however often it is run or noted: its figures are the same.

    Must not be called by one who holds the line's lock.

    Parameters
    ----------
    home : Home
    dataset : Dataset
        What was trained on.
    training : Training

    Returns
    -------
    list of int, shape (n_blocks,)
        How many trainings that were noted before it looked at each block.

    Raises
    ------
    ModelError
        If the looks cannot be read or written.
    """
    line, blocks = dataset.line, looks.spans(training.backtest.table)
    facts = {"as_of": dataset.identity["as_of"], "dataset": dataset.identity["digest"], "line_digest": line.digest}
    look: dict[str, Any] = {**facts, "learning": made_by(line), "blocks": blocks}
    file = _file(home, line.name)
    with home.writing(line.name):
        earlier = read(home, line.name)
        if look in earlier:
            earlier = earlier[: earlier.index(look)]
        else:
            _write(file, [*earlier, look])
    return looks.looks(blocks, [one["blocks"] for one in earlier])


def read(home: Home, line: str) -> list[dict[str, Any]]:
    """Every look that was noted, oldest first, each with its ``blocks`` as `looks.spans` gives them.

    Raises
    ------
    ModelError
        If the file cannot be read, or is not what was written.
    """
    file = _file(home, line)
    try:
        rows = [json.loads(row) for row in file.read_text().splitlines()]
        for row in rows:
            if not all(isinstance(start, str) and isinstance(end, str) for start, end in row["blocks"]):
                raise ValueError(f"found blocks {row['blocks']}, expected a start and an end each")
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{file}: it cannot be read how often the blocks of backtests were looked at: {error!r}. Restore the file "
            "from a backup; if there is none, move it away, and the next training counts from nothing."
        ) from error
    return rows


def _write(file: Path, rows: list[dict[str, Any]]) -> None:
    new = not file.parent.exists()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        remove_debris(file.parent, file.name)
        write_whole(file, "".join(f"{json.dumps(row, sort_keys=True)}\n" for row in rows).encode())
        if new:
            for folder in (file.parent.parent, file.parent.parent.parent):
                flush_folder(folder)
    except OSError as error:
        raise ModelError(
            f"{file}: it cannot be noted which blocks a backtest looked at ({error}), expected a writable folder with "
            "free space. Nothing was decided; repair it and train again."
        ) from error


def _file(home: Home, line: str) -> Path:
    return home.models(line) / LOOKS
