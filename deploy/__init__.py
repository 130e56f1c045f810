"""Places, starts and watches the roles; the only room that sees all others."""
