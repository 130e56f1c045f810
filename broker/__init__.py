"""What the rooms exchange, and Redis behind one door: records, feed, streams, ring, ledger, weight board."""
