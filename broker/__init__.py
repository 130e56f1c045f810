"""The records that roles exchange, and all access to Redis: feed, streams, ring, ledger, weight board."""
