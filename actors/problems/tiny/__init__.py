"""The built-in problem domain, on which a laptop can show the effect of POPE."""
