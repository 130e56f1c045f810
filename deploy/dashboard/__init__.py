"""A run as one sees it: in the browser, in the terminal, in Prometheus. Reads Redis only; never writes."""
