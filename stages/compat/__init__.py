"""How published projects cut faces and paste them back, bugs included: for parity tests and comparisons only."""
