"""Why a unit is on the list: in what it differs from good units, in words."""
