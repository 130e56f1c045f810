"""`pope sweep`: several experiments under several seeds, one run after another, in a folder of their own."""
