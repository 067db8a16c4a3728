"""Runs test cells in trusted memory; the student's kernel answers only with values."""
