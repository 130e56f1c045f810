"""Everything the rooms exchange: records, streams, the ring, the feed, the ledger, the weight board. Redis behind one door."""
