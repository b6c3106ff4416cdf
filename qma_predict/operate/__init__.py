"""KEEPING IT RUNNING: monitoring, doctor, status, backup, retention, and the report of a replay."""
