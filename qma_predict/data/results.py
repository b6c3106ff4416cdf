"""Results that count: at the gate, of a characteristic that decides."""

import ibis.expr.types as ir
from ibis import _

from qma_predict.line import Line


def at_gate(inspections: ir.Table, line: Line) -> ir.Table:
    """Rows of inspections at the line's gate, of the characteristics that count there."""
    return inspections.filter(_.gate == line.gate.name, _.characteristic.isin(line.gate.characteristics))


def valid_at_gate(inspections: ir.Table, line: Line) -> ir.Table:
    """Those of them without a code of `gate.void`: the others say nothing of the unit."""
    return at_gate(inspections, line).filter(~_.code.fill_null("").isin(line.gate.void))
