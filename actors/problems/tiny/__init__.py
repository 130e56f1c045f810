"""The built-in domain: small enough for a laptop, hard enough to show POPE."""
