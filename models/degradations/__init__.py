"""How photos grow old: composable, seeded functions on float images."""
