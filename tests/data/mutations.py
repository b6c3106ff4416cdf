"""What goes wrong with a plant's files: each mutation does it, and says of every record what must become of it."""

import random

import mutated_bytes
import mutated_cells
import mutated_tables
from fates import MUTATIONS, File, plant_of, whole
from known_rows import HABITS, Habit

__all__ = ["mutated", "mutated_bytes", "mutated_cells", "mutated_tables"]  # importing them lists their mutations


def mutated(habit: Habit, seed: int) -> tuple[str, dict[str, File]]:
    """Name of the mutation of a seed, and the plant's files after it."""
    turn = seed // len(HABITS)
    name, mutation = MUTATIONS[habit.name][turn % len(MUTATIONS[habit.name])]
    draw, plant = random.Random(seed), plant_of(habit, seed)
    changed = mutation(draw, habit, plant, draw.choice(sorted(plant)))
    return name, {name: whole(habit, records) for name, records in plant.items()} | changed
