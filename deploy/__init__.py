"""Places, starts and watches the roles; the only room that may import all others."""
