"""How the networks are trained: recipes and data, without the loop that runs them."""
