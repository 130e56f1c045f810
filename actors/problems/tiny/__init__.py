"""The built-in problem domain: small enough for a laptop, hard enough to show the effect of POPE."""
