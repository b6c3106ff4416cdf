"""What the simulated plant is: a foundry for pump housings, from the melt to the final inspection.

Aluminium is molten (``melt``), cast under pressure (``cast``), trimmed (``trim``), machined (``mill``) and
washed (``wash``). A unit then waits in the ``buffer``; some units are inspected at the gate ``final``.
Good and uninspected units go to ``shipping``, failed ones to ``scrap``.
"""

from dataclasses import dataclass

ZONE = "Europe/Berlin"
MATERIAL = "AlSi9Cu3"


@dataclass(frozen=True)
class Station:
    """A process station.

    Attributes
    ----------
    name : str
    machines : tuple of str
    minutes : float
        Usual stay of a unit [min].
    wait : float
        Mean transport and waiting time before it, without queueing [min].
    one_at_a_time : bool
        Whether a machine treats one unit at a time (a bath holds many).
    service_days : float
        Mean time between two maintenances of a machine [d].
    alarms : float
        Alarms of a machine a day.
    """

    name: str
    machines: tuple[str, ...]
    minutes: float
    wait: float
    one_at_a_time: bool
    service_days: float
    alarms: float


@dataclass(frozen=True)
class Product:
    """A kind of pump housing.

    Attributes
    ----------
    name : str
    share : float
        Share of the orders.
    inspected : float
        Share of its units that are selected for the gate at random.
    lot_sensitivity : float
        How much a bad ingot lot matters, 0 to 1: thin walls leak.
    die_sensitivity : float
        How much an unbalanced die matters.
    bore : float
        Nominal diameter of the bore that the characteristic `dimension` measures [mm].
    """

    name: str
    share: float
    inspected: float
    lot_sensitivity: float
    die_sensitivity: float
    bore: float


STATIONS = (
    Station("melt", ("FUR-1", "FUR-2"), 18.0, 4.0, False, 14.0, 0.3),
    Station("cast", ("DCM-1", "DCM-2", "DCM-3"), 4.0, 2.0, True, 8.0, 0.6),
    Station("trim", ("TRM-1", "TRM-2"), 2.4, 3.0, True, 20.0, 0.2),
    Station("mill", ("CNC-1", "CNC-2", "CNC-3", "CNC-4"), 5.2, 6.0, True, 15.0, 0.4),
    Station("wash", ("WSH-1", "WSH-2"), 14.0, 5.0, False, 10.0, 0.2),
)

PRODUCTS = (
    Product("PH-100", 0.32, 0.50, 0.0, 1.00, 48.0),
    Product("PH-120", 0.23, 0.60, 0.0, 0.95, 52.0),
    Product("PH-140", 0.27, 0.55, 1.0, 1.05, 60.0),
    Product("PH-200", 0.18, 0.68, 0.4, 0.95, 75.0),
)

SUPPLIERS = ("Alumet", "Norcast", "Rhenus Alloys")
GATE = "final"
GATE_BENCHES = ("GATE-1", "GATE-2")
STORE, DOCK, SCRAP = "STORE-1", "DOCK-1", "SCRAP-1"
SUSPICION = 0.9
"""Probability of being selected for the gate after an alarm near the unit's casting or milling."""

MACHINE_NAMES = tuple(machine for station in STATIONS for machine in station.machines)


def machines_before(station: str) -> int:
    """Return the position in `MACHINE_NAMES` of the first machine of a station."""
    names = [item.name for item in STATIONS]
    return sum(len(item.machines) for item in STATIONS[: names.index(station)])
