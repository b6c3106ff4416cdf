"""What candidates have in common that puts them at risk, and every unit made under the same conditions."""
